"""What does one stream do with orders?

Whatever has to be in order is a step: it is offered to the exchange when all before it is, and
answered when all before it is answered. Signers are found meanwhile, of all steps at once. A cancel
by id overtakes what is still looked at; one by client id does not, for it may be about that.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from engine.command_result import CommandResult
from gateway.api.services import Services
from gateway.api.v1.orders import checked_order, placed_answer, timely
from gateway.api.v1.stream.frames import (
    Amend,
    Cancel,
    CancelAfter,
    CancelAll,
    CancelMany,
    Place,
    PlaceMany,
    Replace,
)
from gateway.api.v1.verbs import (
    amended,
    armed,
    cancel_results,
    cancelled_all,
    cancelled_target,
    market_meant,
    place_results,
    replaced,
    require_own,
    target_of,
)
from gateway.http.faults import Faults
from gateway.trading.order_entry import OrderEntry, Target
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session
from gateway.trading.together import Replacement, Said, Several, tried
from gateway.views.channels import Published
from settlement.protocol.evidence import SignedOrder

FrameId = int | str | None
Result = Mapping[str, Any] | Struct


class Half(Exception):
    """Not all of a request has happened; ``document`` tells what of it has."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__("half of it has happened")
        self.document = document


Answered = Callable[[FrameId, Result], Published]
Rejected = Callable[[FrameId, Rejection | Mapping[str, Any]], Published]


class _Step:
    """Something that is offered, and answered, in its turn."""

    __slots__ = ("answer", "count", "frame_id", "offer", "proven", "queued", "told")

    def __init__(
        self,
        frame_id: FrameId,
        count: int,
        proven: asyncio.Future[Any] | None,
        offer: Callable[[], Any],
        told: Callable[[Any], Result],
    ) -> None:
        """``offer`` returns, now or as a future, what ``told`` turns into a result; both may raise
        ``Rejection``. It is called when ``proven``, if any, is done."""
        self.frame_id = frame_id
        self.count = count
        """For how many orders it counts."""
        self.proven = proven
        self.offer = offer
        self.told = told
        self.queued: asyncio.Future[None] | None = None
        """Where a part of it is offered later: nothing behind it is before that."""
        self.answer: Any = None


class Verbs:
    """The orders of one connection, from their frames to their answers."""

    def __init__(
        self,
        services: Services,
        entry: OrderEntry,
        faults: Faults,
        quiet: asyncio.Event,
        answered: Answered,
        rejected: Rejected,
        send: Callable[[list[Published]], None],
        read_on: Callable[[], None],
    ) -> None:
        """``answered`` and ``rejected`` return what ``send`` tells the client, many at once;
        ``read_on`` is called when there may be room for more."""
        self._services = services
        self._entry = entry
        self._faults = faults
        self._answered = answered
        self._rejected = rejected
        self._send = send
        self._read_on = read_on
        self._unoffered: deque[_Step] = deque()
        self._unanswered: deque[_Step] = deque()
        self.under_way = 0
        """Orders and cancels without an answer."""
        self.quiet = quiet
        """Set while nothing is under way."""
        self.quiet.set()

    # What frames ask for

    def place(self, frame: Place) -> None:
        """Place one signed order."""
        order = frame.order
        window = timely(self._services, order.sent_ms, order.recv_window_ms)
        recovered = self._entry.verify(checked_order(order))
        self._step(
            _Step(
                frame.id,
                1,
                recovered,
                lambda: self._entry.offer(recovered.result(), window),
                lambda said: placed_answer(self._services, recovered.result(), said),
            )
        )

    def place_many(self, frame: PlaceMany) -> None:
        """Place many, with a result each."""
        window = timely(self._services, frame.sent_ms, frame.recv_window_ms)
        recovered = [self._entry.verify(checked_order(order)) for order in frame.orders]
        orders: list[SignedOrder] = []

        def offer() -> asyncio.Future[Any]:
            orders.extend(each.result() for each in recovered)
            several = Several([partial(self._entry.offer, order, window) for order in orders])
            step.queued = several.queued
            return asyncio.ensure_future(self._results(orders, several.offer()))

        step = _Step(
            frame.id,
            len(recovered),
            _all_of(recovered),
            offer,
            dict,
        )
        self._step(step)

    async def _results(
        self, orders: list[SignedOrder], said: asyncio.Future[list[Said]]
    ) -> dict[str, Any]:
        return await place_results(self._services, orders, await said)

    def replace(self, frame: Replace, me: Session) -> None:
        """Cancel one order and place another."""
        services, entry = self._services, self._entry
        target = target_of(frame.cancel.order_id, frame.cancel.client_id)
        window = timely(services, frame.sent_ms, frame.recv_window_ms)
        recovered = entry.verify(checked_order(frame.order))

        def offer() -> asyncio.Future[Any]:
            order = recovered.result()
            require_own(services, me, order)
            replacement = Replacement(entry, me, order)
            step.queued = replacement.queued
            return replacement.offer(target, frame.mode == "STOP_ON_FAILURE", window)

        def told(both: Any) -> Result:
            document, is_whole = replaced(services, target, recovered.result(), both)
            if not is_whole:
                raise Half(document)
            return document

        step = _Step(frame.id, 2, recovered, offer, told)
        self._step(step)

    def cancel(self, frame: Cancel, me: Session) -> None:
        """Take one order off the book."""
        window = timely(self._services, frame.sent_ms, frame.recv_window_ms)
        target = target_of(frame.order_id, frame.client_id)
        offer = partial(self._entry.offer_cancel, me, target, window)
        self._about([target], frame.id, 1, offer, partial(cancelled_target, target))

    def cancel_many(self, frame: CancelMany, me: Session) -> None:
        """Take many off the book, with a result each."""
        window = timely(self._services, frame.sent_ms, frame.recv_window_ms)
        targets = [target_of(each.order_id, each.client_id) for each in frame.orders]

        def offer() -> asyncio.Future[Any]:
            return Several(
                [partial(self._entry.offer_cancel, me, target, window) for target in targets]
            ).offer()

        self._about(targets, frame.id, len(targets), offer, partial(cancel_results, targets))

    def amend(self, frame: Amend, me: Session) -> None:
        """Leave one order fewer lots."""
        window = timely(self._services, frame.sent_ms, frame.recv_window_ms)
        target, lots = target_of(frame.order_id, frame.client_id), frame.lots_open
        offer = partial(self._entry.offer_amend, me, target, lots, window)
        self._about([target], frame.id, 1, offer, partial(amended, target, lots))

    def cancel_all(self, frame: CancelAll, me: Session) -> None:
        """Take all off the book; those too that came on this stream before and are looked at."""
        window = timely(self._services, frame.sent_ms, frame.recv_window_ms)
        market = market_meant(self._services, frame.market)
        offer = partial(self._entry.offer_cancel_all, me, market, window)
        self._step(_Step(frame.id, 1, None, offer, cancelled_all))

    def cancel_after(self, frame: CancelAfter, me: Session) -> None:
        """Arm the dead man's switch, or disarm it."""
        window = timely(self._services, frame.sent_ms, frame.recv_window_ms)
        deadline_ns = 0

        def offer() -> CommandResult | asyncio.Future[CommandResult]:
            nonlocal deadline_ns
            deadline_ns, offered = self._entry.offer_cancel_after(me, frame.seconds, window)
            return offered

        self._ask(frame.id, 1, offer, lambda said: armed(deadline_ns, said))

    # At once

    def _about(
        self,
        targets: list[Target],
        frame_id: FrameId,
        count: int,
        offer: Callable[[], Any],
        told: Callable[[Any], Result],
    ) -> None:
        """Do at once what is about orders by id; by client id they may be on their way to us."""
        if self._unoffered and any(isinstance(target, str) for target in targets):
            self._step(_Step(frame_id, count, None, offer, told))
        else:
            self._ask(frame_id, count, offer, told)

    def _ask(
        self,
        frame_id: FrameId,
        count: int,
        offer: Callable[[], Any],
        told: Callable[[Any], Result],
    ) -> None:
        answer = tried(offer)  # Its account's budget is no reason not to read on.
        if not isinstance(answer, asyncio.Future):
            self._send([self._said(frame_id, told, answer)])
            return
        self._begin(count)
        answer.add_done_callback(partial(self._tell_later, frame_id, count, told))

    def _tell_later(
        self,
        frame_id: FrameId,
        count: int,
        told: Callable[[Any], Result],
        answer: asyncio.Future[Any],
    ) -> None:
        with self._faults:
            self._end(count)
            self._send([self._said(frame_id, told, answer.result())])
        self._read_on()

    # In order

    def _step(self, step: _Step) -> None:
        self._begin(step.count)
        self._unoffered.append(step)
        if step.proven is None or step.proven.done():
            self._offer_in_order(None)
        else:
            step.proven.add_done_callback(self._offer_in_order)

    def _offer_in_order(self, _: object) -> None:
        """Offer to the exchange what is proven, as far as all before it is."""
        if not self._unoffered:
            return  # The first of those that were proven together has brought all the others.
        with self._faults:
            while self._unoffered:
                step = self._unoffered[0]
                if step.answer is None and not self._offer(step):
                    break
                if step.queued is not None and not step.queued.done():
                    break
                self._unoffered.popleft()
        self._answer_in_order(None)

    def _offer(self, step: _Step) -> bool:
        """Offer ``step``, if it is proven; return whether it was."""
        if step.proven is not None and not step.proven.done():
            return False
        step.answer = tried(step.offer)
        self._unanswered.append(step)
        if isinstance(step.answer, asyncio.Future):
            step.answer.add_done_callback(self._answer_in_order)
        if step.queued is not None and not step.queued.done():
            step.queued.add_done_callback(self._offer_in_order)
        return True

    def _answer_in_order(self, _: object) -> None:
        """Tell what is answered, as far as all before it is, in one go: what a batch of the journal
        decides is answered together."""
        if not self._unanswered or not _is_done(self._unanswered[0]):
            return
        said: list[Published] = []
        with self._faults:
            try:
                while self._unanswered and _is_done(self._unanswered[0]):
                    step = self._unanswered.popleft()
                    self._end(step.count)
                    answer = step.answer
                    if isinstance(answer, asyncio.Future):
                        answer = answer.result()
                    said.append(self._said(step.frame_id, step.told, answer))
            finally:
                self._send(said)
        self._read_on()

    def _said(self, frame_id: FrameId, told: Callable[[Any], Result], answer: Any) -> Published:
        """Return what the client is told: ``told`` of an answer, unless it is a rejection."""
        try:
            if isinstance(answer, Rejection):
                return self._rejected(frame_id, answer)
            return self._answered(frame_id, told(answer))
        except Rejection as rejection:
            return self._rejected(frame_id, rejection)
        except Half as half:
            return self._rejected(frame_id, half.document)

    def _begin(self, count: int) -> None:
        self.under_way += count
        self.quiet.clear()

    def _end(self, count: int) -> None:
        self.under_way -= count
        if not self.under_way:
            self.quiet.set()


def _is_done(step: _Step) -> bool:
    return not isinstance(step.answer, asyncio.Future) or step.answer.done()


def _all_of(recovered: list[asyncio.Future[SignedOrder]]) -> asyncio.Future[Any]:
    """Return a future that is done when all of them are."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    open_count = len(recovered)

    def close(_: object) -> None:
        nonlocal open_count
        open_count -= 1
        if not open_count:
            done.set_result(None)

    for each in recovered:
        each.add_done_callback(close)
    return done
