"""Which rows does the merchants' side keep?

Amounts are pips (int64) except columns called ``raw``, which are decimal text because raw units
of an 18-decimal token do not fit 64 bits. Times are unix nanoseconds unless the name says
otherwise. A row that promises an action to the outside (a sweep, an order, a webhook) is written
in the transaction of the state change that causes it, and the action may be repeated.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TextClause,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from merchants.records.states import (
    ConversionState,
    CreditState,
    DeliveryState,
    InvoiceException,
    InvoiceState,
    PaymentState,
)

if TYPE_CHECKING:
    from merchants.records.options import Option
    from merchants.records.others import Other
    from merchants.records.pots import Gift


def _words(kind: type[StrEnum]) -> Enum:
    """Store the word itself: the rows are read by people with a SQL prompt."""
    return Enum(
        kind,
        native_enum=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


class Digits(TypeDecorator[int]):
    """A whole number as decimal text: sums over time, which nothing bounds."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """See ``TypeDecorator``."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        """See ``TypeDecorator``."""
        return None if value is None else int(value)


class Words(TypeDecorator[str]):
    """Any text, as Postgres can keep it: without U+0000, for which the sign of what cannot be
    shown stands. What is looked for is spelled the same way, so that it is found or is not."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """See ``TypeDecorator``."""
        return value.replace("\0", "\ufffd") if value and "\0" in value else value


# Words and not expressions: SQLite uses an index of some rows only where it finds its condition
# again, and in a condition with parameters it does not.
CONVERSION_WAITS: Final = text("state = 'pending'")
CONVERSION_UNDER_WAY: Final = text("following")
INVOICE_UNDER_WAY: Final = text(
    "(state IN ('new', 'processing') OR sweep_at_ns IS NOT NULL OR judge_at_ns IS NOT NULL)"
)
CREDIT_ASTRAY: Final = text("state <> 'booked'")
INVOICE_HAS_OTHERS: Final = text("(state IN ('new', 'processing') AND other_count > 0)")


def only(waits: TextClause) -> dict[str, Any]:
    """Return what makes an index one of the rows alone for which ``waits`` holds."""
    return {"sqlite_where": waits, "postgresql_where": waits}


dense_id = BigInteger().with_variant(Integer(), "sqlite")


class Table(DeclarativeBase):
    """Base of all rows."""

    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy reads it once, nobody changes it
        int: BigInteger,
        str: Words,
        bytes: LargeBinary,
        InvoiceState: _words(InvoiceState),
        InvoiceException: _words(InvoiceException),
        PaymentState: _words(PaymentState),
        CreditState: _words(CreditState),
        ConversionState: _words(ConversionState),
        DeliveryState: _words(DeliveryState),
    }


class Store(Table):
    """A shop: who may call, where its money goes, and in which stablecoin (``settle``) it wants it.

    What its wallet lets us sell is in ``Grant``, who may call in ``ApiKey``, where it is
    told in ``Endpoint``. A closed store sells nothing more; its rows stay.
    """

    __tablename__ = "stores"

    id: Mapped[str] = mapped_column(primary_key=True)
    created_ns: Mapped[int]
    name: Mapped[str]
    wallet: Mapped[bytes]
    settle: Mapped[bytes] = mapped_column(server_default=text("''"))
    slippage_ppm: Mapped[int]
    lifetime_s: Mapped[int]
    tolerance_ppm: Mapped[int] = mapped_column(default=0, server_default="0")
    tolerance_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    """What may be missing of a price: the larger of a share and an amount of quote pips."""
    unique_orders: Mapped[bool] = mapped_column(default=False, server_default="0")
    """Whether no two invoices may have one order id, unless the request says otherwise."""
    paused: Mapped[bool] = mapped_column(default=False, server_default="0")
    """Whether it takes no new invoices just now."""
    closed_ns: Mapped[int | None]
    event_count: Mapped[int] = mapped_column(default=0, server_default="0")
    """Of events that are of no invoice."""


class Invoice(Table):
    """What is owed, and what became of it; what it may be paid in is in ``Option`` rows.

    All ``*_pips`` are in ``settle``, the stablecoin that the shop gets; ``amount_pips`` is the
    price. The shop asked for ``amount`` of ``currency``: if that is not ``settle``, ``fx_rate`` is
    what one of it was worth, by ``fx_source`` at ``fx_as_of_s``. ``sweep_at_ns`` is when to ask for
    the next sweep, None for never; ``sweep_tries`` counts those that brought nothing.
    ``judge_at_ns`` is when to weigh what came late or in part, None for never; ``short_pips`` is
    what it then was worth too little, ``late`` that it was enough. ``over_pips`` is how much more
    than the price the shop was told of. ``net_pips`` is what all its conversions have brought after
    fees. ``details`` is the shop's own metadata, a JSON object; ``left_out`` a JSON list of the
    tokens that it could not be offered in, with the reasons.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        Index("invoices_by_store", "store_id", "created_ns"),
        Index("invoices_by_age", "created_ns", "id"),
        Index("invoices_by_order", "store_id", "order_id"),
        Index("invoices_under_way", "store_id", **only(INVOICE_UNDER_WAY)),
        Index("invoices_with_others", "store_id", **only(INVOICE_HAS_OTHERS)),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    state: Mapped[InvoiceState] = mapped_column(index=True)
    exception: Mapped[InvoiceException]
    created_ns: Mapped[int]
    expires_ns: Mapped[int]
    processing_ns: Mapped[int] = mapped_column(default=0)
    late: Mapped[bool] = mapped_column(default=False)
    order_id: Mapped[str]
    details: Mapped[str]
    redirect_url: Mapped[str]
    settle: Mapped[bytes] = mapped_column(server_default=text("''"))
    wallet: Mapped[bytes] = mapped_column(server_default=text("''"))
    """Whose account its money goes to: its address commits to that, whatever the store's is now."""
    ref: Mapped[bytes] = mapped_column(unique=True)
    deposit_address: Mapped[bytes] = mapped_column(unique=True)
    amount: Mapped[str] = mapped_column(default="", server_default=text("''"))
    currency: Mapped[str] = mapped_column(default="", server_default=text("''"))
    fx_rate: Mapped[str] = mapped_column(default="", server_default=text("''"))
    fx_source: Mapped[str] = mapped_column(default="", server_default=text("''"))
    fx_as_of_s: Mapped[int] = mapped_column(default=0, server_default="0")
    amount_pips: Mapped[int]
    left_out: Mapped[str] = mapped_column(default="[]", server_default=text("'[]'"))
    sweep_at_ns: Mapped[int | None] = mapped_column(index=True)
    sweep_tries: Mapped[int] = mapped_column(default=0, server_default="0")
    judge_at_ns: Mapped[int | None] = mapped_column(index=True)
    short_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    over_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    requotes: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many new prices it was given after it had expired."""
    confirmations: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many its payments need before it is settled; 0 for as many as the exchange wants."""
    deep_at_block: Mapped[int | None] = mapped_column(index=True)
    """In which block all that is booked will be so deep; None while that is not waited for."""
    is_pressed: Mapped[bool] = mapped_column(default=False, server_default="0")
    """Whether a customer made it, by a press of the shop's button."""
    other_count: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many tokens came that it did not offer (``merchants.records.others``)."""
    event_count: Mapped[int] = mapped_column(default=0)
    net_pips: Mapped[int] = mapped_column(Digits, default=0, server_default=text("'0'"))

    store: Mapped[Store] = relationship(lazy="joined", innerjoin=True)
    options: Mapped[list["Option"]] = relationship(
        back_populates="invoice", order_by="Option.number", lazy="selectin"
    )
    others: Mapped[list["Other"]] = relationship(back_populates="invoice", order_by="Other.token")
    payments: Mapped[list["Payment"]] = relationship(
        order_by="(Payment.block_number, Payment.log_index)"
    )
    sweeps: Mapped[list["Sweep"]] = relationship(order_by="(Sweep.block_number, Sweep.log_index)")
    credits: Mapped[list["Credit"]] = relationship(order_by="(Credit.sequence, Credit.log_index)")
    conversions: Mapped[list["Conversion"]] = relationship(order_by="Conversion.number")
    gifts: Mapped[list["Gift"]] = relationship(back_populates="invoice", order_by="Gift.id")


class Payment(Table):
    """One transfer to an invoice's address, whichever token it carried."""

    __tablename__ = "payments"
    __table_args__ = (
        Index("payments_of_store", "store_id", "seen_ns", "tx_hash", "log_index"),
        Index("payments_by_block", "block_number"),
    )

    tx_hash: Mapped[bytes] = mapped_column(primary_key=True)
    log_index: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    state: Mapped[PaymentState]
    token: Mapped[bytes]
    sender: Mapped[bytes]
    raw: Mapped[str]
    block_number: Mapped[int]
    block_time_s: Mapped[int]
    confirmations: Mapped[int]
    seen_ns: Mapped[int]
    store_id: Mapped[str] = mapped_column(server_default=text("''"))


class Sweep(Table):
    """One transfer that left an invoice's address, on its way into the vault."""

    __tablename__ = "sweeps"

    tx_hash: Mapped[bytes] = mapped_column(primary_key=True)
    log_index: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    token: Mapped[bytes]
    raw: Mapped[str]
    block_number: Mapped[int]
    is_booked: Mapped[bool] = mapped_column(default=False)
    """Whether the engine has booked what it brought."""


class Credit(Table):
    """One deposit the engine booked with an invoice's ref; known by the command that booked it,
    for a reorganisation may put another one of the same transaction at the same log index.

    ``swept_raw`` is what left the invoice's address for it, "0" for one that came straight into the
    vault. None is from before the two were told apart: it counts as swept. ``booked_ns`` is the
    time of its command. ``missed_at_block`` was the newest block when it was found to be in none
    any more, None while it is in one.
    """

    __tablename__ = "credits"
    __table_args__ = (
        Index("credits_of_store", "store_id", "token", "sequence"),
        Index("credits_by_block", "block_number"),
        Index("credits_astray", "invoice_id", **only(CREDIT_ASTRAY)),
    )

    tx_hash: Mapped[bytes] = mapped_column(primary_key=True)
    log_index: Mapped[int] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    token: Mapped[bytes]
    amount_pips: Mapped[int]
    swept_raw: Mapped[str | None]
    state: Mapped[CreditState] = mapped_column(
        default=CreditState.BOOKED, server_default=text("'booked'")
    )
    missed_at_block: Mapped[int | None]
    booked_ns: Mapped[int] = mapped_column(default=0, server_default="0")
    block_number: Mapped[int] = mapped_column(default=0, server_default="0")
    store_id: Mapped[str] = mapped_column(server_default=text("''"))


class Conversion(Table):
    """Lots of an invoice's token to be sold for stablecoin.

    ``quoted_ticks`` is the price the limit is derived from; None for what is known from trades at
    each attempt. ``number`` counts the conversions of an invoice from 1. Lots and ticks are in the
    terms in which it was opened, ``lot_pips`` and ``tick_pips``; ``odd_pips`` are sold besides
    ``lots_filled``, less than such a lot: in other terms one may sell parts of it. All its fills
    brought ``proceeds_pips`` before ``fee_pips``: counted as they come, for they may be thousands.
    ``at_middle_pips`` is what the fills that brought ``compared_pips`` of it would have brought at
    the middle of the book when their order was signed; the others had none to compare with.
    ``to_pot_pips`` of it were too little for an order and went into the store's pot,
    ``reversed_pips`` were of money that a reorganisation took away, and are not sold. A sale
    ``from_pot`` is one of what several invoices gave (``merchants.records.pots``), and belongs to
    the invoice that made it possible.
    """

    __tablename__ = "conversions"
    __table_args__ = (
        UniqueConstraint("invoice_id", "number"),
        Index("conversions_waiting", "store_id", "next_attempt_ns", **only(CONVERSION_WAITS)),
        Index("conversions_by_state", "state", "store_id"),
        Index("conversions_under_way", "store_id", **only(CONVERSION_UNDER_WAY)),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"))
    store_id: Mapped[str] = mapped_column(server_default=text("''"))
    number: Mapped[int]
    state: Mapped[ConversionState]
    market: Mapped[str]
    lots: Mapped[int]
    lots_filled: Mapped[int] = mapped_column(default=0)
    odd_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    quoted_ticks: Mapped[int | None]
    lot_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    tick_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_ns: Mapped[int]
    reason: Mapped[str] = mapped_column(default="")
    following: Mapped[bool] = mapped_column(default=True, index=True)
    """Whether some fill is not final yet or more fills may come."""
    proceeds_pips: Mapped[int] = mapped_column(Digits, default=0, server_default=text("'0'"))
    fee_pips: Mapped[int] = mapped_column(Digits, default=0, server_default=text("'0'"))
    at_middle_pips: Mapped[int] = mapped_column(Digits, default=0, server_default=text("'0'"))
    compared_pips: Mapped[int] = mapped_column(Digits, default=0, server_default=text("'0'"))
    from_pot: Mapped[bool] = mapped_column(default=False, server_default="0")
    to_pot_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    reversed_pips: Mapped[int] = mapped_column(default=0, server_default="0")

    invoice: Mapped[Invoice] = relationship(back_populates="conversions")


class Order(Table):
    """A signed conversion order. It is stored before it is placed, so that a restart sends the
    same digest again; ``outcome`` is None until its fate is known. Lots and ticks are those of the
    moment it was signed; the amounts that count are in ``body``. ``at_middle_pips`` is what all of
    it would have brought at the middle of the book then, None where that had no two sides."""

    __tablename__ = "orders"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    conversion_id: Mapped[str] = mapped_column(ForeignKey("conversions.id"), index=True)
    wallet: Mapped[bytes]
    lots: Mapped[int]
    limit_ticks: Mapped[int]
    body: Mapped[bytes]
    sequence: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[int | None] = mapped_column(index=True)
    at_middle_pips: Mapped[int | None]

    conversion: Mapped[Conversion] = relationship()


class Fill(Table):
    """One trade of a conversion order and how far it is on its way to the chain.

    Lots and ticks are in the terms of the trade, ``lot_pips`` and ``tick_pips``; ``traded_ns`` is
    its command's time, 0 in a row from before it was kept. ``at_middle_pips`` is its part of what
    its order would have brought at the middle of the book.
    """

    __tablename__ = "fills"
    __table_args__ = (
        Index("fills_in_order", "conversion_id", "trade_id"),
        Index("fills_of_store", "store_id", "trade_id"),
        Index("fills_of_store_by_batch", "store_id", "batch"),
    )

    trade_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    conversion_id: Mapped[str] = mapped_column(ForeignKey("conversions.id"))
    lots: Mapped[int]
    price_ticks: Mapped[int]
    lot_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    tick_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    proceeds_pips: Mapped[int]
    fee_pips: Mapped[int]
    state: Mapped[str]
    batch: Mapped[int | None]
    tx_hash: Mapped[bytes | None]
    store_id: Mapped[str] = mapped_column(server_default=text("''"))
    traded_ns: Mapped[int] = mapped_column(default=0, server_default="0")
    at_middle_pips: Mapped[int | None]


class Event(Table):
    """Something the shop is told; ``sequence`` counts an invoice's events from 1, without gaps, and
    so it does those of the store that are of no invoice.

    ``id`` is the cursor of the event list. ``body`` is the JSON exactly as it is signed.
    """

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("invoice_id", "sequence"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(dense_id, primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), index=True)
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey("invoices.id"))
    sequence: Mapped[int]
    type: Mapped[str]
    webhook_id: Mapped[str] = mapped_column(unique=True, insert_sentinel=True)
    created_ns: Mapped[int]
    body: Mapped[str]

    invoice: Mapped[Invoice | None] = relationship()


class IdempotencyKey(Table):
    """Which invoice a store's Idempotency-Key made, and from which parameters."""

    __tablename__ = "idempotency_keys"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    parameters_hash: Mapped[bytes]
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"))


class Cursor(Table):
    """The last command sequence whose consequences are in these tables; one row, id 1.

    ``head`` is the log's chained head there, by which another log is recognised; NULL in a file
    from before it was kept.
    """

    __tablename__ = "cursor"

    id: Mapped[int] = mapped_column(dense_id, primary_key=True)
    sequence: Mapped[int]
    head: Mapped[bytes | None]
