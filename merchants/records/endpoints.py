"""Where do shops want to be told, and how does the telling go?"""

from typing import Final

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from merchants.records.states import DeliveryState
from merchants.records.tables import Event, Table, dense_id, only

# Words and not expressions: see ``tables.CONVERSION_WAITS``.
DELIVERY_WAITS: Final = text("state IN ('pending', 'retrying')")


class Endpoint(Table):
    """A URL that a shop is told at.

    ``secrets`` are space separated, the newest first: each attempt is signed with all of them.
    ``format`` is one of ``merchants.webhooks.formats``. ``types`` are the event types it wants,
    space separated, empty for all. ``why`` says why it is not ``enabled``. ``last_*`` is its last
    answer, 0 and empty before the first.
    """

    __tablename__ = "endpoints"
    __table_args__ = (Index("endpoints_by_store", "store_id", "created_ns", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    url: Mapped[str]
    secrets: Mapped[str]
    format: Mapped[str]
    types: Mapped[str]
    enabled: Mapped[bool]
    why: Mapped[str]
    created_ns: Mapped[int]
    deleted_ns: Mapped[int | None]
    last_ns: Mapped[int] = mapped_column(default=0)
    last_status: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(default="")


class Delivery(Table):
    """The sending of one event to one endpoint; ``first_id`` is the delivery that a redelivery
    repeats, None where it is none. Its webhook-id is the event's, however often it is sent.
    ``subject_id`` is the event's invoice, or its store where it is of no invoice: of one subject
    one event is in the air to an endpoint at a time."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index(
            "webhooks_waiting",
            "endpoint_id",
            "next_attempt_ns",
            **only(DELIVERY_WAITS),
        ),
        Index(
            "webhooks_waiting_of_subject",
            "endpoint_id",
            "subject_id",
            "id",
            **only(DELIVERY_WAITS),
        ),
        Index(
            "webhooks_waiting_by_age",
            "id",
            **only(DELIVERY_WAITS),
        ),
        Index("webhooks_by_store", "store_id", "id"),
        Index("webhooks_by_endpoint", "endpoint_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(dense_id, primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id"))
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoints.id"))
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    subject_id: Mapped[str]
    first_id: Mapped[int | None]
    state: Mapped[DeliveryState]
    created_ns: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_ns: Mapped[int]
    last_status: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(default="")

    event: Mapped[Event] = relationship(lazy="joined", innerjoin=True)
