"""How does what is done with orders that stand, or with several, look in the native JSON?

Shared by REST and WebSocket: check shape and bounds, hand on to order entry, translate the result.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from engine.command_result import CommandResult
from engine.types import LOTS_MAX, Outcome
from gateway.api.services import Services
from gateway.api.v1.encoding import ClientId, order_id
from gateway.api.v1.orders import (
    PlaceOrder,
    RecvWindowMs,
    SentMs,
    bad_signature,
    cancelled,
    placed_answer,
    require,
)
from gateway.api.v1.schemas import Cancelled, Placed
from gateway.api.v1.verb_schemas import Amended, Armed, CancelledAll
from gateway.http.problems import document_of
from gateway.trading.order_entry import Target
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session
from gateway.trading.together import Replaced, Said
from settlement.orders.catalog import Market
from settlement.protocol.evidence import SignedOrder

MANY_MAX: Final = 50
"""Orders in one request."""

TOLD_AT_ONCE: Final = 8
"""Answers to orders between two turns of the loop."""

SWITCH_SECONDS_MAX: Final = 24 * 3600

OrderIdText = Annotated[str, Meta(min_length=1, max_length=19)]
LotsOpen = Annotated[
    int, Meta(ge=1, le=LOTS_MAX, description="what it shall have open: fewer than it has now")
]
SwitchSeconds = Annotated[
    int, Meta(ge=0, le=SWITCH_SECONDS_MAX, description="from now on; 0 disarms")
]
Mode = Literal["STOP_ON_FAILURE", "ALLOW_FAILURE"]


class Named(Struct, forbid_unknown_fields=True, frozen=True):
    """An order by its id or by its client id, exactly one of both."""

    order_id: OrderIdText | None = None
    client_id: ClientId | None = None


class Amend(Struct, forbid_unknown_fields=True, frozen=True):
    """A smaller size for an order that stands."""

    lots_open: LotsOpen
    sent_ms: SentMs = None
    recv_window_ms: RecvWindowMs = None


class CancelMany(Struct, forbid_unknown_fields=True, frozen=True):
    """Orders to be cancelled, each with a result of its own."""

    orders: Annotated[list[Named], Meta(min_length=1, max_length=MANY_MAX)]
    sent_ms: SentMs = None
    recv_window_ms: RecvWindowMs = None


class PlaceMany(Struct, forbid_unknown_fields=True, frozen=True):
    """Signed orders, each with a result of its own; what time bounds is stated once for all."""

    orders: Annotated[list[PlaceOrder], Meta(min_length=1, max_length=MANY_MAX)]
    sent_ms: SentMs = None
    recv_window_ms: RecvWindowMs = None


class Replace(Struct, forbid_unknown_fields=True, frozen=True):
    """An order to be cancelled and the one that shall stand in its place.

    ``STOP_ON_FAILURE``: the order is placed only if the cancel has happened. ``ALLOW_FAILURE``: it
    is placed whatever becomes of the cancel.
    """

    cancel: Named
    order: PlaceOrder
    mode: Mode = "STOP_ON_FAILURE"
    sent_ms: SentMs = None
    recv_window_ms: RecvWindowMs = None


class CancelAfter(Struct, forbid_unknown_fields=True, frozen=True):
    """The dead man's switch."""

    seconds: SwitchSeconds
    sent_ms: SentMs = None
    recv_window_ms: RecvWindowMs = None


def target_of(order: str | None, client_id: str | None) -> Target:
    """Return which order is meant; refused unless exactly one name is given."""
    if (not order) == (not client_id):
        raise Rejection(Outcome.MALFORMED, "name one order: by order_id or by client_id")
    return order_id(order) if order else client_id or ""


def market_meant(services: Services, symbol: str | None) -> Market | None:
    """Return the market of that name, None for all of them; refused when there is none."""
    if symbol is None:
        return None
    market = services.exchange.catalog.market(symbol)
    if market is None:
        raise Rejection(Outcome.UNKNOWN_MARKET, f"there is no market called {symbol[:32]!r}")
    return market


def require_own(services: Services, me: Session, order: SignedOrder) -> None:
    """Refuse an order that is to stand in another's place before that is cancelled for nothing:
    where no key can have signed it, or it is another account's."""
    if not order.signer:
        raise bad_signature(Outcome.BAD_SIGNATURE, services.exchange.domain, order)
    if order.account != me.account:
        raise Rejection(Outcome.FORBIDDEN, "the order is another account's than the session")


def cancelled_target(target: Target, result: CommandResult) -> Cancelled:
    """As ``orders.cancelled``, however the order was named."""
    return cancelled(result.order_id if isinstance(target, str) else target, result)


def amended(target: Target, lots: int, result: CommandResult) -> Amended:
    """Return what the client is told about an amendment; raises ``Rejection`` if rejected."""
    require(result)
    order = next((e.order_id for e in result.events or () if e.order_id), 0)
    return Amended(
        order_id=str(order or target),
        lots_open=lots,
        sequence=result.sequence,
        time_ns=str(result.time_ns),
    )


def cancelled_all(result: CommandResult) -> CancelledAll:
    """Return how many orders went; raises ``Rejection`` if it was rejected."""
    require(result)
    return CancelledAll(
        cancelled=int(result.detail["cancelled"]),
        left=int(result.detail["left"]),
        sequence=result.sequence,
        time_ns=str(result.time_ns),
    )


def armed(deadline_ns: int, result: CommandResult) -> Armed:
    """Return when the switch goes off; raises ``Rejection`` if it was rejected."""
    require(result)
    return Armed(
        deadline_ns=str(deadline_ns) if deadline_ns else None,
        sequence=result.sequence,
        time_ns=str(result.time_ns),
    )


def cancel_result(target: Target, said: Said) -> dict[str, Any]:
    """Return a ``CancelResult``; the problem with all its figures."""
    try:
        return {"result": cancelled_target(target, _done(said)), "error": None}
    except Rejection as rejection:
        return {"result": None, "error": document_of(rejection)}


def place_result(services: Services, order: SignedOrder, said: Said) -> dict[str, Any]:
    """Return a ``PlaceResult``; the problem with all its figures."""
    try:
        return {"result": _placed(services, order, said), "error": None}
    except Rejection as rejection:
        return {"result": None, "error": document_of(rejection)}


def cancel_results(targets: Sequence[Target], said: Sequence[Said]) -> dict[str, Any]:
    """Return ``CancelResults``."""
    rows = [cancel_result(*each) for each in zip(targets, said, strict=True)]
    return {"results": rows}


async def place_results(
    services: Services, orders: Sequence[SignedOrder], said: Sequence[Said]
) -> dict[str, Any]:
    """Return ``PlaceResults``; a few at a time, for each may have to be acknowledged anew."""
    rows: list[dict[str, Any]] = []
    for order, each in zip(orders, said, strict=True):
        if len(rows) % TOLD_AT_ONCE == TOLD_AT_ONCE - 1:
            await asyncio.sleep(0)
        rows.append(place_result(services, order, each))
    return {"results": rows}


def replaced(
    services: Services, target: Target, order: SignedOrder, both: Replaced
) -> tuple[Mapping[str, Any], bool]:
    """Return a ``Replaced``, or a ``ReplaceProblem``, and whether all of it has happened."""
    rows = {
        "cancel": cancel_result(target, both.cancel),
        "place": None if both.place is None else place_result(services, order, both.place),
    }
    if both.is_whole:
        return rows, True
    refused = rows["cancel"] if both.place is None or both.place_is_done else rows["place"]
    assert refused is not None, "one of them was"
    document = refused["error"] | rows
    return document | {"status": 409} if both.is_half else document, False


def _done(said: Said) -> CommandResult:
    if isinstance(said, Rejection):
        raise said
    return said


def _placed(services: Services, order: SignedOrder, said: Said) -> Placed:
    return placed_answer(services, order, _done(said))
