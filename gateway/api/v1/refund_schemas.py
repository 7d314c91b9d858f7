"""What does a shop send about a refund, and what is it answered?"""

from typing import Annotated

import msgspec

from engine.types import PPM
from gateway.api.v1.encoding import Signature
from gateway.api.v1.grant_schemas import Amount
from merchants.documents.refunds import RefundDocument
from merchants.records.refunds import RefundVariant
from merchants.sales.refund_payouts import TypedWithdrawal

Symbol = Annotated[str, msgspec.Meta(max_length=16)]
Note = Annotated[str, msgspec.Meta(max_length=256)]


class CreateRefund(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new refund. ``token`` is what came and is given back of, empty where only one came.

    ``deduct_ppm`` is a share that the shop keeps. ``amount`` in ``currency`` (that token, or the
    store's stablecoin) is for ``custom`` alone. Without ``approve`` it waits for the shop's word.
    ``to_sender`` sends it back to the one address that paid: only where the shop knows that this is
    the customer's own, and no exchange's.
    """

    variant: RefundVariant
    token: Symbol = ""
    deduct_ppm: Annotated[int, msgspec.Meta(ge=0, lt=PPM)] = 0
    amount: Amount = ""
    currency: Symbol = ""
    reason: Note = ""
    approve: bool = True
    to_sender: bool = False


class ApproveRefund(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The shop's word on a refund as it has seen it."""

    revision: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class MarkRefundPaid(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the shop has paid it otherwise."""

    note: Note = ""


class SignRefund(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The wallet's signature over the withdrawal that pays it: r, s, v as hex."""

    signature: Signature


class CreateRefundKey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A refund account: how long it pays, and how much over the last trades it may buy at."""

    lifetime_s: Annotated[int, msgspec.Meta(ge=3600, le=366 * 86_400)] = 90 * 86_400
    slippage_ppm: Annotated[int, msgspec.Meta(ge=0, lt=PPM)] = 10_000


class RefundReply(RefundDocument, frozen=True):
    """A refund and the link to send its customer to: whoever has it says where the money goes. So
    it is null for who may only look, and for a session, which has to confirm that it is shown."""

    claim_url: str | None


class ClaimLink(msgspec.Struct, frozen=True):
    """The link by which the customer of a refund says where the money goes."""

    refund_id: str
    claim_url: str


class RefundsReply(msgspec.Struct, frozen=True):
    """Refunds, the newest first; ask again with ``before`` set to ``next``, null at the end."""

    refunds: list[RefundReply]
    next: str | None


class RefundToSign(msgspec.Struct, frozen=True):
    """What the store's wallet signs to pay a refund, until ``expires_at`` (unix seconds)."""

    refund_id: str
    digest: str
    expires_at: int
    withdrawal: TypedWithdrawal


class RefundKeyReply(msgspec.Struct, frozen=True):
    """A store's refund account. What is sent to ``top_up_address`` is all it can spend; after
    ``expires_at`` what is left goes to the store's wallet."""

    account: str
    top_up_address: str
    expires_at: int
    slippage_ppm: int
    balances: dict[str, str]
