"""Which webhook is sent when, and what happens to one that is not answered?

A retry queue with a bound. No event waits for another: what an endpoint refuses comes back by its
own schedule while later ones leave, and ``sequence`` in each body says in which order things
happened. Of one invoice one event is in the air at a time, the earliest that is due; of one store a
few, and a single one while its endpoint fails. Stores take turns, so that endpoints that hang keep
nobody else waiting for long.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Engine, func, select, update
from sqlalchemy.orm import Session

from engine.types import PPM
from merchants.records.database import transaction
from merchants.records.states import DELIVERY_EDGES, DeliveryState, moved
from merchants.records.tables import Delivery, Store
from merchants.webhooks.egress import Answer, Egress
from merchants.webhooks.sign import headers_of

DELAYS_S: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waits after the first, second ... failed attempt: ten attempts in about 76 hours."""

JITTER_PPM: Final = 200_000
RETRY_AFTER_MAX_S: Final = 86_400
IN_FLIGHT_MAX: Final = 64
PER_STORE_MAX: Final = 8
UNANSWERED: Final = "sent, and not answered yet"

GONE: Final = 410
BUSY: Final = 429
UNSENT: Final = (DeliveryState.PENDING, DeliveryState.RETRYING)


class _Flight(NamedTuple):
    """One attempt, ready to leave."""

    event_id: int
    store_id: str
    invoice_id: str
    url: str
    headers: dict[str, str]
    body: bytes


class Deliveries:
    """Sends what the outbox promises."""

    def __init__(
        self, database: Engine, egress: Egress, clock: Callable[[], int], jitter: Random
    ) -> None:
        self._database = database
        self._egress = egress
        self._clock = clock
        self._jitter = jitter
        self._in_flight: dict[int, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: dict[str, int] = {}
        """When each store with something due began last, counted in turns."""
        self._turn = 0
        self._failing: set[str] = set()
        self._is_closing = False

    def start_due(self) -> int:
        """Begin with what is due, as far as there is room; return how many. Needs a running loop.

        A place that has become free takes the next by itself.
        """
        flights = self._take_off(IN_FLIGHT_MAX - len(self._in_flight))
        for flight in flights:
            task = asyncio.create_task(self._fly(flight))
            self._tasks.add(task)
            task.add_done_callback(self._landed)
        return len(flights)

    async def close(self) -> None:
        """Wait for what is in the air. What else is due leaves after the next start: a shop that
        hangs must not keep us open, one delivery after the other."""
        self._is_closing = True
        await self.drain()

    async def drain(self) -> None:
        """Wait for everything that is in the air and all that is due behind it."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # A bug in a delivery must be heard, not kept in a dropped task.

    async def _fly(self, flight: _Flight) -> None:
        """Send ``flight``, then whoever's turn it is, until nothing is due."""
        due = [flight]
        while due:
            try:
                await self._deliver(due[0])
            finally:
                del self._in_flight[due[0].event_id]
            due = self._take_off(1)

    def _take_off(self, room: int) -> list[_Flight]:
        """Return up to ``room`` attempts that leave now.

        An attempt is written down before it leaves: whatever happens to it, the next one keeps to
        the schedule.
        """
        if self._is_closing or room <= 0:
            return []
        with transaction(self._database) as session:
            chosen = self._chosen(session, room)
            for delivery in chosen:
                delivery.attempts += 1
                delivery.last_status, delivery.last_error = 0, UNANSWERED
                delivery.next_attempt_ns = self._clock() + self._wait_ns(delivery.attempts, 0)
            flights = [self._flight_of(session, delivery) for delivery in chosen]
        self._in_flight.update((flight.event_id, flight) for flight in flights)
        return flights

    def _chosen(self, session: Session, room: int) -> list[Delivery]:
        """Return what leaves now: a turn for each store, the longest waiting first."""
        flying = Counter(flight.store_id for flight in self._in_flight.values())
        invoices = [flight.invoice_id for flight in self._in_flight.values()]
        waiting = select(Delivery.store_id).where(*self._due()).group_by(Delivery.store_id)
        store_ids = session.scalars(waiting.order_by(func.min(Delivery.event_id))).all()
        self._turns = {store: self._turns.get(store, 0) for store in store_ids}
        self._failing.intersection_update(self._turns)
        chosen: list[Delivery] = []
        for store_id in sorted(store_ids, key=lambda store: self._turns[store]):
            if len(chosen) == room:
                break
            most = 1 if store_id in self._failing else PER_STORE_MAX
            free = min(most - flying[store_id], max(1, room // len(store_ids)), room - len(chosen))
            if free > 0:
                self._turn += 1
                self._turns[store_id] = self._turn
                chosen += self._first_of(session, store_id, invoices, free)
        return chosen

    def _due(self) -> tuple[ColumnElement[bool], ...]:
        return (
            Delivery.state.in_(UNSENT),
            Delivery.next_attempt_ns <= self._clock(),
            Delivery.event_id.not_in(list(self._in_flight)),
        )

    def _first_of(
        self, session: Session, store_id: str, invoices: list[str], limit: int
    ) -> Sequence[Delivery]:
        """Return the earliest due delivery of each of the store's invoices, ``limit`` at most."""
        earliest = (
            select(func.min(Delivery.event_id))
            .where(
                Delivery.store_id == store_id, Delivery.invoice_id.not_in(invoices), *self._due()
            )
            .group_by(Delivery.invoice_id)
            .order_by(func.min(Delivery.event_id))
            .limit(limit)
        )
        return session.scalars(select(Delivery).where(Delivery.event_id.in_(earliest))).all()

    def _flight_of(self, session: Session, delivery: Delivery) -> _Flight:
        store, body = session.get_one(Store, delivery.store_id), delivery.event.body.encode()
        secrets, now_s = store.webhook_secrets.split(" "), self._clock() // 10**9
        signed = headers_of(secrets, delivery.event.webhook_id, now_s, body)
        return _Flight(
            delivery.event_id, store.id, delivery.invoice_id, store.webhook_url, signed, body
        )

    async def _deliver(self, flight: _Flight) -> None:
        answer = await self._egress.post(flight.url, flight.headers, flight.body)
        with transaction(self._database) as session:
            self._take(session, session.get_one(Delivery, flight.event_id), answer)

    def _take(self, session: Session, delivery: Delivery, answer: Answer) -> None:
        delivery.last_status = answer.status
        delivery.last_error = answer.error
        # Who answers lives, even if he does not like what he got.
        lives = 200 <= answer.status < 500 and answer.status != BUSY
        (self._failing.discard if lives else self._failing.add)(delivery.store_id)
        if answer.status == GONE:
            self._disable(session, delivery.store_id)
        elif 200 <= answer.status < 300:
            delivery.state = moved(DELIVERY_EDGES, delivery.state, DeliveryState.DELIVERED)
        elif delivery.state is DeliveryState.DEAD:
            return  # It was in the air when the endpoint was given up.
        elif delivery.attempts > len(DELAYS_S):
            delivery.state = moved(DELIVERY_EDGES, delivery.state, DeliveryState.DEAD)
        else:
            if delivery.state is DeliveryState.PENDING:
                delivery.state = moved(DELIVERY_EDGES, delivery.state, DeliveryState.RETRYING)
            wait_ns = self._wait_ns(delivery.attempts, answer.retry_after_s)
            delivery.next_attempt_ns = self._clock() + wait_ns

    def _wait_ns(self, attempts: int, retry_after_s: int) -> int:
        """Return the schedule's wait, a fifth more or less, or longer if the shop asks for it."""
        spread_ppm = PPM + self._jitter.randint(-JITTER_PPM, JITTER_PPM)
        wait_ns = DELAYS_S[min(attempts, len(DELAYS_S)) - 1] * spread_ppm * 1000
        return max(wait_ns, min(retry_after_s, RETRY_AFTER_MAX_S) * 10**9)

    def _disable(self, session: Session, store_id: str) -> None:
        """The endpoint says it is gone for good: stop, and keep the events for the event list."""
        session.get_one(Store, store_id).webhook_enabled = False
        session.execute(
            update(Delivery)
            .where(Delivery.store_id == store_id, Delivery.state.in_(UNSENT))
            .values(state=DeliveryState.DEAD)
        )
