"""How is a refund paid, and never twice?

By a ``Withdrawal`` from the account of the store's wallet, which the wallet signs, or from that of
the store's refund key. It is stored with its nonce before anybody is shown it, and one alone may be
taken at a time; its fate is read from the journal. So a restart sends the same one again, or finds
that it was taken, and another is made only when this one can be taken no more.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from engine.events import EventKind
from engine.log_entries import LogEntry
from engine.types import Outcome
from merchants.records.database import reading, transaction
from merchants.records.due import ON_THEIR_WAY, SIGNED, UNSIGNED
from merchants.records.refunds import (
    Payer,
    Refund,
    RefundKey,
    RefundOrder,
    RefundState,
    RefundWithdrawal,
)
from merchants.records.rejection import Rejection
from merchants.records.states import CreditState
from merchants.records.turns import Turn
from merchants.sales.adopted import adopt_withdrawal, paying_accounts
from merchants.sales.refund_amounts import booked_pips, refunded_pips
from merchants.sales.refunds import Refunds, live_withdrawal
from merchants.webhooks.event_types import EventType
from settlement.ports import ExchangePort, SettlementPort
from settlement.protocol.eip712 import (
    DOMAIN_NAME,
    DOMAIN_VERSION,
    WITHDRAWAL_TYPE,
    Domain,
    recover,
    withdrawal_digest,
)
from settlement.protocol.evidence import SignedWithdrawal, WithdrawalReturned, evidence_of

NS: Final = 10**9
LASTS_S: Final = 1800
"""How long a withdrawal may be signed and taken."""

READ_S: Final = 60
"""So long after it could be taken last, the journal has been read that far; only then is another
made."""

ASK_NS: Final = 5 * NS
"""How often the chain is asked how far a withdrawal is."""

RETRY_NS: Final = 10 * NS
RETRY_DOUBLINGS_MAX: Final = 6
ROWS_MAX: Final = 25
"""Most rows that are looked at in one go."""

FINAL: Final = "final"

PASSING: Final = frozenset(
    {
        Outcome.WITHDRAWAL_OPEN,
        Outcome.OVERLOADED,
        Outcome.SHUTTING_DOWN,
        Outcome.DISK_LOW,
        Outcome.UNDER_REVIEW,
        Outcome.CAPACITY,
        Outcome.RATE_LIMITED,
        Outcome.NONCE_TOO_FAR,
    }
)
"""Refused for a reason that passes: the same withdrawal is sent again."""


class TypedWithdrawal(msgspec.Struct, frozen=True):
    """EIP-712 JSON as ``eth_signTypedData_v4`` takes it; integers are decimal strings."""

    types: dict[str, list[dict[str, str]]]
    primaryType: str  # noqa: N815 -- the name that wallets expect
    domain: dict[str, str | int]
    message: dict[str, str]


class ToSign(NamedTuple):
    """What a store's wallet signs to pay a refund, until ``expiry`` (unix seconds)."""

    digest: bytes
    expiry: int
    typed: TypedWithdrawal


class RefundPayouts:
    """Composes withdrawals, sends those that are signed, and follows them to the chain."""

    def __init__(
        self,
        *,
        database: Engine,
        exchange: ExchangePort,
        settlement: SettlementPort,
        refunds: Refunds,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._settlement = settlement
        self._refunds = refunds
        self._clock = clock
        self._answered: set[bytes] = set()
        """Withdrawals sent in this life that the journal has; it tells their fate."""
        with transaction(database) as session:
            open_rows = select(RefundWithdrawal.account).where(RefundWithdrawal.outcome.is_(None))
            orders = select(RefundOrder.account).where(RefundOrder.outcome.is_(None))
            self.waiting = {*session.scalars(open_rows), *session.scalars(orders)}
            """Accounts of which the journal may tell something about a withdrawal or order."""
            self._paying = paying_accounts(session)
            """Accounts of which what is not read yet of the log may have withdrawals of ours that
            these rows do not know."""

    def waiting_accounts(self) -> list[int]:
        """Return the engine accounts whose WITHDRAW and PLACE commands may be ours."""
        numbers = (
            self._exchange.catalog.account_number(one) for one in self.waiting | self._paying
        )
        return [number for number in numbers if number is not None]

    # Signed by the shop's wallet

    def compose(self, store_id: str, refund_id: str) -> ToSign | Rejection:
        """Return the withdrawal that the store's wallet has to sign: the one that may still be
        taken, or a new one. Rejects NOT_FOUND, and INVOICE_CLOSED where none is due now."""
        with transaction(self._database) as session:
            refund = self._due(session, store_id, refund_id)
            if isinstance(refund, Rejection):
                return refund
            row = live_withdrawal(session, refund.id)
            if row is not None and row.signature is not None:
                return _closed("it is signed already")
            now_s = self._exchange.now_ns() // NS
            if row is not None and row.expiry <= now_s:
                return _closed(f"the last one has just expired: ask again in {READ_S} seconds")
            if row is None:
                row = self.composed(session, refund, refund.invoice.store.wallet)
            return ToSign(row.digest, row.expiry, typed_withdrawal(self._exchange.domain, row))

    def _due(self, session: Session, store_id: str, refund_id: str) -> Refund | Rejection:
        refund = session.get(Refund, refund_id)
        if refund is None or refund.store_id != store_id:
            return Rejection(Outcome.NOT_FOUND, {"refund": refund_id})
        if refund.state is not RefundState.AWAITING_PAYMENT:
            return _closed(f"it is {refund.state}")
        if not refund.receiver:
            return _closed("nobody has said yet where it goes")
        why = self.why_uncovered(session, refund)
        return _closed(why) if why else refund

    def why_uncovered(self, session: Session, refund: Refund) -> str:
        """Return why what came does not cover all that is given back of it; empty if it does."""
        came = refund.invoice_id, refund.of_token
        back = refunded_pips(session, *came)
        if back <= booked_pips(session, *came, (CreditState.BOOKED,)):
            return ""
        if back <= booked_pips(session, *came):
            return "its payment is in another block now, which is not deep enough yet"
        return "less is booked now than was: its payment has left the chain"

    def sign(self, store_id: str, refund_id: str, signature: bytes) -> Refund | Rejection:
        """Take the wallet's signature over what ``compose`` has returned; it is sent at once.

        Rejects BAD_SIGNATURE with our digest and the address recovered; the same again is once.
        """
        with transaction(self._database) as session:
            refund = session.get(Refund, refund_id)
            if refund is None or refund.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"refund": refund_id})
            row = live_withdrawal(session, refund.id)
            if row is None or row.account != refund.invoice.store.wallet:
                return _closed("there is nothing to sign: ask for it first")
            if row.signature == signature:
                return refund
            if row.signature is not None or row.expiry <= self._exchange.now_ns() // NS:
                return _closed("it is signed already" if row.signature else "it has expired")
            why = self.why_uncovered(session, refund)
            if why:
                return _closed(why)
            signer = recover(row.digest, signature)
            if signer != row.account:
                detail = {
                    "digest": "0x" + row.digest.hex(),
                    "expected": "0x" + row.account.hex(),
                    "recovered": "" if signer is None else "0x" + signer.hex(),
                }
                return Rejection(Outcome.BAD_SIGNATURE, detail)
            row.signature = signature
            self.begin(session, refund, Payer.WALLET)
            return refund

    def composed(self, session: Session, refund: Refund, account: bytes) -> RefundWithdrawal:
        """Store the withdrawal that pays ``refund`` out of ``account``."""
        return self.store_row(
            session, refund.id, refund.store_id, account, refund.token, refund.pips, refund.receiver
        )

    def store_row(
        self,
        session: Session,
        refund_id: str | None,
        store_id: str,
        account: bytes,
        token: bytes,
        pips: int,
        receiver: bytes,
    ) -> RefundWithdrawal:
        """Store one withdrawal with a nonce that none of the others has which may be taken."""
        highest = session.scalar(
            select(func.max(RefundWithdrawal.nonce)).where(
                RefundWithdrawal.account == account, RefundWithdrawal.outcome.is_(None)
            )
        )
        row = RefundWithdrawal(
            refund_id=refund_id,
            store_id=store_id,
            account=account,
            token=token,
            pips=pips,
            receiver=receiver,
            nonce=max(self._exchange.nonces(account, ()).withdrawal, (highest or 0) + 1),
            expiry=self._exchange.now_ns() // NS + LASTS_S,
            signature=None,
            outcome=None,
            next_ns=0,
        )
        # One like it may have been refused in this very second: the expiry tells them apart.
        row.digest = self._digest(row)
        while session.get(RefundWithdrawal, row.digest) is not None:
            row.expiry += 1
            row.digest = self._digest(row)
        session.add(row)
        session.flush()
        self.waiting.add(account)
        return row

    def _digest(self, row: RefundWithdrawal) -> bytes:
        return withdrawal_digest(self._exchange.domain, signed_of(row, b""))

    def begin(self, session: Session, refund: Refund, payer: Payer) -> None:
        """Its withdrawal is signed and stored: from now on it may be paid."""
        refund.payer, refund.note, refund.next_ns = payer, "", None
        self._refunds.become(session, refund, RefundState.IN_PROGRESS, EventType.REFUND_IN_PROGRESS)

    # What happens by itself

    def release_due(self, session: Session, _now_ns: int, turn: Turn) -> None:
        """Let go of what was never signed and can be taken no more."""
        for row in turn.rows(session, UNSIGNED):
            self._resolve(session, row, Outcome.ORDER_EXPIRED)
            if row.refund_id is not None:
                # Of what went meanwhile nothing is given back.
                self._refunds.weigh(session, session.get_one(Refund, row.refund_id).invoice)

    def caught_up(self) -> None:
        """The log was read to its end."""
        self._paying = set()

    async def send_due(self) -> None:
        """Send the withdrawals that are signed, one an account at a time: they come by nonce."""
        for digest, withdrawal in self._signed():
            result = await self._exchange.withdraw(withdrawal)
            with transaction(self._database) as session:
                row = session.get_one(RefundWithdrawal, digest)
                if row.outcome is not None:
                    continue  # We have read of it already.
                if result.sequence:
                    self._answered.add(digest)
                else:
                    self._refused(session, row, result.outcome)

    def _signed(self) -> list[tuple[bytes, SignedWithdrawal]]:
        """Return what is sent now: of each account its first, the longest due first. One that waits
        holds up those behind it, and no other account."""
        unanswered = SIGNED.where(RefundWithdrawal.digest.not_in(self._answered))
        with reading(self._database) as session:
            rows = session.scalars(unanswered.limit(ROWS_MAX), {"now_ns": self._clock()})
            return [(row.digest, signed_of(row, row.signature or b"")) for row in rows]

    def _refused(self, session: Session, row: RefundWithdrawal, outcome: Outcome) -> None:
        """It was refused before the journal had it."""
        row.refusals += 1
        # Its owner may have sent it himself, and we have not read that yet.
        is_doubtful = outcome is Outcome.NONCE_USED and row.refusals == 1
        is_late = outcome is Outcome.ORDER_EXPIRED
        if is_late and row.expiry > self._exchange.now_ns() // NS - READ_S:
            is_doubtful = True
        if outcome in PASSING or is_doubtful:
            row.next_ns = self._clock() + (READ_S * NS if is_doubtful else RETRY_NS)
            return
        self._void(session, row, outcome)

    def _void(self, session: Session, row: RefundWithdrawal, outcome: Outcome) -> None:
        """Nobody was paid by it and nobody will be."""
        self._resolve(session, row, outcome)
        if row.refund_id is not None:
            self._back(session, session.get_one(Refund, row.refund_id), outcome.name)

    def _back(self, session: Session, refund: Refund, note: str) -> None:
        """Let a refund wait to be paid again, and say so."""
        if refund.state is not RefundState.IN_PROGRESS:
            return
        refund.attempts += 1
        refund.note, refund.sequence, refund.tx_hash = note, 0, None
        refund.payer = Payer.NOBODY
        self.later(refund)
        self._refunds.become(
            session, refund, RefundState.AWAITING_PAYMENT, EventType.REFUND_WAITING
        )
        self._refunds.weigh(session, refund.invoice)

    def later(self, refund: Refund) -> None:
        """Plan when the store's refund key looks at it again, each time after twice as long."""
        wait_ns = RETRY_NS << min(refund.attempts, RETRY_DOUBLINGS_MAX)
        refund.next_ns = self._clock() + wait_ns

    def _resolve(self, session: Session, row: RefundWithdrawal, outcome: Outcome) -> None:
        row.outcome = outcome
        session.flush()
        self._answered.discard(row.digest)
        self.forget(session, row.account)

    def forget(self, session: Session, account: bytes) -> None:
        """Wait for an account no longer, if nothing of it is open."""
        rows = select(RefundWithdrawal.digest).where(
            RefundWithdrawal.account == account, RefundWithdrawal.outcome.is_(None)
        )
        orders = select(RefundOrder.digest).where(
            RefundOrder.account == account, RefundOrder.outcome.is_(None)
        )
        if session.scalar(rows.limit(1)) is None and session.scalar(orders.limit(1)) is None:
            self.waiting.discard(account)

    def take_withdrawal(self, session: Session, entry: LogEntry) -> None:
        """Learn the fate of a withdrawal of ours from the journal; ignore everybody else's."""
        signed = evidence_of(entry)
        if not isinstance(signed, SignedWithdrawal):
            return
        answer = entry.answer[0]
        row = session.get(RefundWithdrawal, signed.digest)
        is_carried_out = answer.kind == EventKind.WITHDRAWN
        if row is None and is_carried_out and signed.account in self._paying:
            row = adopt_withdrawal(session, signed)
        if row is None or row.outcome is not None:
            return
        if not is_carried_out:
            row.sequence = entry.sequence
            self._void(session, row, Outcome(answer.outcome))
            return
        row.sequence = entry.sequence
        self._resolve(session, row, Outcome.ACCEPTED)
        if row.refund_id is None:
            return
        refund = session.get_one(Refund, row.refund_id)
        if refund.state is RefundState.AWAITING_PAYMENT:
            # Its owner has sent it himself, or these rows are of before it was sent.
            is_key = session.get(RefundKey, row.account) is not None
            self.begin(session, refund, Payer.KEY if is_key else Payer.WALLET)
        refund.sequence, refund.next_ns = entry.sequence, self._clock()

    def take_returned(self, session: Session, returned: WithdrawalReturned) -> None:
        """A withdrawal was never paid and came back to its owner; ignore it if it is not ours."""
        row = session.scalar(
            select(RefundWithdrawal).where(RefundWithdrawal.sequence == returned.sequence)
        )
        if row is None or row.refund_id is None:
            return
        refund = session.get_one(Refund, row.refund_id)
        if refund.sequence == returned.sequence:
            self._back(session, refund, returned.reason)

    async def follow_due(self) -> None:
        """Ask how far withdrawals are on their way to the chain, of many at once."""
        with reading(self._database) as session:
            due = session.scalars(ON_THEIR_WAY.limit(ROWS_MAX), {"now_ns": self._clock()})
            asked = list(due)
        if not asked:
            return
        # Off the loop: it reads settlement's database.
        states = await asyncio.to_thread(self._settlement.withdrawal_states, asked)
        with transaction(self._database) as session:
            for refund in session.scalars(select(Refund).where(Refund.sequence.in_(asked))):
                if refund.state is not RefundState.IN_PROGRESS:
                    continue
                refund.next_ns = self._clock() + ASK_NS
                found = states.get(refund.sequence)
                if found is None:
                    continue
                refund.tx_hash = found.tx_hash
                if found.state == FINAL:
                    refund.next_ns = None
                    self._refunds.become(
                        session, refund, RefundState.COMPLETED, EventType.REFUND_COMPLETED
                    )


def signed_of(row: RefundWithdrawal, signature: bytes) -> SignedWithdrawal:
    """Return a stored withdrawal as it is sent."""
    return SignedWithdrawal(
        account=row.account,
        token=row.token,
        to=row.receiver,
        amount=row.pips,
        nonce=row.nonce,
        expiry=row.expiry,
        signature=signature,
        digest=row.digest or b"",
    )


def typed_withdrawal(domain: Domain, row: RefundWithdrawal) -> TypedWithdrawal:
    """Return what the wallet shows and signs."""
    name, _, rest = WITHDRAWAL_TYPE.partition("(")
    fields = [field.split(" ") for field in rest.rstrip(")").split(",")]
    values = (row.account, row.token, row.pips, row.receiver, row.nonce, row.expiry)
    shown = ("0x" + v.hex() if isinstance(v, bytes) else str(v) for v in values)
    return TypedWithdrawal(
        types={
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            name: [{"name": field, "type": kind} for kind, field in fields],
        },
        primaryType=name,
        domain={
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": domain.chain_id,
            "verifyingContract": "0x" + domain.contract.hex(),
        },
        message=dict(zip((field for _, field in fields), shown, strict=True)),
    )


def _closed(why: str) -> Rejection:
    return Rejection(Outcome.INVOICE_CLOSED, {"why": why})
