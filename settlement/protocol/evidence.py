"""What is written in the journal beside each 64-byte command?

The engine needs only the command. Everybody to its right needs more: the signed order that the
contract will verify, the log entry that proves a deposit, the address behind an account number.
An attachment is a msgpack map with a ``type`` tag; the journal chains its hash with the command's.
All addresses are 20 raw bytes, hashes 32 raw bytes, amounts pips unless the name says otherwise.
"""

from enum import IntFlag
from typing import Final, NamedTuple

import msgspec

from engine.log_entries import LogEntry

ZERO_REF: Final = bytes(32)


class OrderBits(IntFlag):
    """The ``flags`` of a signed order, as the wallet shows them.

    The contract acts on the first three. The others are signed so that an auditor can hold the
    engine to them. Bits 11 to 15 are the version of the packing: zero.
    """

    SELL = 1
    SINGLE_SHOT = 2
    """Immediate or cancel; spends one nonce of the account's replay window."""
    UPPER_HALF = 4
    """Use the second of the two order lanes in the lane word."""
    POST_ONLY = 8
    FILL_OR_KILL = 16
    """All of it at once or nothing: of a single shot as it comes in, of a stop as it triggers."""
    REPRICE = 32
    """With POST_ONLY: rather than be rejected it rests one tick behind the price it would meet."""
    STOP = 64
    """Waits on its lane, armed, until a trade reaches ``trigger_or_display``."""
    ICEBERG = 128
    """Shows ``trigger_or_display`` of itself at a time."""
    SELF_EXPIRE_RESTING = 256
    """Meeting an order of its own account, that one leaves; with neither of these two bits it is
    the incoming order whose rest leaves."""
    SELF_EXPIRE_BOTH = 512
    SELF_DECREMENT = 768
    """Both lose the smaller one's open amount, without a trade."""
    IMMEDIATE = 1024
    """With STOP: what does not trade when it triggers leaves."""


# As plain numbers: ``&`` with a member of an enum costs Python two microseconds.
SELL: Final = int(OrderBits.SELL)
SINGLE_SHOT: Final = int(OrderBits.SINGLE_SHOT)
UPPER_HALF: Final = int(OrderBits.UPPER_HALF)
KNOWN_BITS: Final = (1 << 11) - 1


class Attachment(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    """Base of everything that may stand beside a command."""


class SignedOrder(Attachment, frozen=True):
    """A PLACE command's evidence: the EIP-712 ``Order`` and who signed it.

    ``base_amount`` and ``quote_amount`` are pips; their ratio is the limit price.
    ``trigger_or_display`` is of a stop the quote pips that ``base_amount`` costs at the price that
    triggers it, of an iceberg the base pips that it shows, else 0. ``lane`` is 0 for single-shot
    orders, else 0x8000 .. 0xffff. ``signer`` is the account itself or a session key. ``signature``
    is r, s, v (65 bytes, low s, v 27 or 28). ``client_id`` is not signed.
    """

    account: bytes
    nonce: int
    flags: int
    lane: int
    base: bytes
    quote: bytes
    base_amount: int
    quote_amount: int
    trigger_or_display: int
    expiry: int
    max_fee_ppm: int
    ref: bytes
    signature: bytes
    signer: bytes
    digest: bytes
    client_id: str = ""


class TokenListing(Attachment, frozen=True):
    """LIST_TOKEN: one pip is ``unit_scale`` raw units, or ``1 / unit_scale`` if it is negative.

    18 decimals: 10**10 raw units a pip. 6 decimals: -100, a hundred pips a raw unit.
    """

    symbol: str
    address: bytes
    decimals: int
    unit_scale: int


class MarketListing(Attachment, frozen=True):
    """LIST_MARKET: the public name, for example ``TOKEN-USD``."""

    symbol: str


class AccountOpened(Attachment, frozen=True):
    """OPEN_ACCOUNT: the wallet address behind the dense account number."""

    address: bytes


class DepositEvidence(Attachment, frozen=True):
    """DEPOSIT: the log entry that credited it; ``(tx_hash, log_index)`` is credited once only."""

    tx_hash: bytes
    log_index: int
    block_number: int
    ref: bytes


class SignedWithdrawal(Attachment, frozen=True):
    """WITHDRAW: the owner's EIP-712 ``Withdrawal``; the operator countersigns it later."""

    account: bytes
    token: bytes
    to: bytes
    amount: int
    nonce: int
    expiry: int
    signature: bytes
    digest: bytes


class ExitEvidence(Attachment, frozen=True):
    """EXIT_BEGIN and EXIT_END: the log entry on chain.

    ``withdrawal`` is the command of an unpaid withdrawal whose money the exit may have taken.
    """

    tx_hash: bytes
    log_index: int
    block_number: int
    withdrawal: int = 0


class KeyUse(NamedTuple):
    """What a trade had used up of a session key's notional cap, in quote pips."""

    account: bytes
    key: bytes
    notional_pips: int


class SessionLogin(Attachment, frozen=True):
    """CANCEL, CANCEL_ALL of one account, CANCEL_AFTER, AMEND: a session of ``account`` asked for
    it, which its wallet opened by signing ``Login(account, issuedAt)``."""

    account: bytes
    issued_at: int
    signature: bytes


class SiweLogin(Attachment, frozen=True):
    """As ``SessionLogin``, of a session that was opened by a signed EIP-4361 ``message``."""

    account: bytes
    message: str
    signature: bytes


class ChainReason(Attachment, frozen=True):
    """CANCEL: the log entry on chain because of which the order could not settle any more."""

    tx_hash: bytes
    log_index: int
    block_number: int


class TradeBusted(Attachment, frozen=True):
    """BUST: which trade is undone, what the contract said about it, and what the session keys that
    signed for it get back: the contract never counted it."""

    trade_id: int
    reason: str
    keys: tuple[KeyUse, ...] = ()

    @property
    def error(self) -> str:
        """Return the reason without its figures, which are about one party and not for all."""
        return self.reason.partition("(")[0]


class WithdrawalReturned(Attachment, frozen=True):
    """DEPOSIT: the withdrawal of command ``sequence`` was never paid and can be paid no more."""

    sequence: int
    reason: str


class WithdrawalPaid(Attachment, frozen=True):
    """WITHDRAW: that of command ``sequence`` was paid, though an exit had taken some of it."""

    sequence: int


class OperatorAction(Attachment, frozen=True):
    """Whatever an operator asked for: who (the name of his token), and why, in his own words.

    Where the command lists something, ``listing`` is what it is called. ``action`` says what a
    CLOCK was for (a snapshot, a drain); every other command says itself what it does.
    """

    operator: str
    reason: str
    action: str = ""
    listing: TokenListing | MarketListing | None = None


SessionProof = SessionLogin | SiweLogin
"""What shows that a wallet opened the session which asks."""

Request = SessionProof | ChainReason | OperatorAction
"""Who wants a cancel or an amendment, and how that can be shown."""


AnyAttachment = (
    SignedOrder
    | TokenListing
    | MarketListing
    | AccountOpened
    | DepositEvidence
    | SignedWithdrawal
    | ExitEvidence
    | TradeBusted
    | WithdrawalReturned
    | WithdrawalPaid
    | SessionLogin
    | SiweLogin
    | ChainReason
    | OperatorAction
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyAttachment] = msgspec.msgpack.Decoder(AnyAttachment)


def encode(attachment: AnyAttachment | None) -> bytes:
    """Return the bytes to journal; nothing for a command that needs no evidence (CLOCK)."""
    return b"" if attachment is None else _encoder.encode(attachment)


def decode(raw: bytes) -> AnyAttachment | None:
    """Read back what ``encode`` wrote. Raises ``msgspec.DecodeError`` for anything else."""
    return _decoder.decode(raw) if raw else None


def listing_of(attachment: AnyAttachment | None) -> AnyAttachment | None:
    """Return what a listing is called, whether a start or an operator has listed it."""
    return attachment.listing if isinstance(attachment, OperatorAction) else attachment


def evidence_of(entry: LogEntry) -> AnyAttachment | None:
    """Return what stands beside a command, decoded once for all consumers of the log."""
    return entry.evidence(decode)
