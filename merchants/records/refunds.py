"""Which rows does a refund keep, and which moves may it make?

A refund gives back what came for an invoice: never more of a token than was booked and not given
back yet. What it takes out of the vault is a ``Withdrawal`` that is kept, nonce and all, before
anybody may send it: whatever moment the process dies at, the same one is sent again.
"""

from enum import StrEnum
from typing import Final

from sqlalchemy import Enum, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from merchants.records.states import Edges
from merchants.records.tables import Invoice, Table, only

# Words and not expressions: see ``tables.CONVERSION_WAITS``.
REFUND_UNDER_WAY: Final = text("state IN ('awaiting_approval', 'awaiting_payment', 'in_progress')")


class RefundState(StrEnum):
    """How far a refund is; the words are those of BTCPay's payouts."""

    AWAITING_APPROVAL = "awaiting_approval"
    AWAITING_PAYMENT = "awaiting_payment"
    """The shop has approved it. It waits for the customer's address, or to be paid."""
    IN_PROGRESS = "in_progress"
    """A signed withdrawal is stored; it may have been sent."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"


REFUNDS_OPEN: Final = (RefundState.AWAITING_APPROVAL, RefundState.AWAITING_PAYMENT)
"""Of which nothing is paid yet."""

REFUND_EDGES: Final[Edges[RefundState]] = {
    RefundState.AWAITING_APPROVAL: frozenset({RefundState.AWAITING_PAYMENT, RefundState.CANCELLED}),
    RefundState.AWAITING_PAYMENT: frozenset(
        {RefundState.IN_PROGRESS, RefundState.COMPLETED, RefundState.CANCELLED}
    ),
    # Back where its withdrawal was refused, or given back: then nobody has been paid by it.
    RefundState.IN_PROGRESS: frozenset({RefundState.AWAITING_PAYMENT, RefundState.COMPLETED}),
    RefundState.COMPLETED: frozenset(),
    RefundState.CANCELLED: frozenset(),
}


class RefundVariant(StrEnum):
    """How much is given back, and in what; the words are BTCPay's."""

    RATE_THEN = "rate_then"
    """What came, in the token that came."""
    CURRENT_RATE = "current_rate"
    """What it was worth, in the token that came at its present price; no more than came of it."""
    FIAT = "fiat"
    """What it was worth, in the stablecoin."""
    OVERPAID = "overpaid"
    """What came on top of the price, in the token that came."""
    CUSTOM = "custom"


class Payer(StrEnum):
    """Who signs the withdrawal that pays it."""

    NOBODY = "nobody"
    WALLET = "wallet"
    KEY = "key"


def _words(kind: type[StrEnum]) -> Enum:
    return Enum(
        kind,
        native_enum=False,
        length=24,
        values_callable=lambda members: [member.value for member in members],
    )


class Refund(Table):
    """What is given back of an invoice's payment.

    ``pips`` of ``token`` are paid out. ``of_pips`` of ``of_token`` is how much of what came is used
    up by that: the same, unless it is given back in another token. ``worth_pips`` is what that was
    worth, in the store's stablecoin. ``receiver`` is the address that claimed it, empty before
    that. ``next_ns`` is when to look at it again by itself, None for never. ``note`` says why it is
    where it is; ``sequence`` is the command that debited it, 0 before there is one. A part that was
    claimed alone names the refund that it is ``part_of``, which gives back so much less than the
    ``whole_pips`` that were opened; None where it is whole.
    """

    __tablename__ = "refunds"
    __table_args__ = (
        Index("refunds_by_store", "store_id", "created_ns", "id"),
        Index("refunds_under_way", "store_id", **only(REFUND_UNDER_WAY)),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    state: Mapped[RefundState] = mapped_column(_words(RefundState), index=True)
    revision: Mapped[int] = mapped_column(default=0)
    variant: Mapped[RefundVariant] = mapped_column(_words(RefundVariant))
    reason: Mapped[str] = mapped_column(default="")
    token: Mapped[bytes]
    pips: Mapped[int]
    of_token: Mapped[bytes]
    of_pips: Mapped[int]
    worth_pips: Mapped[int]
    created_ns: Mapped[int]
    claim_until_ns: Mapped[int] = mapped_column(index=True)
    receiver: Mapped[bytes] = mapped_column(default=b"")
    payer: Mapped[Payer] = mapped_column(_words(Payer), default=Payer.NOBODY)
    next_ns: Mapped[int | None] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(default="")
    sequence: Mapped[int] = mapped_column(default=0, index=True)
    tx_hash: Mapped[bytes | None]
    part_of: Mapped[str | None] = mapped_column(ForeignKey("refunds.id"), index=True)
    whole_pips: Mapped[int | None]

    invoice: Mapped[Invoice] = relationship()


class RefundWithdrawal(Table):
    """One ``Withdrawal`` that pays a refund, or takes what a refund key has left to its store's
    wallet (then ``refund_id`` is None). ``signature`` is None until the wallet has signed it;
    ``outcome`` is None while it may still be taken."""

    __tablename__ = "refund_withdrawals"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    refund_id: Mapped[str | None] = mapped_column(ForeignKey("refunds.id"), index=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    account: Mapped[bytes]
    token: Mapped[bytes]
    pips: Mapped[int]
    receiver: Mapped[bytes]
    nonce: Mapped[int]
    expiry: Mapped[int]
    signature: Mapped[bytes | None]
    sequence: Mapped[int] = mapped_column(default=0, index=True)
    outcome: Mapped[int | None] = mapped_column(index=True)
    next_ns: Mapped[int] = mapped_column(default=0)
    refusals: Mapped[int] = mapped_column(default=0)


class RefundOrder(Table):
    """A signed order by which a refund key buys what it has to give back; stored before it is
    placed. ``bought_pips`` and ``paid_pips`` are what it brought and cost, with the fee."""

    __tablename__ = "refund_orders"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    refund_id: Mapped[str] = mapped_column(ForeignKey("refunds.id"), index=True)
    account: Mapped[bytes]
    body: Mapped[bytes]
    sequence: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[int | None] = mapped_column(index=True)
    bought_pips: Mapped[int] = mapped_column(default=0)
    paid_pips: Mapped[int] = mapped_column(default=0)


class RefundKey(Table):
    """A store's refund account: a key of ours, which has what the merchant has put there and no
    power over anything else. ``top_up_address`` is where it is filled; after ``expires_ns`` it pays
    back to the store's wallet alone."""

    __tablename__ = "refund_keys"

    key_address: Mapped[bytes] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), index=True)
    created_ns: Mapped[int]
    expires_ns: Mapped[int]
    ref: Mapped[bytes]
    top_up_address: Mapped[bytes] = mapped_column(unique=True)
    slippage_ppm: Mapped[int]
    next_ns: Mapped[int | None] = mapped_column(index=True)
    """When to look whether something is left that goes back; None when nothing can be."""
