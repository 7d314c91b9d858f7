"""Did all money that no trade moves come or go as the chain, or its owner, says?

A deposit and each step of an exit is one log on chain, booked once. A withdrawal is signed by its
owner. What becomes of one afterwards nobody signs: it is given back because it was never paid, or
charged once more because it was paid though an exit had taken it. So each of these must name a
withdrawal that is open, move exactly what is left of it, and the chain must have paid it or not.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from engine.commands import Kind, unpaid_pips
from engine.events import EventKind, pips_from_unpaid
from engine.log_entries import CommandRow, LogEntry
from engine.types import MoneyFlag
from settlement.audit.onchain import Money, Payment, Published
from settlement.audit.signatures import withdrawal_faults
from settlement.orders.catalog import Catalog
from settlement.orders.withdrawals import OpenWithdrawal
from settlement.protocol.eip712 import Domain
from settlement.protocol.evidence import (
    AnyAttachment,
    DepositEvidence,
    ExitEvidence,
    SignedWithdrawal,
    WithdrawalPaid,
    WithdrawalReturned,
)

MONEY_KINDS: Final = frozenset({Kind.DEPOSIT, Kind.WITHDRAW, Kind.EXIT_BEGIN, Kind.EXIT_END})

Holding = tuple[bytes, bytes]
"""(account, token)."""


class MoneyBook:
    """Follows deposits, exits and withdrawals, command by command. The catalog must be ahead."""

    def __init__(self, domain: Domain, published: Published, catalog: Catalog) -> None:
        self._domain = domain
        self._published = published
        self._catalog = catalog
        self._booked: Counter[Money] = Counter()
        self._booked_block = 0
        """What is on chain before this block was seen before what is booked was: where the chain
        has it, for the block in the evidence is the operator's word."""
        self._open: dict[int, OpenWithdrawal] = {}
        """By command: neither given back nor charged once more. Most of them were paid."""
        self._paid: set[int] = set()
        """Those of them that the chain has paid, now or later."""
        self._unpaid: dict[Holding, dict[int, OpenWithdrawal]] = {}
        """Those that it has not."""
        self._nonces: dict[tuple[bytes, int], int] = {}
        """The command of each withdrawal that was debited, by account and nonce."""
        self._debited: set[Payment] = set()

    def follow(self, entry: LogEntry, attachment: AnyAttachment | None) -> Iterator[str]:
        """Take one command; yield what is wrong with it."""
        kind, is_done = entry.command.kind, _is_done(entry)
        match kind, attachment:
            case Kind.WITHDRAW, SignedWithdrawal():
                row = entry.command
                yield from withdrawal_faults(self._catalog, self._domain, row, attachment)
                if is_done:
                    yield from self._debit(entry, attachment)
            case Kind.WITHDRAW, WithdrawalPaid():
                if is_done:
                    yield from self._charge(entry, attachment)
            case Kind.WITHDRAW, _:
                yield "a withdrawal without a signature"
            case ((Kind.DEPOSIT | Kind.EXIT_BEGIN | Kind.EXIT_END), _) if not is_done:
                return
            case Kind.DEPOSIT, WithdrawalReturned():
                yield from self._give_back(entry, attachment)
            case Kind.DEPOSIT, DepositEvidence(tx_hash=tx_hash, ref=ref):
                yield from self._book(self._money("Deposited", entry.command, tx_hash, ref))
            case Kind.EXIT_BEGIN, ExitEvidence(tx_hash=tx_hash):
                account = self._catalog.address_of(entry.command.account)
                yield from self._book(Money(tx_hash, "ExitRequested", account, b"", 0, b""))
            case Kind.EXIT_END, ExitEvidence():
                yield from self._end_exit(entry, attachment)
            case ((Kind.DEPOSIT | Kind.EXIT_BEGIN | Kind.EXIT_END), _):
                yield "money without evidence"

    def judge(self) -> Iterator[str]:
        """Yield what the chain says and the log, though it goes on behind it, does not."""
        for money, blocks in self._published.money.items():
            due = sum(block < self._booked_block for block in blocks)
            if due > self._booked[money] and self._published.is_bookable(money):
                yield f"{money} is on chain and not in the log"
        for payment, block in self._published.payments.items():
            # It is debited before the operator signs it, so long before any deposit behind it.
            if block < self._booked_block and payment not in self._debited:
                yield f"{payment} is on chain and was never debited"

    def notes(self) -> Iterator[str]:
        """Yield what is not wrong yet and has to come: nobody can tell how soon."""
        unpaid = sum(w.left > 0 and s not in self._paid for s, w in self._open.items())
        late = sum(w.taken > 0 and s in self._paid for s, w in self._open.items())
        if unpaid:
            yield f"withdrawals debited and neither paid nor given back: {unpaid}"
        if late:
            yield f"withdrawals paid after an exit took them and not charged again: {late}"

    # What the chain says.

    def _book(self, booked: Money) -> Iterator[str]:
        self._booked[booked] += 1
        there = self._published.money.get(booked, [])
        if not there:
            yield f"the chain does not say {booked}"
        elif self._booked[booked] > len(there):
            yield "the same log entry is booked twice"
        self._booked_block = max(self._booked_block, *there, 0)

    def _money(self, kind: str, row: CommandRow, tx_hash: bytes, ref: bytes = b"") -> Money:
        account, token = self._holding(row)
        return Money(tx_hash, kind, account, token, row.amount, ref)

    def _end_exit(self, entry: LogEntry, evidence: ExitEvidence) -> Iterator[str]:
        row = entry.command
        booked = self._money("ExitFinished", row, evidence.tx_hash)
        if not booked.amount:
            # Taken back; or finished when there was nothing to pay.
            other = booked._replace(kind="ExitCancelled")
            if self._booked[other] < len(self._published.money.get(other, ())):
                booked = other
        yield from self._book(booked)
        if not row.flags & MoneyFlag.ALWAYS:
            return  # It took what the account had, and from no withdrawal.
        named = self._open.get(evidence.withdrawal)
        if evidence.withdrawal and named is None:
            yield f"the exit takes from command {evidence.withdrawal}, no open withdrawal"
        elif named is not None and (named.account, named.token) != self._holding(row):
            yield f"the exit takes from command {named.sequence}, another account's or token's"
        elif named is None and booked.amount:
            yield from self._forgotten(self._holding(row))
        left = 0 if named is None else named.left
        pips = unpaid_pips(entry.row)
        if pips != left:
            yield f"the exit may take {pips} pips of a withdrawal that has {left} left"
        if named is not None:
            named.taken += pips_from_unpaid(entry.answer_row)

    def _forgotten(self, holding: Holding) -> Iterator[str]:
        """Yield what an exit had to name: what it takes first is what its owner withdraws."""
        for sequence, found in self._unpaid.get(holding, {}).items():
            if found.left:
                yield f"the exit does not name withdrawal {sequence}, which nobody has paid"

    # What its owner says, and what becomes of it.

    def _debit(self, entry: LogEntry, signed: SignedWithdrawal) -> Iterator[str]:
        account, token, nonce = signed.account, signed.token, signed.nonce
        before = self._nonces.setdefault((account, nonce), entry.sequence)
        if before != entry.sequence:
            yield f"the withdrawal's nonce was used by command {before}"
        payment = Payment(account, token, signed.to, signed.amount, nonce)
        opened = OpenWithdrawal(entry.sequence, account, token, signed.amount)
        self._open[entry.sequence] = opened
        if payment in self._published.payments and payment not in self._debited:
            self._paid.add(entry.sequence)
        else:
            self._unpaid.setdefault((account, token), {})[entry.sequence] = opened
        self._debited.add(payment)

    def _give_back(self, entry: LogEntry, returned: WithdrawalReturned) -> Iterator[str]:
        sequence = returned.sequence
        found = self._open.pop(sequence, None)
        if found is None:
            yield f"it gives back command {sequence}, which is no open withdrawal"
            return
        self._unpaid.get((found.account, found.token), {}).pop(sequence, None)
        yield from self._belongs(entry, found, found.left, "gives back")
        if sequence in self._paid:
            yield f"it gives back command {sequence}, which was paid on chain"

    def _charge(self, entry: LogEntry, paid: WithdrawalPaid) -> Iterator[str]:
        sequence = paid.sequence
        found = self._open.pop(sequence, None)
        if found is None:
            yield f"it charges again for command {sequence}, which is no open withdrawal"
            return
        yield from self._belongs(entry, found, found.taken, "charges again for")
        if sequence not in self._paid:
            yield f"it charges again for command {sequence}, which was not paid on chain"

    def _belongs(
        self, entry: LogEntry, found: OpenWithdrawal, pips: int, what: str
    ) -> Iterator[str]:
        where = f"it {what} command {found.sequence}"
        if self._holding(entry.command) != (found.account, found.token):
            yield f"{where}, another account's or token's"
        if entry.command.amount != pips:
            yield f"{where} with {entry.command.amount} pips, not {pips}"

    def _holding(self, row: CommandRow) -> Holding:
        token = self._catalog.tokens[row.token]
        return self._catalog.address_of(row.account), token.address


def _is_done(entry: LogEntry) -> bool:
    answer = entry.answer
    return len(answer) > 0 and answer[0].kind != EventKind.REJECTED
