"""Write the signed orders that all are held to: ``python -m tests.vectors.makeorders``.

Nothing of the product makes them: the meaning of the flags is written down here, typed data is
hashed and signed by eth-account, words are packed by string formatting. A changed file is a changed
protocol.
"""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

from eth_account import Account

FILE: Final = Path(__file__).with_name("orders.json")
TYPE: Final = (
    "Order(address account,uint64 nonce,uint16 flags,uint16 lane,address base,address quote,"
    "uint64 baseAmount,uint64 quoteAmount,uint64 triggerOrDisplay,uint32 expiry,uint16 maxFeePpm,"
    "bytes32 ref)"
)
SECRET: Final = "0x" + "00" * 31 + "01"
NOW: Final = 1_800_000_000
LANE: Final = 0x8000
LOT_PIPS, TICK_PIPS = 10_000, 100
BASE, QUOTE = "0x" + "22" * 20, "0x" + "11" * 20
NUMBERS: Final = {QUOTE: 0, BASE: 1}
DOMAIN: Final = {
    "name": "Tillbook",
    "version": "1",
    "chainId": 31337,
    "verifyingContract": "0x" + "ee" * 20,
}
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

SIDES: Final = {"buy": 0, "sell": 1}
MODES: Final = {
    "expire incoming": (0, 0),
    "resting": (256, 4),
    "both": (512, 8),
    "decrement": (768, 12),
}
"""Self-trade modes: the signed bits, the engine's."""

RESTING: Final = {
    "plain": (0, 0, 0),
    "post only": (8, 0, 1),
    "post only re-priced": (8 + 32, 0, 1 + 64),
    "iceberg": (128, 0, 32),
    "iceberg post only": (128 + 8, 0, 32 + 1),
    "iceberg post only re-priced": (128 + 8 + 32, 0, 32 + 1 + 64),
    "stop": (64, 0, 16),
    "stop immediate": (64 + 1024, 1, 16),
    "stop fill or kill": (64 + 16, 2, 16),
}
"""Kinds of orders on a lane: the signed bits, the engine's time in force and flags."""

SHOTS: Final = {"single shot": (2, 1, 2), "single shot fill or kill": (2 + 16, 2, 2)}

CONTRADICTIONS: Final = {
    "single shot upper half": 2 + 4,
    "single shot post only": 2 + 8,
    "single shot re-priced": 2 + 32,
    "single shot stop": 2 + 64,
    "single shot iceberg": 2 + 128,
    "single shot immediate": 2 + 1024,
    "fill or kill that rests": 16,
    "fill or kill post only": 16 + 8,
    "re-priced without post only": 32,
    "stop post only": 64 + 8,
    "stop iceberg": 64 + 128,
    "stop re-priced": 64 + 32,
    "immediate without stop": 1024,
    "immediate fill or kill": 64 + 16 + 1024,
    "version bit 11": 1 << 11,
    "version bit 12": 1 << 12,
    "version bit 13": 1 << 13,
    "version bit 14": 1 << 14,
    "version bit 15": 1 << 15,
    "all bits": 0xFFFF,
}
"""Flags that no order may have."""

LOTS, TICKS, TRIGGER, SHOWN = 10, 250, 260, 3

WRONG_FIELDS: Final[list[tuple[str, int, dict[str, Any], str]]] = [
    ("off lot", 0, {"baseAmount": str(LOTS * LOT_PIPS + 1)}, "OFF_LOT"),
    ("no lots", 0, {"baseAmount": "0"}, "QUANTITY_OUT_OF_RANGE"),
    ("off tick", 0, {"quoteAmount": str(LOTS * TICKS * TICK_PIPS + 1)}, "OFF_TICK"),
    ("no price", 0, {"quoteAmount": "0"}, "PRICE_OUT_OF_RANGE"),
    ("trigger of a plain order", 0, {"triggerOrDisplay": "1"}, "BAD_ORDER"),
    ("trigger off tick", 64, {"triggerOrDisplay": str(LOTS * TICK_PIPS * 9 + 1)}, "OFF_TICK"),
    ("trigger none", 64, {"triggerOrDisplay": "0"}, "TRIGGER_OUT_OF_RANGE"),
    (
        "trigger too high",
        64,
        {"triggerOrDisplay": str(LOTS * TICK_PIPS * 2**31)},
        "TRIGGER_OUT_OF_RANGE",
    ),
    ("display off lot", 128, {"triggerOrDisplay": str(LOT_PIPS + 1)}, "OFF_LOT"),
    ("display none", 128, {"triggerOrDisplay": "0"}, "DISPLAY_OUT_OF_RANGE"),
    (
        "display above all",
        128,
        {"triggerOrDisplay": str((LOTS + 1) * LOT_PIPS)},
        "DISPLAY_OUT_OF_RANGE",
    ),
    (
        "display in too many slices",
        128,
        {
            "baseAmount": str(65 * LOT_PIPS),
            "quoteAmount": str(65 * TICKS * TICK_PIPS),
            "triggerOrDisplay": str(LOT_PIPS),
        },
        "DISPLAY_OUT_OF_RANGE",
    ),
    ("expired", 0, {"expiry": NOW}, "ORDER_EXPIRED"),
    ("expiry too far", 0, {"expiry": 2**32 - 1}, "EXPIRY_TOO_FAR"),
    ("nonce zero", 0, {"nonce": "0"}, "BAD_NONCE"),
    ("lane of a single shot", 2, {"lane": LANE}, "BAD_LANE"),
    ("no lane", 0, {"lane": 0}, "BAD_LANE"),
    ("lane too low", 0, {"lane": LANE - 1}, "BAD_LANE"),
    ("another base", 0, {"base": "0x" + "33" * 20}, "UNKNOWN_MARKET"),
]


def order(flags: int, **changes: Any) -> dict[str, Any]:
    """Return the message that a wallet shows for an order of these flags."""
    special = LOTS * TRIGGER * TICK_PIPS if flags & 64 else SHOWN * LOT_PIPS if flags & 128 else 0
    plain = {
        "account": Account.from_key(SECRET).address.lower(),
        "nonce": "7",
        "flags": flags,
        "lane": 0 if flags & 2 else LANE,
        "base": BASE,
        "quote": QUOTE,
        "baseAmount": str(LOTS * LOT_PIPS),
        "quoteAmount": str(LOTS * TICKS * TICK_PIPS),
        "triggerOrDisplay": str(special),
        "expiry": NOW + 3_600,
        "maxFeePpm": 1_000,
        "ref": "0x" + "00" * 32,
    }
    return plain | changes


def signed(message: dict[str, Any]) -> dict[str, str]:
    """Return digest and signature as eth-account makes them."""
    inner = TYPE[TYPE.index("(") + 1 : -1].split(",")
    types = {"Order": [dict(zip(("type", "name"), f.split(" "), strict=True)) for f in inner]}
    made = Account.sign_typed_data(SECRET, DOMAIN, types, message)
    return {
        "digest": "0x" + bytes(made.message_hash).hex(),
        "signature": "0x" + bytes(made.signature).hex(),
    }


def words(message: dict[str, Any]) -> dict[str, str]:
    """Return the two words of calldata, field by field."""
    account = int(message["account"], 16)
    terms = "".join(
        (
            f"{int(message['nonce']):016x}{int(message['baseAmount']):016x}",
            f"{int(message['quoteAmount']):016x}{message['expiry']:08x}",
            f"{message['maxFeePpm']:04x}{message['flags']:04x}",
        )
    )
    place = "".join(
        (
            f"{int(message['triggerOrDisplay']):016x}{NUMBERS.get(message['base'], 2):02x}",
            f"{NUMBERS[message['quote']]:02x}{message['lane']:04x}{account:040x}",
        )
    )
    return {"terms": "0x" + terms, "place": "0x" + place}


def vector(name: str, message: dict[str, Any], refused: str | None, **more: Any) -> dict[str, Any]:
    """Return a vector; ``refused`` is the outcome that the exchange refuses it with."""
    made = {"name": name, "order": message} | signed(message) | words(message)
    return made | {"refused": refused} | more


def legal() -> Iterator[dict[str, Any]]:
    """Every order that there is: each side, kind and self-trade mode, on both halves of a lane."""
    kinds = [(name, bits, 0) for name, bits in SHOTS.items()]
    kinds += [(name, bits, half) for name, bits in RESTING.items() for half in (0, 4)]
    for (side, sell), (name, bits, half), (mode, (signed_mode, engine_mode)) in product(
        SIDES.items(), kinds, MODES.items()
    ):
        signed_bits, tif, flags = bits
        message = order(sell + half + signed_bits + signed_mode)
        row = {
            "side": sell,
            "tif": tif,
            "flags": flags + engine_mode,
            "order_id": TRIGGER if signed_bits & 64 else SHOWN if signed_bits & 128 else 0,
            "amount": LOTS,
            "price_ticks": TICKS,
        }
        half_name = "upper" if half else "lower"
        yield vector(f"{side}, {name}, {half_name} half, {mode}", message, None, row=row)


def malformed() -> Iterator[dict[str, Any]]:
    """Orders that contradict themselves, and what is no order at all."""
    for (side, sell), (name, bits) in product(SIDES.items(), CONTRADICTIONS.items()):
        on_chain = None
        if bits >> 11:
            on_chain = "UnknownFlags"
        elif bits & 2:
            on_chain = "ContradictoryFlags"
        yield vector(f"{side}, {name}", order(bits | sell), "BAD_ORDER", on_chain=on_chain)
    for name, bits, changes, outcome in WRONG_FIELDS:
        on_chain = "NotALane" if outcome == "BAD_LANE" else None
        yield vector(name, order(bits, **changes), outcome, on_chain=on_chain)


def forged() -> Iterator[dict[str, Any]]:
    """Signatures that are none: of whom the order is not, nobody's, or of another form."""
    good = vector("", order(2), None)
    octets = bytes.fromhex(good["signature"][2:])
    r, s, v = octets[:32], octets[32:64], octets[64]
    high = (CURVE_ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    for name, signature in {
        "s is high": r + high + bytes([55 - v]),
        "v is 0": r + s + bytes([v - 27]),
        "v is 29": r + s + bytes([29]),
        "the other v": r + s + bytes([55 - v]),
        "r is zero": bytes(32) + s + bytes([v]),
        "s is zero": r + bytes(32) + bytes([v]),
        "compact": r + s,
        "a byte too long": octets + b"\0",
        "empty": b"",
    }.items():
        yield {**good, "name": name, "signature": "0x" + signature.hex()}
    for field, value in (
        *[("nonce", "8"), ("flags", 3), ("lane", 1), ("baseAmount", "1"), ("quoteAmount", "1")],
        *[("triggerOrDisplay", "1"), ("expiry", 1), ("maxFeePpm", 1), ("ref", "0x" + "01" * 32)],
        *[("base", QUOTE), ("quote", BASE), ("account", BASE)],
    ):
        changed = {**good["order"], field: value}
        yield {**good, "name": f"{field} was not signed", "order": changed}


def written() -> str:
    """Return the file: a vector a line."""
    head = {"domain": DOMAIN, "type": TYPE, "secret": SECRET, "now": NOW}
    head |= {"lotPips": LOT_PIPS, "tickPips": TICK_PIPS, "tokenNumbers": NUMBERS}
    lists = {"legal": [*legal()], "malformed": [*malformed()], "forged": [*forged()]}
    parts = [f'"head": {json.dumps(head)}']
    for name, vectors in lists.items():
        lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in vectors)
        parts.append(f'"{name}": [\n{lines}\n]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
