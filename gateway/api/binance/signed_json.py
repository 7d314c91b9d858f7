"""How does the native, signed order travel inside a request of this dialect?

As the parameter ``signedOrder``: the fields of EIP-712 ``Order`` as JSON, with the signature. The
bridge writes it, the exchange reads it, and everything that the order does follows from it: what
the request says beside it must agree, or it is refused.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from engine.types import MONEY_MAX, Side
from gateway.api.binance.errors import Code, refused
from gateway.api.binance.params import Params, invalid
from gateway.api.binance.wanted import SIDES
from settlement.orders.catalog import Market
from settlement.protocol.checksum import address_of_text
from settlement.protocol.evidence import SELL, SignedOrder

PARAMETER: Final = "signedOrder"
END: Final = r"$(?!\n)"

Address = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}" + END, max_length=42)]
Digits = Annotated[str, Meta(pattern="^(0|[1-9][0-9]{0,19})" + END, max_length=20)]
Uint16 = Annotated[int, Meta(ge=0, lt=2**16)]
Uint32 = Annotated[int, Meta(ge=0, lt=2**32)]
Word = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{64}" + END, max_length=66)]
Signature = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{130}" + END, max_length=132)]


class SignedText(Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    """A signed order in JSON, under the names that the wallet signs; amounts in pips."""

    account: Address
    nonce: Digits
    flags: Uint16
    lane: Uint16
    base: Address
    quote: Address
    base_amount: Digits
    quote_amount: Digits
    trigger_or_display: Digits
    expiry: Uint32
    max_fee_ppm: Uint32
    ref: Word
    signature: Signature


_decoder = msgspec.json.Decoder(SignedText)


def text_of(order: SignedOrder) -> str:
    """Return a signed order as the parameter's text."""
    return msgspec.json.encode(
        SignedText(
            account=_hex(order.account),
            nonce=str(order.nonce),
            flags=order.flags,
            lane=order.lane,
            base=_hex(order.base),
            quote=_hex(order.quote),
            base_amount=str(order.base_amount),
            quote_amount=str(order.quote_amount),
            trigger_or_display=str(order.trigger_or_display),
            expiry=order.expiry,
            max_fee_ppm=order.max_fee_ppm,
            ref=_hex(order.ref),
            signature=_hex(order.signature),
        )
    ).decode()


def order_of(text: str, name: str) -> SignedOrder:
    """Return the order in the parameter's text, not proven yet; ``name`` is the client's own."""
    try:
        found = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(Code.INVALID_PARAMETER, f"Parameter '{PARAMETER}': {error}") from None
    return SignedOrder(
        account=_address(found.account),
        nonce=_below(found.nonce, 2**64),
        flags=found.flags,
        lane=found.lane,
        base=_address(found.base),
        quote=_address(found.quote),
        base_amount=_below(found.base_amount, MONEY_MAX + 1),
        quote_amount=_below(found.quote_amount, MONEY_MAX + 1),
        trigger_or_display=_below(found.trigger_or_display, MONEY_MAX + 1),
        expiry=found.expiry,
        max_fee_ppm=found.max_fee_ppm,
        ref=bytes.fromhex(found.ref[2:]),
        signature=bytes.fromhex(found.signature[2:]),
        signer=b"",
        digest=b"",
        client_id=name,
    )


def require_agreement(order: SignedOrder, params: Params, market: Market) -> None:
    """Refuse a request that says something else than the order that it carries."""
    if (order.base, order.quote) != (market.base.address, market.quote.address):
        raise disagrees("symbol")
    side = Side.SELL if order.flags & SELL else Side.BUY
    if SIDES.get(params.need("side").upper()) != side:
        raise disagrees("side")
    if params.text("quantity") and params.pips("quantity") != order.base_amount:
        raise disagrees("quantity")
    price = params.pips("price")
    if price and price * order.base_amount != order.quote_amount * 10**8:
        raise disagrees("price")


def disagrees(name: str) -> Exception:
    """Return the refusal of a parameter that the signed order does not bear out."""
    return refused(
        Code.OPTIONAL_PARAMS_BAD_COMBO, f"Parameter '{name}' is not what '{PARAMETER}' says."
    )


def _hex(raw: bytes) -> str:
    return f"0x{raw.hex()}"


def _address(text: str) -> bytes:
    found = address_of_text(text)
    if found is None:
        raise invalid(PARAMETER)
    return found


def _below(text: str, bound: int) -> int:
    number = int(text)
    if number >= bound:
        raise invalid(PARAMETER)
    return number


def figures_of(
    order: SignedOrder, domain: Mapping[str, object], type_text: str
) -> dict[str, object]:
    """Return what a trader needs to find out why his signature is not good."""
    return {
        "x_digest": _hex(order.digest),
        "x_domain": dict(domain),
        "x_type": type_text,
        "x_recovered": _hex(order.signer) if order.signer else None,
    }
