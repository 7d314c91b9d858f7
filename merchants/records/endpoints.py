"""Where do shops want to be told, and how does the telling go?"""

from typing import Final

from sqlalchemy import BigInteger, Connection, ForeignKey, Index, Integer, inspect, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from merchants.records.states import DeliveryState
from merchants.records.tables import Event, Table

# Words and not expressions: see ``tables.CONVERSION_WAITS``.
DELIVERY_WAITS: Final = text("state IN ('pending', 'retrying')")

_dense_id = BigInteger().with_variant(Integer(), "sqlite")


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
    repeats, None where it is none. Its webhook-id is the event's, however often it is sent."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index(
            "webhooks_waiting",
            "endpoint_id",
            "next_attempt_ns",
            sqlite_where=DELIVERY_WAITS,
            postgresql_where=DELIVERY_WAITS,
        ),
        Index(
            "webhooks_waiting_of_invoice",
            "endpoint_id",
            "invoice_id",
            "id",
            sqlite_where=DELIVERY_WAITS,
            postgresql_where=DELIVERY_WAITS,
        ),
        Index(
            "webhooks_waiting_by_age",
            "id",
            sqlite_where=DELIVERY_WAITS,
            postgresql_where=DELIVERY_WAITS,
        ),
        Index("webhooks_by_store", "store_id", "id"),
        Index("webhooks_by_endpoint", "endpoint_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_dense_id, primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id"))
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoints.id"))
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"))
    first_id: Mapped[int | None]
    state: Mapped[DeliveryState]
    created_ns: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_ns: Mapped[int]
    last_status: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(default="")

    event: Mapped[Event] = relationship(lazy="joined", innerjoin=True)


def move_endpoints_of_old(connection: Connection) -> None:
    """Give each store of an older file, which had one URL in its own row, that as an ``Endpoint``,
    with all that was or is to be delivered to it."""
    known = inspect(connection)
    if "webhook_url" not in {row["name"] for row in known.get_columns("stores")}:
        return
    connection.execute(
        text(
            "INSERT INTO endpoints (id, store_id, url, secrets, format, types, enabled, why,"
            " created_ns, last_ns, last_status, last_error)"
            " SELECT 'whk_' || substr(id, 5), id, webhook_url, webhook_secrets, 'standard', '',"
            " webhook_enabled, CASE WHEN webhook_enabled THEN '' ELSE 'it answered 410' END,"
            " created_ns, 0, 0, '' FROM stores WHERE webhook_url <> ''"
        )
    )
    if known.has_table("deliveries"):
        connection.execute(
            text(
                "INSERT INTO webhook_deliveries (event_id, endpoint_id, store_id, invoice_id,"
                " state, created_ns, attempts, next_attempt_ns, last_status, last_error)"
                " SELECT d.event_id, 'whk_' || substr(d.store_id, 5), d.store_id, d.invoice_id,"
                " d.state, e.created_ns, d.attempts, d.next_attempt_ns, d.last_status,"
                " d.last_error FROM deliveries d JOIN events e ON e.id = d.event_id"
                " ORDER BY d.event_id"
            )
        )
        connection.execute(text("DROP TABLE deliveries"))
    for name in ("webhook_url", "webhook_secrets", "webhook_enabled"):
        connection.execute(text(f"ALTER TABLE stores DROP COLUMN {name}"))
