"""Which webhook is sent when, and what happens to one that is not answered?

Deliveries of one invoice leave in order, a later one waits for an earlier one; nothing else waits
for anything. Each store has one delivery in the air at a time and each is a task of its own, so an
endpoint that hangs delays only itself.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, TypeVar

from sqlalchemy import Engine, Select, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from engine.types import PPM
from merchants.database import transaction
from merchants.lifecycles import DELIVERY_EDGES, DeliveryState, moved
from merchants.model import Delivery, Store
from merchants.webhooks.egress import Answer, Egress
from merchants.webhooks.sign import headers_of

DELAYS_S: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waits after the first, second ... failed attempt: ten attempts in about 76 hours."""

JITTER_PPM: Final = 200_000
RETRY_AFTER_MAX_S: Final = 86_400
IN_FLIGHT_MAX: Final = 64

GONE: Final = 410
UNSENT: Final = (DeliveryState.PENDING, DeliveryState.RETRYING)

Key = TypeVar("Key", str, int)


class Deliveries:
    """Sends what the outbox promises."""

    def __init__(
        self, database: Engine, egress: Egress, clock: Callable[[], int], jitter: Random
    ) -> None:
        self._database = database
        self._egress = egress
        self._clock = clock
        self._jitter = jitter
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._is_closing = False

    def start_due(self) -> int:
        """Begin with the stores that have something due; return how many. Needs a running loop."""
        room = IN_FLIGHT_MAX - len(self._in_flight)
        if room <= 0:
            return 0
        due = self._due(Delivery.store_id).where(Delivery.store_id.not_in(self._in_flight))
        with transaction(self._database) as session:
            store_ids = session.scalars(due.distinct().limit(room)).all()
        for store_id in store_ids:
            task = asyncio.create_task(self._deliver_all(store_id))
            self._in_flight[store_id] = task
            task.add_done_callback(partial(self._landed, store_id))
        return len(store_ids)

    async def close(self) -> None:
        """Wait for the one delivery of each store that is in the air. What else is due leaves after
        the next start: a shop that hangs must not keep us open, one delivery after the other."""
        self._is_closing = True
        await self.drain()

    async def drain(self) -> None:
        """Wait for everything that is in the air and all that is due behind it."""
        await asyncio.gather(*self._in_flight.values())

    def _landed(self, store_id: str, task: asyncio.Task[None]) -> None:
        del self._in_flight[store_id]
        if not task.cancelled():
            task.result()  # A bug in a delivery must be heard, not kept in a dropped task.

    def _due(self, column: InstrumentedAttribute[Key]) -> Select[Key]:
        """Return the query for what may leave now: an invoice's earlier events go first."""
        earlier = aliased(Delivery)
        blocked = (
            select(earlier.event_id)
            .where(
                earlier.invoice_id == Delivery.invoice_id,
                earlier.event_id < Delivery.event_id,
                earlier.state.in_(UNSENT),
            )
            .exists()
        )
        return select(column).where(
            Delivery.state.in_(UNSENT), Delivery.next_attempt_ns <= self._clock(), ~blocked
        )

    async def _deliver_all(self, store_id: str) -> None:
        """Send what is due to one store, one after the other, until nothing is."""
        while not self._is_closing:
            due = self._due(Delivery.event_id).where(Delivery.store_id == store_id)
            due = due.order_by(Delivery.next_attempt_ns, Delivery.event_id).limit(1)
            with transaction(self._database) as session:
                event_id = session.scalar(due)
            if event_id is None:
                return
            await self._deliver(event_id)

    async def _deliver(self, event_id: int) -> None:
        with transaction(self._database) as session:
            delivery = session.get_one(Delivery, event_id)
            store = session.get_one(Store, delivery.store_id)
        body = delivery.event.body.encode()
        headers = headers_of(
            store.webhook_secrets.split(" "),
            delivery.event.webhook_id,
            self._clock() // 10**9,
            body,
        )
        answer = await self._egress.post(store.webhook_url, headers, body)
        with transaction(self._database) as session:
            self._take(session, session.get_one(Delivery, event_id), answer)

    def _take(self, session: Session, delivery: Delivery, answer: Answer) -> None:
        delivery.attempts += 1
        delivery.last_status = answer.status
        delivery.last_error = answer.error
        if answer.status == GONE:
            self._disable(session, delivery.store_id)
        elif 200 <= answer.status < 300:
            delivery.state = moved(DELIVERY_EDGES, delivery.state, DeliveryState.DELIVERED)
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
        wait_ns = DELAYS_S[attempts - 1] * spread_ppm * 1000
        return max(wait_ns, min(retry_after_s, RETRY_AFTER_MAX_S) * 10**9)

    def _disable(self, session: Session, store_id: str) -> None:
        """The endpoint says it is gone for good: stop, and keep the events for the event list."""
        session.get_one(Store, store_id).webhook_enabled = False
        session.execute(
            update(Delivery)
            .where(Delivery.store_id == store_id, Delivery.state.in_(UNSENT))
            .values(state=DeliveryState.DEAD)
        )
