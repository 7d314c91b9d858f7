"""What does a person send, and what is he answered?

Octets of passkeys cross JSON as base64url, as browsers have them; all else as elsewhere.
"""

from typing import Annotated, Any, Final

import msgspec

from gateway.api.v1.application_schemas import AuthorizeApplication
from gateway.api.v1.confirmation_schemas import StepsBody
from gateway.api.v1.embedding_schemas import EmbeddingBody
from gateway.api.v1.encoding import END, Address, WalletSignature
from gateway.api.v1.exception_policy_schemas import ExceptionPoliciesBody
from gateway.api.v1.policy_schemas import ConversionPolicyBody
from gateway.api.v1.refund_schemas import (
    ApproveRefund,
    CreateRefund,
    CreateRefundKey,
    MarkRefundPaid,
)
from gateway.api.v1.shop_key_schemas import CreateKey, RotateKey
from gateway.api.v1.shop_point_schemas import CreatePayButton
from gateway.api.v1.shop_schemas import ChangeStore
from gateway.api.v1.webhook_schemas import ChangeWebhook, CreateWebhook
from merchants.people.codes import CODE_CHARS_MAX
from merchants.people.passkeys import NewPasskey, Octets, PasskeyAnswer
from merchants.people.roles import Role
from settlement.protocol.siwe import MESSAGE_CHARS_MAX

PARAMETERS_SIZE_MAX: Final = 4_096

Name = Annotated[str, msgspec.Meta(max_length=80, pattern=f"^[^\\x00-\\x1f\\x7f]*{END}")]
Token = Annotated[str, msgspec.Meta(max_length=64, pattern=f"^[A-Za-z0-9_-]*{END}")]
Nonce = Annotated[str, msgspec.Meta(max_length=64, pattern=f"^[0-9a-f]*{END}")]
Code = Annotated[str, msgspec.Meta(max_length=CODE_CHARS_MAX)]
ShortId = Annotated[str, msgspec.Meta(max_length=64, pattern=f"^[A-Za-z0-9_-]*{END}")]


class SignInTerms(msgspec.Struct, frozen=True):
    """All that a message of EIP-4361, or a passkey, has to be made for. ``expires_at`` is in unix
    seconds; the ``nonce`` is taken once, and is the passkey's challenge as it stands: the octets
    behind the hexadecimal digits."""

    nonce: str
    expires_at: int
    domain: str
    uri: str
    version: str
    chain_id: int
    resource: str
    rp_id: str
    wallet: str
    """The address that was asked about, as EIP-55 writes it and the message has to."""

    sign_up: bool
    """Whether a wallet that is not known here opens an account by itself."""


class WalletSignIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A message of EIP-4361 and the wallet's signature; an invitation's token, if there is one."""

    message: Annotated[str, msgspec.Meta(max_length=MESSAGE_CHARS_MAX)]
    signature: WalletSignature
    invitation: Token = ""


class PasskeySignIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A nonce of ours, signed by a passkey with its user verified."""

    nonce: Nonce
    credential: PasskeyAnswer


class RecoverySignIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The wallet that an account is known by, and one of its recovery codes."""

    wallet: Address
    code: Code


class SessionReply(msgspec.Struct, frozen=True):
    """A session; times are unix seconds. ``network`` is a prefix, ``agent`` what the browser said
    it was."""

    id: str
    created_at: int
    used_at: int
    ends_at: int
    network: str
    agent: str
    is_this: bool


class AtDoor(msgspec.Struct, frozen=True):
    """Whether the browser that asks has an open session."""

    signed_in: bool


class SessionsReply(msgspec.Struct, frozen=True):
    """A person's open sessions, the newest first."""

    sessions: list[SessionReply]


class SignedIn(msgspec.Struct, frozen=True):
    """A session was opened: its token is in the cookie. Unix seconds."""

    session_id: str
    ends_at: int


class PasskeyReply(msgspec.Struct, frozen=True):
    """A passkey that may sign in; times are unix seconds."""

    id: str
    name: str
    created_at: int
    used_at: int


class MyStore(msgspec.Struct, frozen=True):
    """A store that a person belongs to, and what he may do there."""

    id: str
    name: str
    role: Role
    scopes: list[str]
    closed_at: int | None
    """Unix seconds; null for a store that is open. Of a closed one its owners read the books."""


class Me(msgspec.Struct, frozen=True):
    """What a person sees of himself."""

    id: str
    name: str
    wallet: str | None
    passkeys: list[PasskeyReply]
    totp: bool
    recovery_codes_left: int
    stores: list[MyStore]
    recovered: bool
    """Whether this session began with a recovery code: then it is short and for new keys."""


class Rename(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a person is called."""

    name: Name


class BeginStepUp(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An action to confirm: ``parameters`` are those of its route's body, or of its path;
    ``store_id`` is empty for what is about oneself."""

    kind: Annotated[str, msgspec.Meta(max_length=40)]
    store_id: ShortId = ""
    parameters: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))


class StepUpReply(msgspec.Struct, frozen=True):
    """What has to answer: all of ``needs`` (passkey, totp, wallet). A passkey signs ``challenge``,
    a wallet ``message`` (EIP-191)."""

    id: str
    needs: list[str]
    challenge: str
    rp_id: str
    passkeys: list[str]
    wallet: str | None
    message: str
    expires_at: int


class AnswerStepUp(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The answer: as many factors as are needed."""

    passkey: PasskeyAnswer | None = None
    code: Code = ""
    signature: WalletSignature | None = None


class StepUpGranted(msgspec.Struct, frozen=True):
    """The action may happen once: name ``id`` in the header ``Step-Up``."""

    id: str
    expires_at: int


class AddPasskey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new passkey, made for a nonce of ours."""

    nonce: Nonce
    credential: NewPasskey
    name: Name = ""


class TotpReply(msgspec.Struct, frozen=True):
    """The secret for an app, also as its ``otpauth:`` address and the picture of that (a ``data:``
    address); shown once."""

    secret: str
    uri: str
    qr: str


class ConfirmTotp(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A code that the app shows."""

    code: Code


class RecoveryCodesReply(msgspec.Struct, frozen=True):
    """Ten codes, each for one use; shown once."""

    codes: list[str]


class Accept(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An invitation's token."""

    token: Token


class MemberReply(msgspec.Struct, frozen=True):
    """Somebody in a store; unix seconds."""

    user_id: str
    name: str
    wallet: str | None
    role: Role
    since: int


class MembersReply(msgspec.Struct, frozen=True):
    """Everybody in a store."""

    members: list[MemberReply]


class Invite(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The role that whoever follows the invitation has."""

    role: Role


class ChangeMember(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Another role."""

    role: Role


class InvitationReply(msgspec.Struct, frozen=True):
    """An invitation that nobody has followed yet; unix seconds."""

    id: str
    role: Role
    invited_by: str
    expires_at: int


class InvitationsReply(msgspec.Struct, frozen=True):
    """Open invitations, the oldest first."""

    invitations: list[InvitationReply]


class InvitedReply(msgspec.Struct, frozen=True):
    """A new invitation; its link is in this answer only."""

    id: str
    url: str
    token: str
    expires_at: int


class AskPayoutChange(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The wallet that is to own what the store earns."""

    wallet: Address


class PayoutChangeReply(msgspec.Struct, frozen=True):
    """A change of a store's wallet; ``state``: waiting, cancelled, done or refused. Unix seconds;
    0 while it has not ended."""

    id: str
    wallet: str
    asked_by: str
    asked_at: int
    due_at: int
    state: str
    ended_by: str
    ended_at: int
    why: str


class PayoutChangesReply(msgspec.Struct, frozen=True):
    """Changes of a store's wallet, the newest first, and the wallet that it has now."""

    wallet: str
    changes: list[PayoutChangeReply]


class AuditReply(msgspec.Struct, frozen=True):
    """Something that was done; hashes of the thing before and after, empty where there is none.
    ``times`` is more than 1 where it was done again that day and has no more rows."""

    id: int
    at: int
    user_id: str
    network: str
    kind: str
    subject: str
    before_hash: str
    after_hash: str
    times: int


class AuditLogReply(msgspec.Struct, frozen=True):
    """What was done, the newest first; ask again with ``before`` set to ``next``, null at the
    end."""

    rows: list[AuditReply]
    next: int | None


class Nothing(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """No parameters."""


class NamedEndpoint(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A webhook's endpoint by its id; empty where a store has but one."""

    endpoint_id: ShortId = ""


class NamedPasskey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A passkey by its id."""

    id: Octets


class NamedMember(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A member by his id."""

    user_id: ShortId


class NamedMemberRole(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A member by his id, and the role he is to have."""

    user_id: ShortId
    role: Role


class KeyRotation(RotateKey, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An API key by its id, and how long it works on."""

    key_id: ShortId


class EndpointChange(ChangeWebhook, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A webhook's endpoint by its id, and what is to be another way."""

    endpoint_id: ShortId


class RefundOf(CreateRefund, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A refund, and the invoice whose payment goes back."""

    invoice_id: ShortId


class RefundApproval(ApproveRefund, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A refund by its id, as it was seen."""

    refund_id: ShortId


class RefundPaid(MarkRefundPaid, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A refund by its id, and how it was paid otherwise."""

    refund_id: ShortId


class NamedRefund(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A refund by its id."""

    refund_id: ShortId


PARAMETERS: Final[dict[str, type[msgspec.Struct]]] = {
    "payout.change": AskPayoutChange,
    "api-key.create": CreateKey,
    "store.change": ChangeStore,
    "store.close": Nothing,
    "api-key.authorize": AuthorizeApplication,
    "policy.change": ConversionPolicyBody,
    "exceptions.change": ExceptionPoliciesBody,
    "confirmations.change": StepsBody,
    "embedding.change": EmbeddingBody,
    "pay-button.create": CreatePayButton,
    "refund-key.create": CreateRefundKey,
    "api-key.rotate": KeyRotation,
    "webhook-secret.rotate": NamedEndpoint,
    "webhook.create": CreateWebhook,
    "webhook.change": EndpointChange,
    "webhook.delete": NamedEndpoint,
    "refund.create": RefundOf,
    "refund.approve": RefundApproval,
    "refund.mark-paid": RefundPaid,
    "refund.claim-link": NamedRefund,
    "invitation.create": Invite,
    "member.change": NamedMemberRole,
    "member.remove": NamedMember,
    "passkey.add": NamedPasskey,
    "passkey.remove": NamedPasskey,
    "totp.add": Nothing,
    "totp.remove": Nothing,
    "recovery-codes.make": Nothing,
}
"""What the parameters of each action are; ``canonical`` gives their one form."""


def canonical(parameters: Any) -> bytes:
    """Return parameters as they are hashed: a Struct's fields in the order of their names."""
    return msgspec.json.encode(parameters, order="sorted")
