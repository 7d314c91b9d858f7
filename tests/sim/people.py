"""Who uses the exchange in the simulator, and how badly do they behave?

Traders keep their own books: what they sent, what they were told. They resend what was answered
and what was not, send another body under the same client id, cancel while it fills, send the next
order for a lane together with its cancel, ask for what cannot be,
and move money on chain. Shops' endpoints fail, forget and answer late.
"""

from random import Random
from typing import Any, Final

import msgspec

from engine.command_result import CommandResult
from engine.types import Outcome
from merchants.webhooks.egress import Answer
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import (
    Domain,
    address_of_secret,
    order_digest,
    sign,
    withdrawal_digest,
)
from settlement.protocol.evidence import ZERO_REF, OrderBits, SignedOrder, SignedWithdrawal
from tests.sim.contract import Listed
from tests.sim.venue import LOT_PIPS, NS, TICK_PIPS

LANE: Final = 0x8000
LANES: Final = 60
DAY_S: Final = 24 * 3600
LAST_S: Final = 12 * 3600
"""How long a withdrawal may be paid: an exit takes longer."""
MIDDLE: Final = 2_000
LATER: Final = (
    Outcome.OVERLOADED,
    Outcome.SHUTTING_DOWN,
    Outcome.DISK_LOW,
    Outcome.UNDER_REVIEW,
)
GARBAGE: Final = (0, 1, 2**40, 2**62, 2**63 - 1)

RESTING: Final = (
    OrderBits.ICEBERG,
    *[OrderBits.STOP] * 2,
    *[OrderBits.STOP | OrderBits.IMMEDIATE, OrderBits.STOP | OrderBits.FILL_OR_KILL],
)
TAKING: Final = (*[OrderBits(0)] * 5, OrderBits.FILL_OR_KILL)
STEPS_AWAY: Final = 6
"""How far beyond its own limit a stop waits to be triggered; ticks."""


class Placed:
    """An order or withdrawal somebody sent, and what they were told of it."""

    def __init__(self, signed: SignedOrder | SignedWithdrawal) -> None:
        self.signed = signed
        self.results: list[CommandResult] = []
        self.tries = 0

    @property
    def order_id(self) -> int:
        return max((result.order_id for result in self.results), default=0)


class Trader:
    """One wallet."""

    def __init__(
        self, number: int, domain: Domain, tokens: tuple[Listed, ...], dice: Random
    ) -> None:
        self.secret = (1000 + number).to_bytes(32, "big")
        self.address = address_of_secret(self.secret)
        self.usd, self.token = (token.address for token in tokens)
        self.domain, self.dice = domain, dice
        # Of its own, so that all else that a seed decides stays as it was before there were terms.
        self.terms = Random(f"{number} {dice.getstate()}")
        self.nonce = 0
        self.withdrawals = 0
        self.lane_nonces = dict.fromkeys(range(2 * LANES), 0)
        self.sent: list[Placed] = []
        self.leaving = False

    def instead_of(self, placed: Placed, middle: int, now_s: int) -> Placed | None:
        """Sign an order for the lane of another that rests; None if that has none."""
        signed = placed.signed
        if not isinstance(signed, SignedOrder) or not LANE <= signed.lane < LANE + LANES:
            return None
        half = 2 * (signed.lane - LANE) + (1 if signed.flags & OrderBits.UPPER_HALF else 0)
        return self.order(middle, now_s, garbage=False, half=half)

    def order(self, middle: int, now_s: int, garbage: bool, half: int | None = None) -> Placed:
        """Sign an order near ``middle``: half of them rest, half of them take."""
        dice = self.dice
        sell = dice.random() < 0.5
        rests = dice.random() < 0.6 or half is not None
        away = dice.choice((-3, 0, 1, 2, 4, 9)) if rests else dice.choice((-9, -4, -1, 0, 3))
        ticks = middle + (away if sell else -away)
        lots = dice.choice((1, 1, 2, 3, 5, 8, 50))
        flags = OrderBits.SELL if sell else OrderBits(0)
        lane = 0
        if rests:
            half = dice.randrange(2 * LANES) if half is None else half
            self.lane_nonces[half] += 1
            nonce, lane = self.lane_nonces[half], LANE + half // 2
            flags |= OrderBits.UPPER_HALF if half & 1 else OrderBits(0)
            flags |= OrderBits.POST_ONLY if dice.random() < 0.2 else OrderBits(0)
            flags = self._further(flags)
        else:
            self.nonce += 1
            nonce, flags = self.nonce, flags | OrderBits.SINGLE_SHOT | self.terms.choice(TAKING)
        flags |= OrderBits(self.terms.choice((0, 0, 0, 256, 512, 768)))
        lifetime_s = dice.choice((5, 60, 60, 600, 3_600, *(DAY_S,) * 6))
        fields = self._fields(lots, ticks, now_s + lifetime_s) | {
            "nonce": nonce,
            "flags": int(flags),
            "lane": lane,
            "trigger_or_display": _special(flags, lots, ticks, self.terms),
            "max_fee_ppm": dice.choice((100, *(1_000, 5_000) * 8)),
            "client_id": self._client_id(),
        }
        if garbage:
            name = dice.choice(("nonce", "base_amount", "quote_amount", "base", "lane", "flags"))
            fields[name] = {
                "base": bytes(20),
                "lane": dice.choice((0, 1, LANE - 1, 0xFFFF)),
                "flags": dice.randrange(16) << self.terms.randrange(9),
            }.get(name, dice.choice(GARBAGE))
        return self._signed(fields)

    def _further(self, flags: OrderBits) -> OrderBits:
        """Return the flags of an order that rests with more terms, one time in five."""
        if self.terms.random() >= 0.2:
            return flags
        if flags & OrderBits.POST_ONLY:
            return flags | self.terms.choice((OrderBits.REPRICE, OrderBits.ICEBERG))
        return flags | self.terms.choice(RESTING)

    def taker(self, middle: int, now_s: int, *, sells: bool) -> Placed:
        """Sign an order that takes whatever rests near ``middle``."""
        self.nonce += 1
        flags = OrderBits.SINGLE_SHOT | (OrderBits.SELL if sells else OrderBits(0))
        fields = self._fields(8, middle + (-20 if sells else 20), now_s + DAY_S)
        return self._signed(fields | {"nonce": self.nonce, "flags": int(flags)})

    def _fields(self, lots: int, ticks: int, expiry: int) -> dict[str, Any]:
        return {
            "account": self.address,
            "lane": 0,
            "base": self.token,
            "quote": self.usd,
            "base_amount": lots * LOT_PIPS,
            "quote_amount": lots * ticks * TICK_PIPS,
            "trigger_or_display": 0,
            "expiry": expiry,
            "max_fee_ppm": 5_000,
            "ref": ZERO_REF,
            "client_id": "",
        }

    def _signed(self, fields: dict[str, Any]) -> Placed:
        unsigned = SignedOrder(**fields, signer=self.address, signature=b"", digest=b"")
        digest = order_digest(self.domain, unsigned)
        placed = Placed(
            msgspec.structs.replace(unsigned, digest=digest, signature=sign(digest, self.secret))
        )
        self.sent.append(placed)
        return placed

    def _client_id(self) -> str:
        """Return a name for an order: mostly none, a new one, seldom one that another order has."""
        if self.dice.random() < 0.7:
            return ""
        is_taken = self.dice.random() < 0.1
        return str(self.dice.randrange(1 + len(self.sent)) if is_taken else len(self.sent))

    def withdrawal(self, amount: int, token: bytes, now_s: int) -> Placed:
        self.withdrawals += 1
        unsigned = SignedWithdrawal(
            self.address, token, self.address, amount, self.withdrawals, now_s + LAST_S, b"", b""
        )
        digest = withdrawal_digest(self.domain, unsigned)
        placed = Placed(
            msgspec.structs.replace(unsigned, digest=digest, signature=sign(digest, self.secret))
        )
        self.sent.append(placed)
        return placed

    def deposit_calls(self, exchange: bytes, token: bytes, raw: int) -> list[tuple[bytes, bytes]]:
        """Return (to, calldata) of a mint and a deposit."""
        return [
            (token, encode_call("mint", self.address, raw, contract="TestToken")),
            (token, encode_call("approve", exchange, raw, contract="TestToken")),
            (exchange, encode_call("deposit", token, raw, self.address, ZERO_REF)),
        ]

    def learn(self, placed: Placed, result: CommandResult) -> str | None:
        """Keep an answer; return what is wrong with it against those before."""
        told = [r for r in placed.results if r.sequence and is_last_word(r, placed.signed)]
        if result.sequence and told:
            first = told[0]
            if (first.sequence, first.outcome, first.order_id) != (
                result.sequence,
                result.outcome,
                result.order_id,
            ):
                return f"P2: first told {first}, then {result}"
        placed.results.append(result)
        return None


class Shops:
    """``merchants.webhooks.egress.Egress``, and what arrived behind it."""

    def __init__(self, dice: Random, count: Any) -> None:
        self.fails_ppm = 0
        self.received: dict[str, bytes] = {}
        self.conflicts: list[str] = []
        self.cut: Any = None
        self.pause: Any = None
        self._dice, self._count = dice, count

    def rejection(self, url: str) -> str:
        return ""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        self.cut()
        await self.pause(self._dice.randrange(10 * NS))
        fault = self._dice.randrange(10**6) < self.fails_ppm
        if fault and self._dice.random() < 0.5:
            self._count("webhook lost")
            return Answer(0, error="simulated timeout")
        webhook_id = headers["webhook-id"]
        if self.received.setdefault(webhook_id, body) != body:
            self.conflicts.append(webhook_id)
        self.cut()
        if fault:
            self._count("webhook answer lost")
            return Answer(self._dice.choice((0, 500, 429)), retry_after_s=1)
        self._count("webhook delivered")
        return Answer(200)


class Keyring:
    """``merchants.stores.keyring.Keyring`` in memory: it outlives the process, as files do."""

    def __init__(self) -> None:
        self._secrets: dict[bytes, bytes] = {}

    def put(self, address: bytes, secret: bytes) -> None:
        self._secrets[address] = secret

    def get(self, address: bytes) -> bytes:
        return self._secrets[address]


def is_last_word(result: CommandResult, signed: SignedOrder | SignedWithdrawal) -> bool:
    """Tell whether the same again must be answered the same: an order refused may be tried anew."""
    return result.accepted or isinstance(signed, SignedWithdrawal)


def is_final(result: CommandResult) -> bool:
    """Tell whether the answer settles the matter, or the client should come again."""
    return result.outcome not in LATER


def _special(flags: OrderBits, lots: int, ticks: int, dice: Random) -> int:
    """Return where a stop waits for its trigger, or how much an iceberg shows; pips."""
    if flags & OrderBits.ICEBERG:
        return dice.randint(1, lots) * LOT_PIPS
    if flags & OrderBits.STOP:
        away = dice.randrange(STEPS_AWAY)
        return lots * (ticks - away if flags & OrderBits.SELL else ticks + away) * TICK_PIPS
    return 0
