"""Which webhook is sent when, and what happens to one that is not answered?

A retry queue with a bound. No event waits for another: what an endpoint refuses comes back by its
own schedule while later ones leave, and ``sequence`` in each body says in which order things
happened. Of one invoice one event is in the air to an endpoint at a time, the earliest that is due,
and so it is of what is of no invoice; of one store a few, and a single one to an endpoint that
fails. Stores take turns, and so do the endpoints of each, so that those that hang keep nobody else
waiting for long.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from random import Random
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine, Select, select, update
from sqlalchemy.orm import Session, lazyload

from engine.types import PPM
from merchants.records.database import transaction
from merchants.records.due import OLDEST_FIRST, TOO_OLD
from merchants.records.endpoints import DELIVERY_WAITS, Delivery, Endpoint
from merchants.records.queues import ENDPOINTS_TO_TELL, LONGEST_DUE
from merchants.records.states import DELIVERY_EDGES, DeliveryState, moved
from merchants.webhooks.egress import Answer, Egress
from merchants.webhooks.formats import FORMATS, Message
from merchants.webhooks.store_events import endpoint_disabled

DELAYS_S: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waits after the first, second ... failed attempt: ten attempts in about 76 hours."""

JITTER_PPM: Final = 200_000
RETRY_AFTER_MAX_S: Final = 86_400
IN_FLIGHT_MAX: Final = 96
PER_STORE_MAX: Final = 24

AGE_MAX_NS: Final = 7 * 24 * 3600 * 10**9
"""An event is given up after ten attempts, or when it is so old."""

LAND_SECONDS: Final = 0.01
"""How long an answer waits for those of others that are in the air, to be written down with them:
a transaction costs as much again as what it says of an answer."""

GIVEN_UP_MAX: Final = 200
"""Most events given up at once, so that nobody waits for it."""

UNANSWERED: Final = "sent, and not answered yet"

GONE: Final = 410
BUSY: Final = 429
UNSENT: Final = (DeliveryState.PENDING, DeliveryState.RETRYING)


class _Flight(NamedTuple):
    """One attempt, ready to leave."""

    delivery_id: int
    endpoint_id: str
    store_id: str
    subject_id: str
    url: str
    headers: dict[str, str]
    body: bytes


class _Due(NamedTuple):
    """An endpoint with something due."""

    endpoint_id: str
    store_id: str
    enabled: bool
    last_ns: int
    last_status: int

    @property
    def fails(self) -> bool:
        """Return whether nothing lived there when we last asked. Who answers lives, even if he
        does not like what he got."""
        lives = 200 <= self.last_status < 500 and self.last_status != BUSY
        return self.last_ns > 0 and not lives


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
        self._answers: list[tuple[_Flight, Answer]] = []
        self._landing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: dict[str, int] = {}
        """When each store, and each endpoint, with something due began last, counted in turns."""
        self._turn = 0
        self._is_closing = False
        self._fault: BaseException | None = None

    def start_due(self) -> int:
        """Begin with what is due, as far as there is room; return how many. Needs a running loop.

        A place that has become free takes the next by itself.
        """
        self._give_up_old()
        with transaction(self._database) as session:
            flights = self._take_off(session)
        return self._leave(flights)

    async def close(self) -> None:
        """Wait for what is in the air. What else is due leaves after the next start: a shop that
        hangs must not keep us open, one delivery after the other."""
        self._is_closing = True
        await self.drain()

    async def drain(self) -> None:
        """Wait for everything that is in the air and all that is due behind it; raises what went
        wrong with one, also before."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._fault is not None:
            raise self._fault

    def _leave(self, flights: list[_Flight]) -> int:
        self._in_flight.update((flight.delivery_id, flight) for flight in flights)
        for flight in flights:
            self._begin(self._fly(flight))
        return len(flights)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._fault = self._fault or task.exception()
            task.result()  # A bug in a delivery must be heard, not kept in a dropped task.

    async def _fly(self, flight: _Flight) -> None:
        """Send ``flight``; its answer is written down with others'."""
        answer = None
        try:
            answer = await self._egress.post(flight.url, flight.headers, flight.body)
        finally:
            if answer is None:
                del self._in_flight[flight.delivery_id]
        self._answers.append((flight, answer))
        if not self._landing:
            self._landing = True
            await self._land()

    async def _land(self) -> None:
        """Write down what was answered, and send whoever's turn it is, until nothing is."""
        try:
            while self._answers:
                if len(self._answers) < len(self._in_flight):
                    await asyncio.sleep(LAND_SECONDS)
                answers, self._answers = self._answers, []
                for flight, _ in answers:
                    del self._in_flight[flight.delivery_id]
                with transaction(self._database) as session:
                    self._take_all(session, answers)
                    flights = self._take_off(session)
                self._leave(flights)
        finally:
            self._landing = False

    def _take_off(self, session: Session) -> list[_Flight]:
        """Return attempts that leave now, as far as there is room.

        An attempt is written down before it leaves: whatever happens to it, the next one keeps to
        the schedule.
        """
        room = IN_FLIGHT_MAX - len(self._in_flight)
        if self._is_closing or room <= 0:
            return []
        chosen = self._chosen(session, room)
        endpoints = _endpoints(session, {one.endpoint_id for one in chosen})
        told = [one for one in chosen if self._has_words(endpoints[one.endpoint_id], one)]
        for delivery in told:
            delivery.attempts += 1
            delivery.last_status, delivery.last_error = 0, UNANSWERED
            delivery.next_attempt_ns = self._clock() + self._wait_ns(delivery.attempts, 0)
        return [self._flight_of(endpoints[one.endpoint_id], one) for one in told]

    def _has_words(self, endpoint: Endpoint, delivery: Delivery) -> bool:
        """Return whether its endpoint can be told of it; what waits while an endpoint changes to
        words that lack it is given up: it would be in the way of all that is due, of all shops."""
        if FORMATS[endpoint.format].tells(delivery.event.type):
            return True
        delivery.last_error = f"there are no words for it in {endpoint.format}"
        delivery.state = moved(DELIVERY_EDGES, delivery.state, DeliveryState.DEAD)
        return False

    def _chosen(self, session: Session, room: int) -> list[Delivery]:
        """Return what leaves now: a turn for each store and its endpoints, the longest waiting
        first."""
        flights = self._in_flight.values()
        to_endpoint = Counter(flight.endpoint_id for flight in flights)
        of_store = Counter(flight.store_id for flight in flights)
        found = session.execute(ENDPOINTS_TO_TELL, {"now_ns": self._clock()})
        due = [_Due(*row) for row in found]
        names = (*(name for one in due for name in one[:2]), *to_endpoint, *of_store)
        self._turns = {name: self._turns.get(name, 0) for name in names}

        def free(one: _Due) -> int:
            most = 1 if one.fails else PER_STORE_MAX
            return min(most - to_endpoint[one.endpoint_id], PER_STORE_MAX - of_store[one.store_id])

        # Who has no free place is not asked about: he may have anything due.
        able = sorted(
            (one for one in due if free(one) > 0),
            key=lambda one: (self._turns[one.store_id], self._turns[one.endpoint_id]),
        )
        chosen: list[Delivery] = []
        for one in able:
            if len(chosen) == room:
                break
            if not one.enabled:
                self._give_up_some_of(session, one.endpoint_id)
                continue
            most = min(free(one), max(1, room // len(able)), room - len(chosen))
            if most <= 0:
                continue  # Other endpoints of the store have taken its places.
            self._turn += 1
            self._turns[one.endpoint_id] = self._turns[one.store_id] = self._turn
            first = self._first_of(session, one.endpoint_id, most)
            of_store[one.store_id] += len(first)
            chosen += first
        return chosen

    def _first_of(self, session: Session, endpoint_id: str, limit: int) -> list[Delivery]:
        """Return deliveries to an endpoint that are due, ``limit`` at most, the longest due first;
        of each subject that has none in the air there the earliest."""
        mine = {"endpoint_id": endpoint_id, "now_ns": self._clock()}
        chosen: list[int] = []
        flights = self._in_flight.values()
        taken = {flight.subject_id for flight in flights if flight.endpoint_id == endpoint_id}
        while len(chosen) < limit:
            # Some more than there is room for: an invoice often has several that wait.
            bounds = {"taken": sorted(taken), "rows_max": 2 * limit}
            found = session.execute(LONGEST_DUE, mine | bounds)
            firsts = dict(tuple(row) for row in found)
            if not firsts:
                break
            for subject_id, first in list(firsts.items())[: limit - len(chosen)]:
                taken.add(subject_id)
                chosen.append(first)
        rows = session.scalars(select(Delivery).where(Delivery.id.in_(chosen))) if chosen else ()
        by_id = {row.id: row for row in rows}
        return [by_id[delivery_id] for delivery_id in chosen]

    def _give_up_old(self) -> None:
        """Give up what is too old, whether its turn has come or not: an endpoint that answers
        slower than its events come would have ever more of them waiting."""
        dead_ns = self._clock() - AGE_MAX_NS
        with transaction(self._database) as session:
            if session.scalar(TOO_OLD, {"dead_ns": dead_ns}) is not None:
                dead = OLDEST_FIRST.limit(GIVEN_UP_MAX).subquery()
                old = select(dead.c.id).join(Delivery, Delivery.id == dead.c.id)
                self._give_up(session, old.where(Delivery.created_ns <= dead_ns))

    def _give_up_some_of(self, session: Session, endpoint_id: str) -> None:
        """Give up some of what waits for an endpoint that is gone: a step comes back for more."""
        mine = select(Delivery.id).where(DELIVERY_WAITS, Delivery.endpoint_id == endpoint_id)
        self._give_up(session, mine.order_by(Delivery.next_attempt_ns).limit(GIVEN_UP_MAX))

    def _give_up(self, session: Session, delivery_ids: Select[int]) -> None:
        session.execute(
            update(Delivery)
            .where(Delivery.id.in_(delivery_ids))
            .values(state=DeliveryState.DEAD)
            .execution_options(synchronize_session=False)
        )

    def _flight_of(self, endpoint: Endpoint, delivery: Delivery) -> _Flight:
        message = message_of(delivery)
        secrets, now_s = endpoint.secrets.split(" "), self._clock() // 10**9
        encoded = FORMATS[endpoint.format].encode(message, secrets, now_s)
        return _Flight(
            delivery_id=delivery.id,
            endpoint_id=endpoint.id,
            store_id=delivery.store_id,
            subject_id=delivery.subject_id,
            url=endpoint.url,
            headers=encoded.headers,
            body=encoded.body,
        )

    def _take_all(self, session: Session, answers: list[tuple[_Flight, Answer]]) -> None:
        endpoints = _endpoints(session, {flight.endpoint_id for flight, _ in answers})
        names = sorted(flight.delivery_id for flight, _ in answers)
        # What they told is not read again.
        query = select(Delivery).where(Delivery.id.in_(names)).options(lazyload(Delivery.event))
        sent = {row.id: row for row in session.scalars(query)}
        for flight, answer in answers:
            row, endpoint = sent[flight.delivery_id], endpoints[flight.endpoint_id]
            self._take(session, flight, row, endpoint, answer)

    def _take(
        self,
        session: Session,
        flight: _Flight,
        delivery: Delivery,
        endpoint: Endpoint,
        answer: Answer,
    ) -> None:
        delivery.last_status = endpoint.last_status = answer.status
        delivery.last_error = endpoint.last_error = answer.error
        endpoint.last_ns = self._clock()
        if answer.status == GONE and flight.url == endpoint.url:
            # Gone for good, it says: the events stay in the event list. Others that wait are given
            # up in the next steps, some at a time.
            if endpoint.enabled and endpoint.deleted_ns is None:
                endpoint.enabled, endpoint.why = False, "it answered 410"
                endpoint_disabled(session, endpoint, self._clock())
            endpoint.enabled = False
            if delivery.state in UNSENT:
                delivery.state = moved(DELIVERY_EDGES, delivery.state, DeliveryState.DEAD)
            session.flush()
            self._give_up_some_of(session, endpoint.id)
            session.expire_all()  # What else was answered may be among these.
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


def _endpoints(session: Session, names: Collection[str]) -> dict[str, Endpoint]:
    query = select(Endpoint).where(Endpoint.id.in_(sorted(names)))
    return {row.id: row for row in session.scalars(query)} if names else {}


def message_of(delivery: Delivery) -> Message:
    """Return what a delivery tells."""
    event = delivery.event
    return Message(
        type=event.type,
        webhook_id=event.webhook_id,
        body=event.body,
        store_id=delivery.store_id,
        invoice_id=event.invoice_id or "",
        endpoint_id=delivery.endpoint_id,
        delivery_id=str(delivery.id),
        first_delivery_id=str(delivery.first_id or delivery.id),
        created_at=event.created_ns // 10**9,
    )
