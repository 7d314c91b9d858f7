"""What may the layers above ask of the exchange and of the chain?

Two small protocols, so that merchants and pages never see a pipeline, a socket or a node.
``settlement.exchange`` and ``settlement.settler`` implement them.
"""

from asyncio import Future, shield
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from engine.command_result import CommandResult
from engine.types import Side
from settlement.audit.proofs import TradeProof
from settlement.audit.standings import Standing
from settlement.orders.catalog import Catalog, Market, Token
from settlement.orders.session_keys import GrantedKey
from settlement.outbox.actions import WithdrawalState
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import Domain, KeyGrant, KeyRevocation
from settlement.protocol.evidence import Request, SignedOrder, SignedWithdrawal


class Balance(NamedTuple):
    """What one account has of one token, in pips."""

    available: int
    held: int


class LaneNonce(NamedTuple):
    """What one half of a lane takes next, and the order that stands there, or 0."""

    lane: int
    upper_half: bool
    nonce: int
    order_id: int


class AccountNonces(NamedTuple):
    """Nonces that an account may use now; ``single_shot`` is 0 when it has used up the last."""

    single_shot: int
    withdrawal: int
    lanes: list[LaneNonce]


class GrantState(NamedTuple):
    """How far the relay of a grant is, as ``settlement.outbox.actions.ActionState`` says, and why
    it failed, if it has."""

    state: str
    error: str | None


class TradeState(NamedTuple):
    """How far a trade is on its way to the chain.

    ``state`` is one of matched, batched, submitted, mined, final; or busted, if the contract
    would not have it and it was undone.
    """

    state: str
    batch: int | None = None
    tx_hash: bytes | None = None


class Transfer(NamedTuple):
    """A token transfer on chain, as its log says; reported again as it gains confirmations.

    ``raw_amount`` is in raw units. ``confirmations`` is 0 while the transaction is in no block
    and then counts the block it is in; ``block_time_s`` is that block's time, or 0 when it is
    not known: then the time of the report decides whether the payment was late.
    """

    token: bytes
    sender: bytes
    to: bytes
    raw_amount: int
    tx_hash: bytes
    log_index: int
    block_number: int
    block_time_s: int
    confirmations: int


class DepositSeen(NamedTuple):
    """A deposit on chain, with a reference, as its log says; ``confirmed`` is whether its block is
    as deep as the exchange wants. It is known by all of this but for its block: a reorganisation
    may put it into another."""

    tx_hash: bytes
    account: bytes
    token: bytes
    amount: int
    ref: bytes
    block_number: int
    confirmed: bool


class BlocksRead(NamedTuple):
    """All that blocks ``first`` to ``last`` have, ``head`` being the newest: what was counted of
    them and is not here has left the chain."""

    first: int
    last: int
    head: int
    transfers: tuple[Transfer, ...]
    deposits: tuple[DepositSeen, ...]


class SettlementListener(Protocol):
    """Somebody who is told how far trades are, from when commands are taken.

    What was before a start is not told again: read it then (``SettlementPort.trade_state``).
    """

    def settlement_changed(self, first_trade: int, last_trade: int, reached: TradeState) -> None:
        """The trades from ``first_trade`` to ``last_trade`` are that far now, or back there.

        Not those among them that were busted. The news may come before the listener has read of
        these trades in the log. ``batch`` is named in a ``matched`` too: it was given up.
        """


class PaymentListener(Protocol):
    """Somebody whom transfers to watched addresses pay."""

    def unconfirmed_payments(self) -> dict[tuple[bytes, int], int]:
        """Return the block of each transfer that is counted and not booked, by hash and index."""

    def payments_seen(self, transfers: Sequence[Transfer]) -> list[bool]:
        """Take what a poll of the chain saw; return which of them move money of the listener's."""

    def payment_orphaned(self, tx_hash: bytes, log_index: int) -> bool:
        """Take back a transfer that left the chain; return whether it was one of the listener's."""

    def is_missing_money(self) -> bool:
        """Return whether anything that was booked has left the chain, or is not deep again yet:
        then all that is read is shown to ``blocks_read``."""

    def blocks_read(self, read: BlocksRead) -> None:
        """Learn what blocks have now that were dealt with before, or might have what is missing."""


async def awaited(answer: CommandResult | Future[CommandResult]) -> CommandResult:
    """Return what ``ExchangePort.offer`` has answered, now or later.

    Shielded: the client that hangs up is not the only one who may wait for this order.
    """
    return answer if isinstance(answer, CommandResult) else await shield(answer)


class ExchangePort(Protocol):
    """The book and the ledger, with every check in front of them."""

    catalog: Catalog
    domain: Domain

    async def place(
        self, order: SignedOrder, charge: Callable[[bytes], None] | None = None
    ) -> CommandResult:
        """Admit and sequence one signed order; answered when it is on disk.

        The same digest again gives the first receipt, as long as it is remembered; one that the
        engine refused is tried again, for a while. ``charge`` is called with the account when the
        order is proven, admitted and new, just before it is queued, and may raise to prevent that.
        """

    def offer(
        self, order: SignedOrder, charge: Callable[[bytes], None] | None = None
    ) -> CommandResult | Future[CommandResult]:
        """As ``place``, for callers with many orders: a future, never to be cancelled, is what is
        answered later. Orders are admitted in the order of the calls."""

    async def cancel(self, account: bytes, order_id: int, asked: Request) -> CommandResult:
        """Take one resting order of ``account`` (an address) off the book. ``asked`` goes into the
        log beside it: who wants that, and how it can be shown."""

    def offer_cancel(
        self, account: bytes, order_id: int, asked: Request
    ) -> CommandResult | Future[CommandResult]:
        """As ``cancel``, for callers with many: a future, never to be cancelled, is what is
        answered later."""

    def order_named(self, account: bytes, client_id: str) -> int | Future[CommandResult] | None:
        """Return the id of an account's order by its client id; the answer that it will have while
        it is on its way; None if none of that name stands or has ended lately."""

    def offer_cancel_named(
        self, account: bytes, client_id: str, asked: Request
    ) -> CommandResult | Future[CommandResult]:
        """As ``offer_cancel``, by the trader's own name; the answer has the ``order_id``."""

    def offer_amend(
        self, account: bytes, order_id: int, lots: int, asked: Request
    ) -> CommandResult | Future[CommandResult]:
        """Leave an order of ``account`` fewer ``lots`` open than it has; it keeps its place."""

    def offer_cancel_after(
        self, account: bytes, deadline_ns: int, asked: Request
    ) -> CommandResult | Future[CommandResult]:
        """Set when all orders of ``account`` are cancelled unless this is called again; 0 takes it
        back."""

    def offer_cancel_all(
        self, account: bytes, market: Market | None, asked: Request
    ) -> CommandResult | Future[CommandResult]:
        """Cancel all orders of ``account``, of one market or of all; ``detail`` of the answer says
        how many were ``cancelled`` and how many are ``left``."""

    async def withdraw(self, withdrawal: SignedWithdrawal) -> CommandResult:
        """Debit the owner; settlement pays on chain after all earlier trades."""

    def balance(self, account: bytes, token: bytes) -> Balance:
        """Return the ledger's view of one account (both arguments are addresses)."""

    def depth(self, market: Market, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return (price_ticks, lots), best first."""

    def least_withdrawal(self, token: Token) -> int:
        """Return the least pips of ``token`` that are paid out."""

    def is_lost(self, to: bytes) -> bool:
        """Return whether what is paid to ``to`` is lost: nobody, a contract of ours, a token."""

    def key_notional_left(self, account: bytes, key: bytes) -> int | None:
        """Return quote pips that a session key may still trade; None while it is not known yet."""

    def keys_of(self, account: bytes) -> list[GrantedKey]:
        """Return the session keys that ``account`` has granted, the first granted first."""

    def refuse_key(self, account: bytes, key: bytes) -> None:
        """Take no new order of a session key whose owner has revoked it: at once, until the chain
        says so, and no longer than this process lives."""

    def next_nonce(self, account: bytes) -> int:
        """Return a single-shot nonce that ``account`` may use now; 0 if it has none left."""

    def nonces(self, account: bytes, lanes: Sequence[int]) -> AccountNonces:
        """Return the nonces that ``account`` may use now, those of ``lanes`` for both halves."""

    def now_ns(self) -> int:
        """Return the exchange's clock."""


class SettlementPort(Protocol):
    """The chain's side of the house."""

    def trade_state(self, trade_id: int) -> TradeState:
        """Return how far trade ``trade_id`` has come."""

    def enqueue_sweeps(self, places: Sequence[SweepPlace]) -> None:
        """Move what lies at invoices' deposit addresses into the vault. Idempotent a payment."""

    def lying(self, address: bytes, tokens: Sequence[bytes]) -> dict[bytes, int] | None:
        """Return how many raw units of each token lie at an address, of those of which any do; None
        where no node says. Asks the chain: not for the event loop's thread."""

    def enqueue_grant(self, grant: KeyGrant, signature: bytes) -> None:
        """Relay a wallet's approval of a session key to the contract."""

    def enqueue_revocation(self, revocation: KeyRevocation, signature: bytes) -> bool:
        """Relay a wallet's signature that takes a session key back. It binds on chain after the
        exit delay, and here once the chain has shown it.

        Return whether the contract would take it now, and true where no node can say: one whose
        nonce was used stands on chain for all to copy, and takes back no key.
        """

    def vouches(self, wallet: bytes, digest: bytes, signature: bytes) -> bool | None:
        """Return whether the contract at ``wallet`` stands behind a signature (ERC-1271), as of a
        block that is final; None where no node says. Asks the chain: not for the event loop's
        thread."""

    def deposit_address(self, account: bytes, ref: bytes) -> bytes:
        """Return the CREATE2 address that can pay only into ``account`` with ``ref``.

        Transfers to it are reported from now on.
        """

    def unwatch(self, address: bytes) -> None:
        """Report no more transfers to ``address``; none of them may be unconfirmed."""

    def newest_block(self) -> int:
        """Return the newest block that was read: what is in block ``b`` has ``newest_block() - b
        + 1`` confirmations."""

    def withdrawal_states(self, sequences: Sequence[int]) -> dict[int, WithdrawalState]:
        """Return how far withdrawals are that were countersigned, by the sequence of their command.
        Reads a database: not for the event loop's thread."""

    def compared(self, account: bytes) -> Standing | None:
        """Return what vault and ledger had for ``account`` at the last final block at which it was
        compared; None if it was not since the start. It comes into the next comparison."""

    def receipts(self, account: bytes, ref: bytes, trade_ids: list[int]) -> list[TradeProof]:
        """Return proofs of what ``account`` traded for ``ref``, of the trades that are sealed."""
