"""What is done with several orders in one request?

Many are offered one after the other and each has an answer of its own. Of a replacement the second
half may depend on the first: then it is offered when that is answered.
"""

from asyncio import Future, ensure_future, get_running_loop, sleep
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from engine.command_result import CommandResult
from gateway.trading.order_entry import OrderEntry, Target
from gateway.trading.recv_window import RecvWindow
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session
from settlement.protocol.evidence import SignedOrder

OFFERED_AT_ONCE: Final = 8
"""Orders between two turns of the loop: half a millisecond of work."""

Said = CommandResult | Rejection
"""What became of one of several."""

Offered = Said | Future[CommandResult]
"""The same, now or later."""


class Replaced(NamedTuple):
    """What became of both halves; no order was offered where ``place`` is None."""

    cancel: Said
    place: Said | None

    @property
    def is_whole(self) -> bool:
        """Return whether both have happened."""
        return _is_done(self.cancel) and self.place_is_done

    @property
    def place_is_done(self) -> bool:
        """Return whether the order was taken."""
        return self.place is not None and _is_done(self.place)

    @property
    def is_half(self) -> bool:
        """Return whether one has happened and the other has not."""
        return _is_done(self.cancel) != self.place_is_done


def tried(offer: Callable[[], CommandResult | Future[CommandResult]]) -> Offered:
    """Return what ``offer`` returns or raises."""
    try:
        return offer()
    except Rejection as rejection:
        return rejection


def gathered(offered: Sequence[Offered]) -> Future[list[Said]]:
    """Return all answers, in their order, when the last of them has come."""
    answer: Future[list[Said]] = get_running_loop().create_future()
    waited = [each for each in offered if isinstance(each, Future)]
    open_count = len(waited)

    def close(_: object = None) -> None:
        nonlocal open_count
        open_count -= 1
        if open_count <= 0 and not answer.done():
            answer.set_result(
                [each.result() if isinstance(each, Future) else each for each in offered]
            )

    for each in waited:
        each.add_done_callback(close)
    if not waited:
        close()
    return answer


class Several:
    """Many offers, made in their order and a few at a time: others have a turn in between."""

    def __init__(self, offers: Sequence[Callable[[], CommandResult | Future[CommandResult]]]):
        self._offers = deque(offers)
        self._offered: list[Offered] = []
        self.queued: Future[None] = get_running_loop().create_future()
        """Done when all of them are made."""

    def offer(self) -> Future[list[Said]]:
        """Begin at once; return what became of each, when the last is answered."""
        self._some()
        return ensure_future(self._go_on())

    async def _go_on(self) -> list[Said]:
        try:
            while self._offers:
                await sleep(0)
                self._some()
        finally:
            self.queued.set_result(None)
        return await gathered(self._offered)

    def _some(self) -> None:
        for _ in range(min(OFFERED_AT_ONCE, len(self._offers))):
            self._offered.append(tried(self._offers.popleft()))


class Replacement:
    """A cancel and the order that shall stand in its place, in one request."""

    def __init__(self, entry: OrderEntry, me: Session, order: SignedOrder) -> None:
        """``order`` is verified."""
        self._entry, self._me, self._order = entry, me, order
        self.queued: Future[None] = get_running_loop().create_future()
        """Done when nothing of it is still to be offered: what comes behind it may be."""

    def offer(
        self, target: Target, stops_on_failure: bool, window: RecvWindow | None
    ) -> Future[Replaced]:
        """Offer the cancel, and the order behind it: at once, or when the cancel has happened."""
        cancel = tried(partial(self._entry.offer_cancel, self._me, target, window))
        if stops_on_failure:
            return ensure_future(self._one_by_one(cancel, window))
        place = tried(partial(self._entry.offer, self._order, window))
        self.queued.set_result(None)
        return ensure_future(_both(cancel, place))

    async def _one_by_one(self, offered: Offered, window: RecvWindow | None) -> Replaced:
        (cancel,) = await gathered([offered])
        try:
            if not _is_done(cancel):
                return Replaced(cancel, None)
            place = tried(partial(self._entry.offer, self._order, window))
        finally:
            self.queued.set_result(None)
        return await _both(cancel, place)


async def _both(cancel: Offered, place: Offered) -> Replaced:
    return Replaced(*await gathered([cancel, place]))


def _is_done(said: Said) -> bool:
    return isinstance(said, CommandResult) and said.accepted
