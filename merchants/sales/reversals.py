"""What if a reorganisation takes away money that was booked?

The exchange books a deposit when its block is deep, and no command takes it back: the ledger keeps
it, vault and ledger differ, and the markets of its token are halted until a human has looked. Here
the shop is told. A booking that is in no block any more counts nothing at once, and nothing of its
invoice is sold, swept or settled for a while: whatever was lost has that long to be included again,
as almost everything is. Then what it paid is not paid: ``invoice.reversed``. If it comes back, in
whichever block, it counts again, once, and what was settled is settled.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Final

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from merchants.records.database import transaction
from merchants.records.due import LOST
from merchants.records.states import CREDIT_EDGES, ON_CHAIN, CreditState, PaymentState, moved
from merchants.records.tables import CREDIT_ASTRAY, Credit, Invoice, Payment, Sweep
from merchants.records.together import TOGETHER, Place
from merchants.records.turns import Turn
from merchants.sales.invoices import WATCHED_NS, Invoices
from merchants.sales.refunds import Refunds
from merchants.sales.uncovered import Uncovered
from settlement.ports import BlocksRead, DepositSeen

COMES_BACK_BLOCKS: Final = 12
"""How many blocks a transaction that everybody has may take to be in one again; it has as many more
to be as deep as the exchange wants."""

Likeness = tuple[bytes, bytes, bytes, int, bytes]
"""(transaction, account, token, amount, reference): a deposit, wherever its log is."""


class Reversals:
    """Follows what was booked, as far back as reorganisations are followed. Use it from the event
    loop."""

    def __init__(
        self,
        database: Engine,
        invoices: Invoices,
        uncovered: Uncovered,
        refunds: Refunds,
        clock: Callable[[], int],
        confirmations_required: int,
    ) -> None:
        self._database = database
        self._invoices = invoices
        self._uncovered = uncovered
        self._refunds = refunds
        self._clock = clock
        self.blocks = COMES_BACK_BLOCKS + confirmations_required
        """In how many blocks it is given up."""

    def is_missing_money(self) -> bool:
        """See ``settlement.ports.PaymentListener``."""
        return bool(self._uncovered.unsure or self._uncovered.short)

    def blocks_read(self, read: BlocksRead) -> list[Place]:
        """Hold what was counted of some blocks against what they have; return the transfers that
        have left the chain."""
        now_ns = self._clock()
        with transaction(self._database) as session:
            changed: dict[str, None] = {}
            left = [
                *self._payments_left(session, read, changed, now_ns),
                *self._sweeps_left(session, read, changed),
            ]
            self._follow(session, read, changed)
            session.flush()
            for invoice in _invoices(session, changed):
                self._uncovered.note(invoice)
                self._invoices.recount(session, invoice, now_ns)
        return left

    def _payments_left(
        self, session: Session, read: BlocksRead, changed: dict[str, None], now_ns: int
    ) -> list[Place]:
        there = {(one.tx_hash, one.log_index): one for one in read.transfers}
        rows = session.scalars(
            select(Payment)
            .join(Invoice, Invoice.id == Payment.invoice_id)
            .where(
                Payment.block_number.between(read.first, read.last),
                Payment.state.in_((PaymentState.CONFIRMING, PaymentState.FINAL)),
                # Of older ones transfers are not looked for.
                Invoice.created_ns >= now_ns - WATCHED_NS,
            )
        )
        found = []
        for row in rows:
            one = there.get((row.tx_hash, row.log_index))
            if one is None or (one.token, str(one.raw_amount)) != (row.token, row.raw):
                self._invoices.orphan(row)
                changed[row.invoice_id] = None
                found.append((row.tx_hash, row.log_index))
        return found

    def _sweeps_left(
        self, session: Session, read: BlocksRead, changed: dict[str, None]
    ) -> list[Place]:
        """Forget what was to leave an address and is not booked; what is booked goes and comes with
        its booking."""
        there = {(one.tx_hash, one.log_index) for one in read.transfers}
        rows = session.scalars(
            select(Sweep).where(
                Sweep.is_booked.is_(False), Sweep.block_number.between(read.first, read.last)
            )
        )
        found = []
        for row in rows.all():
            if (row.tx_hash, row.log_index) not in there:
                changed[row.invoice_id] = None
                found.append((row.tx_hash, row.log_index))
                session.delete(row)
        return found

    def _follow(self, session: Session, read: BlocksRead, changed: dict[str, None]) -> None:
        """Find the bookings that were in these blocks, and those that are astray."""
        of_blocks = Credit.block_number.between(read.first, read.last)
        rows = {
            *session.scalars(select(Credit).where(of_blocks)),
            *session.scalars(select(Credit).where(CREDIT_ASTRAY)),
        }
        if not rows:
            return
        there: dict[Likeness, list[DepositSeen]] = defaultdict(list)
        for seen in read.deposits:
            there[seen.tx_hash, seen.account, seen.token, seen.amount, seen.ref].append(seen)
        whose = {one.id: one for one in _invoices(session, {row.invoice_id for row in rows})}
        for row in sorted(rows, key=_place):
            invoice = whose[row.invoice_id]
            place = row.tx_hash, invoice.wallet, row.token, row.amount_pips, invoice.ref
            found = there[place].pop(0) if there[place] else None
            is_read = read.first <= row.block_number <= read.last
            is_seen = found is not None or (is_read and row.state in ON_CHAIN)
            if is_seen and self._put(row, found, read.head):
                changed[row.invoice_id] = None

    @staticmethod
    def _put(row: Credit, found: DepositSeen | None, head: int) -> bool:
        """Write down where a booking is now; return whether that is news."""
        before = row.state, row.block_number
        if found is None:
            state, row.missed_at_block = CreditState.MISSING, head
        else:
            state = CreditState.BOOKED if found.confirmed else CreditState.MOVED
            row.block_number, row.missed_at_block = found.block_number, None
        if row.state is not state:
            row.state = moved(CREDIT_EDGES, row.state, state)
        return (row.state, row.block_number) != before

    def give_up_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Give up what has not come back in time."""
        rows = list(turn.rows(session, LOST))
        for row in rows:
            row.state = moved(CREDIT_EDGES, row.state, CreditState.GONE)
        session.flush()
        for invoice in _invoices(session, {row.invoice_id for row in rows}):
            self._uncovered.note(invoice)
            self._invoices.take_back(session, invoice, now_ns)
            self._refunds.weigh(session, invoice)


def _invoices(session: Session, names: Collection[str]) -> Sequence[Invoice]:
    if not names:
        return ()
    query = select(Invoice).where(Invoice.id.in_(sorted(names))).options(*TOGETHER)
    return session.scalars(query.order_by(Invoice.id)).all()


def _place(row: Credit) -> Place:
    return row.tx_hash, row.log_index
