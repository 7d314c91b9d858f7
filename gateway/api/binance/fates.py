"""What became of an order as it came in? Values, from the events of its command."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.events import EventKind
from engine.log_entries import EventRow
from engine.types import Outcome

TRADE: Final = int(EventKind.TRADE)
RESTED: Final = int(EventKind.RESTED)
ARMED: Final = int(EventKind.ARMED)
ENDS: Final = frozenset({int(EventKind.UNFILLED), int(EventKind.CANCELLED)})


class OwnFill(NamedTuple):
    """One fill of an order that came in."""

    trade_id: int
    ticks: int
    lots: int
    fee_pips: int


class Fate(NamedTuple):
    """Its fills, what is open of it, and what ended it (0 while it stands or is filled)."""

    fills: list[OwnFill]
    lots_open: int
    reason: int = 0
    is_armed: bool = False


def fate_of(order_id: int, lots: int, events: Sequence[EventRow]) -> Fate:
    """Return what became of an order of ``lots``. The stops that it woke traded in the same breath:
    those are not its fills."""
    fills: list[OwnFill] = []
    left, reason, armed = lots, 0, False
    for event in events:
        if event.kind == TRADE and event.maker_id == order_id:
            left = event.maker_left
        elif event.order_id != order_id:
            continue
        elif event.kind == TRADE:
            fills.append(OwnFill(event.trade_id, event.price_ticks, event.amount, event.fee_pips))
            left = event.order_left
        elif event.kind in (RESTED, ARMED):
            left, armed = event.amount + event.maker_left, event.kind == ARMED
        elif event.kind in ENDS:
            left, reason = 0, event.outcome
    return Fate(fills, left, reason, armed)


CANCELED: Final = frozenset(
    map(
        int,
        (
            Outcome.CANCELLED_BY_OWNER,
            Outcome.CANCELLED_BY_OPERATOR,
            Outcome.CANCELLED_AFTER,
            Outcome.REPLACED,
        ),
    )
)


def status_of(filled: int, is_over: bool, reason: int) -> str:
    """Return an order's status in this dialect's words."""
    if not is_over:
        return "PARTIALLY_FILLED" if filled else "NEW"
    if not reason:
        return "FILLED"
    if reason in CANCELED:
        return "CANCELED"
    return "EXPIRED_IN_MATCH" if reason == Outcome.SELF_TRADE else "EXPIRED"
