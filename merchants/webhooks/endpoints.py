"""Where does a shop want to be told, of what, and how does it change that?"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Engine, and_, func, or_, select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.records.database import reading, transaction
from merchants.records.endpoints import DELIVERY_WAITS, Delivery, Endpoint
from merchants.records.rejection import Rejection
from merchants.records.states import DeliveryState
from merchants.webhooks.egress import Answer, Egress
from merchants.webhooks.event_types import EventType
from merchants.webhooks.events import ping_body
from merchants.webhooks.formats import FORMATS, STANDARD, Message
from merchants.webhooks.sign import SECRET_PREFIX
from merchants.webhooks.store_events import endpoint_changed, endpoint_disabled, endpoint_made

ENDPOINTS_MAX: Final = 5
"""Of one store: each event is sent to all of them, and of those that fail one is in the air each,
which leaves places for those that do not."""

SECRET_SIZE: Final = 32
PAGE_MAX: Final = 100

PINGS_MAX: Final = 32
"""Pings in the air at once, one a store. Where there are more, the one that waits longest for its
answer gives way: an endpoint that hangs keeps nobody's place."""


GAVE_WAY: Final = "no answer before others wanted to ping"


class EndpointRequest(NamedTuple):
    """What a new endpoint is to be. No ``types`` means all."""

    url: str
    types: tuple[str, ...] = ()
    format: str = STANDARD
    enabled: bool = True


class EndpointChange(NamedTuple):
    """What is to be another way; None is as it was."""

    url: str | None = None
    types: tuple[str, ...] | None = None
    format: str | None = None
    enabled: bool | None = None


class EndpointMade(NamedTuple):
    """The only answer that carries the secret."""

    row: Endpoint
    secret: str


class Endpoints:
    """Makes, changes and lists endpoints, and sends again what one has missed."""

    def __init__(
        self,
        database: Engine,
        egress: Egress,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._egress = egress
        self._clock = clock
        self._entropy = entropy
        self._pinging: dict[str, asyncio.Task[Answer]] = {}
        """The ping of each store that has one in the air, the oldest first."""

    def make(self, store_id: str, request: EndpointRequest) -> EndpointMade | Rejection:
        """Make an endpoint. Rejects BAD_WEBHOOK_URL, MALFORMED for a type or format that there is
        not, FORBIDDEN where there are too many."""
        with transaction(self._database) as session:
            return self.make_in(session, store_id, request)

    def add(self, store_id: str, request: EndpointRequest) -> EndpointMade | Rejection:
        """As ``make``, for somebody who asks: those that the store has are told of it."""
        with transaction(self._database) as session:
            made = self.make_in(session, store_id, request)
            if isinstance(made, EndpointMade):
                endpoint_made(session, made.row, self._clock())
            return made

    def make_in(
        self, session: Session, store_id: str, request: EndpointRequest
    ) -> EndpointMade | Rejection:
        """As ``make``, in the caller's transaction."""
        wrong = self.why_not(request.url, request.types, request.format)
        if wrong is not None:
            return wrong
        mine = select(func.count()).where(
            Endpoint.store_id == store_id, Endpoint.deleted_ns.is_(None)
        )
        if (session.scalar(mine) or 0) >= ENDPOINTS_MAX:
            why = "a store has no more endpoints; delete one"
            return Rejection(Outcome.FORBIDDEN, {"why": why, "most": str(ENDPOINTS_MAX)})
        secret = self._new_secret()
        row = Endpoint(
            id="whk_" + self._entropy(16).hex(),
            store_id=store_id,
            url=request.url,
            secrets=secret,
            format=request.format,
            types=" ".join(sorted(set(request.types))),
            enabled=request.enabled,
            why="" if request.enabled else "it was made so",
            created_ns=self._clock(),
            last_ns=0,
            last_status=0,
            last_error="",
        )
        session.add(row)
        session.flush()
        return EndpointMade(row, secret)

    def _new_secret(self) -> str:
        return SECRET_PREFIX + b64encode(self._entropy(SECRET_SIZE)).decode()

    def why_not(self, url: str, types: Sequence[str], name: str) -> Rejection | None:
        """Return why there can be no such endpoint."""
        unreachable = self._egress.rejection(url)
        if unreachable:
            return Rejection(Outcome.BAD_WEBHOOK_URL, {"why": unreachable})
        unknown = sorted(set(types) - set(EventType))
        if unknown:
            why = "there is no such event type"
            return Rejection(Outcome.MALFORMED, {"event_types": " ".join(unknown), "why": why})
        if name not in FORMATS:
            why = "there is no such format"
            return Rejection(Outcome.MALFORMED, {"format": name, "why": why})
        return None

    def change(
        self, store_id: str, endpoint_id: str, change: EndpointChange
    ) -> Endpoint | Rejection:
        """Change an endpoint; what waits for it goes where it is now. Rejects as ``make``, and
        NOT_FOUND."""
        with transaction(self._database) as session:
            row = self._of(session, store_id, endpoint_id)
            if row is None:
                return Rejection(Outcome.NOT_FOUND, {"endpoint": endpoint_id})
            url = row.url if change.url is None else change.url
            types = types_of(row) if change.types is None else change.types
            name = row.format if change.format is None else change.format
            wrong = self.why_not(url, types, name)
            if wrong is not None:
                return wrong
            if url != row.url:
                # What another place answered says nothing about this one.
                row.last_ns, row.last_status, row.last_error = 0, 0, ""
            sorted_types = " ".join(sorted(set(types)))
            what = _what_changed(row, url, name, sorted_types)
            row.url, row.format, row.types = url, name, sorted_types
            was_told = row.enabled
            if change.enabled is not None and change.enabled is not row.enabled:
                row.enabled, row.why = change.enabled, "" if change.enabled else "the shop said so"
            if was_told and not row.enabled:
                endpoint_disabled(session, row, self._clock())
            elif what:
                endpoint_changed(session, row, what, self._clock())
            return row

    def delete(self, store_id: str, endpoint_id: str) -> Endpoint | Rejection:
        """Send nothing more there, and show it no more. Rejects NOT_FOUND."""
        with transaction(self._database) as session:
            row = self._of(session, store_id, endpoint_id)
            if row is None:
                return Rejection(Outcome.NOT_FOUND, {"endpoint": endpoint_id})
            was_told = row.enabled
            row.enabled, row.why, row.deleted_ns = False, "it was deleted", self._clock()
            if was_told:
                endpoint_disabled(session, row, self._clock())
            return row

    def rotate_secret(self, store_id: str, endpoint_id: str) -> str | Rejection:
        """Return a new secret; the one before stays valid beside it until the next. Rejects
        NOT_FOUND."""
        with transaction(self._database) as session:
            row = self._of(session, store_id, endpoint_id)
            if row is None:
                return Rejection(Outcome.NOT_FOUND, {"endpoint": endpoint_id})
            secret = self._new_secret()
            row.secrets = f"{secret} {row.secrets.split(' ')[0]}"
            endpoint_changed(session, row, "another secret", self._clock())
            return secret

    def redeliver(self, store_id: str, delivery_id: int) -> Delivery | Rejection:
        """Send what was sent once more: another delivery with the same webhook-id, or the one that
        waits already. Rejects NOT_FOUND, and FORBIDDEN where the endpoint is not enabled, or has
        no words for it."""
        with transaction(self._database) as session:
            old = session.get(Delivery, delivery_id)
            if old is None or old.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"delivery": str(delivery_id)})
            endpoint = session.get_one(Endpoint, old.endpoint_id)
            if not endpoint.enabled:
                why = "the endpoint is not enabled: " + endpoint.why
                return Rejection(Outcome.FORBIDDEN, {"endpoint": endpoint.id, "why": why})
            if not FORMATS[endpoint.format].tells(old.event.type):
                why = f"there are no words for it in {endpoint.format}"
                return Rejection(Outcome.FORBIDDEN, {"endpoint": endpoint.id, "why": why})
            # However often it is asked for, no more than one waits: each is a row for ever.
            waiting = select(Delivery).where(
                DELIVERY_WAITS,
                Delivery.endpoint_id == endpoint.id,
                Delivery.subject_id == old.subject_id,
                Delivery.event_id == old.event_id,
            )
            row = session.scalar(waiting.order_by(Delivery.id).limit(1))
            if row is not None:
                row.next_attempt_ns = min(row.next_attempt_ns, self._clock())
                return row
            row = Delivery(
                event=old.event,
                endpoint_id=endpoint.id,
                store_id=store_id,
                subject_id=old.subject_id,
                first_id=old.first_id or old.id,
                state=DeliveryState.PENDING,
                created_ns=self._clock(),
                attempts=0,
                next_attempt_ns=self._clock(),
                last_status=0,
                last_error="",
            )
            session.add(row)
            session.flush()
            return row

    async def ping(self, store_id: str, endpoint_id: str) -> Answer | Rejection:
        """Send an event that means nothing, now, enabled or not; return what is answered. Rejects
        NOT_FOUND, and RATE_LIMITED where another ping of the store is in the air."""
        with reading(self._database) as session:
            row = self._of(session, store_id, endpoint_id)
        if row is None:
            return Rejection(Outcome.NOT_FOUND, {"endpoint": endpoint_id})
        if store_id in self._pinging:
            return Rejection(Outcome.RATE_LIMITED, {"why": "another ping is not answered yet"})
        now_s = self._clock() // 10**9
        name = "msg_" + self._entropy(16).hex()
        body = ping_body(endpoint_id, self._clock())
        message = Message("ping", name, body, store_id, "", endpoint_id, name, name, now_s)
        # In our own words, whatever its format: there is nothing in others' to say it in.
        encoded = FORMATS[STANDARD].encode(message, row.secrets.split(" "), now_s)
        if len(self._pinging) >= PINGS_MAX:
            self._pinging.pop(next(iter(self._pinging))).cancel()
        post = self._egress.post(row.url, encoded.headers, encoded.body)
        task = self._pinging[store_id] = asyncio.ensure_future(post)
        try:
            await asyncio.wait([task])
            return Answer(0, error=GAVE_WAY) if task.cancelled() else task.result()
        finally:
            task.cancel()
            if self._pinging.get(store_id) is task:
                del self._pinging[store_id]

    def _of(self, session: Session, store_id: str, endpoint_id: str) -> Endpoint | None:
        row = session.get(Endpoint, endpoint_id)
        there = row is not None and row.store_id == store_id and row.deleted_ns is None
        return row if there else None

    def read(self, store_id: str, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint of a store. Only reads, any thread may."""
        with reading(self._database) as session:
            return self._of(session, store_id, endpoint_id)

    def of_store(
        self, store_id: str, before: str | None = None, limit: int = PAGE_MAX
    ) -> list[Endpoint] | None:
        """Return a store's endpoints, the newest first: those behind its endpoint ``before``; None
        where it has no such. Only reads, any thread may."""
        query = select(Endpoint).where(Endpoint.store_id == store_id, Endpoint.deleted_ns.is_(None))
        with reading(self._database) as session:
            if before is not None:
                last = session.get(Endpoint, before)
                if last is None or last.store_id != store_id:
                    return None
                older = Endpoint.created_ns < last.created_ns
                twin = and_(Endpoint.created_ns == last.created_ns, Endpoint.id > before)
                query = query.where(or_(older, twin))
            query = query.order_by(Endpoint.created_ns.desc(), Endpoint.id)
            return list(session.scalars(query.limit(min(limit, PAGE_MAX))))


def types_of(row: Endpoint) -> tuple[str, ...]:
    """Return the event types that an endpoint wants; none for all."""
    return tuple(row.types.split(" ")) if row.types else ()


def _what_changed(row: Endpoint, url: str, name: str, types: str) -> str:
    """Return what is another way with an endpoint, in words; nothing where nothing is."""
    said = (
        (url != row.url, "it is elsewhere"),
        (types != row.types, "it is told of other events"),
        (name != row.format, "it is told in other words"),
    )
    return ", ".join(words for is_changed, words in said if is_changed)
