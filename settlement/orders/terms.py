"""Which row does the engine get for a signed order, or why can it get none?

Time in force, execution instructions, trigger and display are signed as one number of flags and one
amount; here they become the columns of PLACE. What contradicts itself is refused before its nonce
is spent.
"""

from typing import Final, NamedTuple

import numpy as np

from engine.commands import Kind, command
from engine.types import (
    ICEBERG_SLICES_MAX,
    LOTS_MAX,
    PRICE_MAX,
    OrderFlag,
    Outcome,
    Side,
    TimeInForce,
)
from settlement.orders.catalog import Market
from settlement.orders.nonces import NS, Rejection
from settlement.protocol.evidence import KNOWN_BITS, OrderBits, SignedOrder

# As plain numbers: to compare a field with a member of an enum costs more than the rest of a step.
PLACE: Final = Kind.PLACE
_SELL_BIT: Final = int(OrderBits.SELL)
_STOP: Final = int(OrderBits.STOP)
_SPECIAL: Final = int(OrderBits.STOP | OrderBits.ICEBERG)
_BUY, _SELL = int(Side.BUY), int(Side.SELL)

_SELF_MODE_SHIFT: Final = 6
"""From the two signed bits of the self-trade mode to the engine's: the modes are one list."""


class Meaning(NamedTuple):
    """What signed flags are in the engine's words: time in force and ``OrderFlag``."""

    tif: int
    flags: int


def _meaning(bits: OrderBits) -> Meaning | str:
    """Return what flags mean, or in a sentence why they mean nothing."""
    never_waits = OrderBits.SINGLE_SHOT in bits
    of_a_lane = bits & (OrderBits.UPPER_HALF | OrderBits.POST_ONLY | OrderBits.REPRICE)
    if never_waits and (of_a_lane or bits & (OrderBits.STOP | OrderBits.ICEBERG)):
        return "single-shot orders have no lane half, do not post and wait for nothing"
    if OrderBits.FILL_OR_KILL in bits and not bits & (OrderBits.SINGLE_SHOT | OrderBits.STOP):
        return "fill or kill is for a single shot or a stop"
    if OrderBits.REPRICE in bits and OrderBits.POST_ONLY not in bits:
        return "only a post-only order is priced again"
    if OrderBits.STOP in bits and bits & (OrderBits.POST_ONLY | OrderBits.ICEBERG):
        return "a stop neither posts nor shows a part of itself"
    if OrderBits.IMMEDIATE in bits and OrderBits.STOP not in bits:
        return "immediate is for a stop: any other order is that as a single shot"
    if OrderBits.IMMEDIATE in bits and OrderBits.FILL_OR_KILL in bits:
        return "fill or kill leaves nothing that could leave at once"
    return Meaning(_tif(bits), _engine_flags(bits))


def _tif(bits: OrderBits) -> int:
    if OrderBits.FILL_OR_KILL in bits:
        return int(TimeInForce.FOK)
    is_immediate = bits & (OrderBits.SINGLE_SHOT | OrderBits.IMMEDIATE)
    return int(TimeInForce.IOC if is_immediate else TimeInForce.GTC)


def _engine_flags(bits: OrderBits) -> int:
    flags = int(bits & OrderBits.SELF_DECREMENT) >> _SELF_MODE_SHIFT
    for signed, flag in (
        (OrderBits.SINGLE_SHOT, OrderFlag.SINGLE_SHOT),
        (OrderBits.POST_ONLY, OrderFlag.POST_ONLY),
        (OrderBits.REPRICE, OrderFlag.REPRICE),
        (OrderBits.STOP, OrderFlag.STOP),
        (OrderBits.ICEBERG, OrderFlag.ICEBERG),
    ):
        if signed in bits:
            flags |= int(flag)
    return flags


MEANINGS: Final = tuple(_meaning(OrderBits(bits)) for bits in range(KNOWN_BITS + 1))
"""By signed flags: all of them are known beforehand, and an order comes every few microseconds."""


def flags_rejection(bits: int) -> Rejection | None:
    """Return why these flags are none, or contradict each other."""
    if bits & ~KNOWN_BITS:
        return Rejection(Outcome.BAD_ORDER, {"why": "unknown flag bits", "flags": str(bits)})
    meaning = MEANINGS[bits]
    if isinstance(meaning, str):
        return Rejection(Outcome.BAD_ORDER, {"why": meaning, "flags": str(bits)})
    return None


def amounts_rejection(order: SignedOrder, market: Market) -> Rejection | None:
    """Return why amounts, trigger or display are no whole lots and ticks within their ranges."""
    lots, rest = divmod(order.base_amount, market.lot_pips)
    if rest or not 1 <= lots <= LOTS_MAX:
        outcome = Outcome.OFF_LOT if rest else Outcome.QUANTITY_OUT_OF_RANGE
        return Rejection(
            outcome, {"base_amount": str(order.base_amount), "lot_pips": str(market.lot_pips)}
        )
    ticks, rest = divmod(order.quote_amount, lots * market.tick_pips)
    if rest or not 1 <= ticks <= PRICE_MAX:
        outcome = Outcome.OFF_TICK if rest else Outcome.PRICE_OUT_OF_RANGE
        return Rejection(
            outcome,
            {
                "quote_amount": str(order.quote_amount),
                "lots": str(lots),
                "tick_pips": str(market.tick_pips),
            },
        )
    if order.flags & _SPECIAL or order.trigger_or_display:
        return _special_rejection(order, market, lots)
    return None


def _special_rejection(order: SignedOrder, market: Market, lots: int) -> Rejection | None:
    """The same of a trigger or a display."""
    told = {"trigger_or_display": str(order.trigger_or_display), "lots": str(lots)}
    if not order.flags & _SPECIAL:
        return Rejection(
            Outcome.BAD_ORDER, {"why": "trigger_or_display is for a stop or an iceberg", **told}
        )
    if order.flags & _STOP:
        step = lots * market.tick_pips
        special, rest = divmod(order.trigger_or_display, step)
        detail = {"why": "the trigger", "tick_pips": str(market.tick_pips), **told}
        off_step, out_of_range = Outcome.OFF_TICK, Outcome.TRIGGER_OUT_OF_RANGE
        fits = 1 <= special <= PRICE_MAX
    else:
        special, rest = divmod(order.trigger_or_display, market.lot_pips)
        detail = {"why": "the display", "lot_pips": str(market.lot_pips), **told}
        off_step, out_of_range = Outcome.OFF_LOT, Outcome.DISPLAY_OUT_OF_RANGE
        fits = 1 <= special <= lots and (lots - 1) // special < ICEBERG_SLICES_MAX
    if rest:
        return Rejection(off_step, detail)
    return None if fits else Rejection(out_of_range, detail)


def place_row(order: SignedOrder, market: Market, account: int) -> np.void:
    """Return the PLACE of an order that neither of the two above refuses."""
    meaning = MEANINGS[order.flags]
    assert isinstance(meaning, Meaning), "judged before"
    lots = order.base_amount // market.lot_pips
    tick_pips = lots * market.tick_pips
    special = 0
    if order.trigger_or_display:
        step = tick_pips if order.flags & _STOP else market.lot_pips
        special = order.trigger_or_display // step
    return command(
        PLACE,
        market=market.number,
        account=account,
        side=_SELL if order.flags & _SELL_BIT else _BUY,
        tif=meaning.tif,
        flags=meaning.flags,
        order_id=special,
        price_ticks=order.quote_amount // tick_pips,
        amount=lots,
        fee_cap_ppm=order.max_fee_ppm,
        expiry_ns=order.expiry * NS,
    )
