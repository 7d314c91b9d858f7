"""Do the columns of a shop's reports come to what the chain has changed, to the unit?

The reports are made of rows that were written as the log was read. The chain knows nothing of them:
it has batches, whose calldata anybody may read, and logs of what came and went. What a shop's
session keys sold is held against its settlement report by batch and market; deposits, payouts,
refunds and what its refund accounts bought, one by one. With what the wallet did by itself beside
them, the columns have to be what the vault has of the shop's accounts.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.records.amounts import exact_sum, hex_of, sum_of
from merchants.records.database import reading
from merchants.records.grants import Grant
from merchants.records.movements import Movement, MovementKind
from merchants.records.refunds import Refund, RefundKey, RefundOrder, RefundWithdrawal
from merchants.records.states import ON_CHAIN
from merchants.records.tables import Conversion, Credit, Fill, Invoice, Order, Store
from settlement.audit.accounts import Moved, MovedOnChain, SellerKey, SoldInBatch
from settlement.protocol.checksum import ADDRESS_SIZE
from settlement.protocol.evidence import SignedOrder, decode

ReadChain = Callable[[Collection[bytes], Collection[SellerKey]], MovedOnChain]
"""Says what some accounts did, and some of their keys sold; see
``settlement.audit.accounts.moved_on_chain``."""

Place = tuple[int, bytes, bytes]
"""(batch, base, quote)."""

COLUMNS: Final = (
    *("paid_in", "deposited", "sold", "proceeds", "fee", "refunds", "payouts", "bought"),
    *("by_itself", "exits", "before"),
)
"""What a token's change is made of. The last three are the chain's alone: what the wallets traded
by other keys, took out without the operator, and moved before anything that a row has of them."""


class Apart(NamedTuple):
    """A batch and market where report and chain part: sold, proceeds and fee of each in pips."""

    place: Place
    report: tuple[int, int, int]
    chain: tuple[int, int, int]


class Compared(NamedTuple):
    """``deltas`` are what the chain has changed by token at ``block``, ``reported`` what
    ``columns`` sum to by token; they are the same where nothing is ``apart`` or a fault."""

    block: int
    batches: int
    deltas: dict[bytes, int]
    reported: dict[bytes, int]
    columns: dict[bytes, dict[str, int]]
    apart: list[Apart]
    faults: list[str]

    @property
    def is_same(self) -> bool:
        """Return whether report and chain agree in everything."""
        return not (self.apart or self.faults) and self.deltas == self.reported


class _Books(NamedTuple):
    """What the rows have of the shop's accounts; one tuple for each movement."""

    accounts: set[bytes]
    credits: Counter[tuple[bytes, bytes, int, bytes]]
    """(account, token, pips, transaction), as are ``deposits``."""
    deposits: Counter[tuple[bytes, bytes, int, bytes]]
    refunds: Counter[tuple[bytes, bytes, int, bytes]]
    """(account, token, pips, receiver), as are ``payouts``."""
    payouts: Counter[tuple[bytes, bytes, int, bytes]]
    orders: dict[bytes, Counter[bytes]]
    """What each order of a refund account turned over, by its digest."""
    sales: dict[Place, tuple[int, int, int]]


def against_chain(database: Engine, store_id: str, read_chain: ReadChain) -> Compared | None:
    """Hold all that is final in a store's reports against the chain; None if there is no such
    store.

    What is final here and not yet in the chain's answer, or the other way, is apart: ask when
    nothing is on its way, or again.
    """
    with reading(database) as session:
        store = session.get(Store, store_id)
        if store is None:
            return None
        sellers = session.execute(
            select(Grant.wallet, Grant.key_address).where(Grant.store_id == store_id).distinct()
        )
        keys = {(wallet, key) for wallet, key in sellers}
        books = _books(session, store, {store.wallet, *(wallet for wallet, _ in keys)})
    found = read_chain(books.accounts, keys)
    chain = {(one.batch, one.base, one.quote): _figures(one) for one in found.sold}
    nothing = (0, 0, 0)
    apart = [
        Apart(place, books.sales.get(place, nothing), chain.get(place, nothing))
        for place in sorted({*books.sales, *chain})
        if books.sales.get(place, nothing) != chain.get(place, nothing)
    ]
    columns: dict[bytes, dict[str, int]] = {}
    faults = [
        *_hold_deposits(books, found, columns),
        *_hold_payments(books, found, columns),
        *_hold_orders(books, found, columns),
    ]
    for (_, base, quote), (sold, proceeds, fee) in books.sales.items():
        _add(columns, base, "sold", -sold)
        _add(columns, quote, "proceeds", proceeds)
        _add(columns, quote, "fee", -fee)
    for one in found.exits:
        _add(columns, one.token, "exits", -one.pips)
    deltas = {token: pips for token, pips in found.has.items() if pips or token in columns}
    reported = {token: sum(columns.get(token, {}).values()) for token in {*deltas, *columns}}
    batches = len({one.batch for one in found.sold})
    return Compared(found.block, batches, deltas, reported, columns, apart, faults)


def _add(columns: dict[bytes, dict[str, int]], token: bytes, column: str, pips: int) -> None:
    columns.setdefault(token, dict.fromkeys(COLUMNS, 0))[column] += pips


def _figures(one: SoldInBatch) -> tuple[int, int, int]:
    return one.sold_pips, one.proceeds_pips, one.fee_pips


def _in_no_row(
    moves: Collection[Moved],
    rows: Counter[tuple[bytes, bytes, int, bytes]],
    known_by: Callable[[Moved], Sequence[bytes]],
) -> list[tuple[Moved, bool]]:
    """Take ``moves`` out of ``rows``, each by the first of what it may be known by there. Return
    those that are in none, and whether each came no later than its account's first that is."""
    others: list[Moved] = []
    first: dict[bytes, int] = {}
    for one in moves:
        keys = ((one.account, one.token, one.pips, name) for name in known_by(one))
        key = next((key for key in keys if rows[key]), None)
        if key is None:
            others.append(one)
        else:
            rows[key] -= 1
            first.setdefault(one.account, one.block)
    return [(one, one.block <= first.get(one.account, one.block)) for one in others]


def _hold_deposits(
    books: _Books, found: MovedOnChain, columns: dict[bytes, dict[str, int]]
) -> Iterator[str]:
    """Count each deposit once, as what the rows say it is; yield those that have no other half."""
    rows = books.credits + books.deposits
    for (_, token, pips, _), count in books.credits.items():
        _add(columns, token, "paid_in", pips * count)
    for (_, token, pips, _), count in books.deposits.items():
        _add(columns, token, "deposited", pips * count)
    for one, is_before in _in_no_row(found.deposits, rows, lambda one: [one.tx_hash]):
        # What has an invoice's reference came when there was a store.
        if is_before and not any(one.other):
            _add(columns, one.token, "before", one.pips)
        else:
            yield f"a deposit is in no row: {_said(one)}"
    for (account, token, pips, tx_hash), count in rows.items():
        if count:
            moved = Moved(account, token, pips, tx_hash, b"", 0)
            yield f"a deposit is not on chain: {_said(moved)}"


def _hold_payments(
    books: _Books, found: MovedOnChain, columns: dict[bytes, dict[str, int]]
) -> Iterator[str]:
    """As ``_hold_deposits``, of what was paid out."""
    rows = books.refunds + books.payouts
    for (_, token, pips, _), count in books.refunds.items():
        _add(columns, token, "refunds", -pips * count)
    for (_, token, pips, _), count in books.payouts.items():
        _add(columns, token, "payouts", -pips * count)
    # Of one that was paid after it had been given back the log does not say to whom.
    for one, is_before in _in_no_row(found.payments, rows, lambda one: [one.other, b""]):
        if is_before:
            _add(columns, one.token, "before", -one.pips)
        else:
            yield f"a payment is in no row: {_said(one)}"
    for (account, token, pips, to), count in rows.items():
        if count:
            moved = Moved(account, token, pips, b"", to, 0)
            yield f"a payment is not on chain: {_said(moved)}"


def _hold_orders(
    books: _Books, found: MovedOnChain, columns: dict[bytes, dict[str, int]]
) -> Iterator[str]:
    """Count what the refund accounts bought by the rows, and what else was traded by the chain."""
    for digest in sorted({*books.orders, *found.orders}):
        row, chain = books.orders.get(digest), found.orders.get(digest, Counter())
        for token, pips in (chain if row is None else row).items():
            _add(columns, token, "by_itself" if row is None else "bought", pips)
        if row is not None and row != chain:
            yield f"order {hex_of(digest)} turned over other amounts on chain"


def _said(one: Moved) -> str:
    to = f" to {hex_of(one.other)}" if len(one.other) == ADDRESS_SIZE else ""
    where = f" in transaction {hex_of(one.tx_hash)}" if one.tx_hash else ""
    return f"{one.pips} pips of {hex_of(one.token)} of {hex_of(one.account)}{to}{where}"


def _books(session: Session, store: Store, wallets: Collection[bytes]) -> _Books:
    """Return what the rows have of ``wallets`` and of the store's refund accounts."""
    keys = select(RefundKey.key_address).where(RefundKey.store_id == store.id)
    accounts = {*wallets, *session.scalars(keys)}
    credits_ = (
        select(Invoice.wallet, Credit.token, Credit.amount_pips, Credit.tx_hash)
        .join(Invoice, Invoice.id == Credit.invoice_id)
        .where(Invoice.wallet.in_(accounts), Credit.state.in_(ON_CHAIN))
    )
    moved = select(Movement).where(Movement.wallet.in_(accounts))
    paying = {
        *session.scalars(select(Refund.sequence).where(Refund.sequence != 0)),
        *session.scalars(
            select(RefundWithdrawal.sequence).where(RefundWithdrawal.refund_id.is_not(None))
        ),
    }
    deposits, refunds, payouts = (Counter[tuple[bytes, bytes, int, bytes]]() for _ in range(3))
    for row in session.scalars(moved):
        pips = row.pips - row.returned_pips
        if row.kind is MovementKind.DEPOSIT:
            if row.tx_hash:  # Else it was taken out before, and never left the vault.
                deposits[row.wallet, row.token, pips, row.tx_hash] += 1
        elif pips:
            into = refunds if row.sequence in paying else payouts
            into[row.wallet, row.token, pips, row.receiver] += 1
    return _Books(
        accounts,
        Counter((row[0], row[1], row[2], row[3]) for row in session.execute(credits_)),
        *(deposits, refunds, payouts),
        _bought(session, accounts),
        _report(session, store.id),
    )


def _bought(session: Session, accounts: Collection[bytes]) -> dict[bytes, Counter[bytes]]:
    """Return what orders of refund accounts turned over, of those that traded."""
    rows = select(RefundOrder).where(
        RefundOrder.account.in_(accounts),
        RefundOrder.outcome == Outcome.ACCEPTED,
        RefundOrder.bought_pips > 0,
    )
    found: dict[bytes, Counter[bytes]] = {}
    for row in session.scalars(rows):
        order = _order(row.body)
        found[row.digest] = Counter({order.base: row.bought_pips, order.quote: -row.paid_pips})
    return found


def _report(session: Session, store_id: str) -> dict[Place, tuple[int, int, int]]:
    """Return the columns of ``settlement`` by batch and tokens, of what is final."""
    query = (
        select(
            Fill.batch,
            Conversion.market,
            func.min(Conversion.id),
            *exact_sum(Fill.lots * Fill.lot_pips),
            *exact_sum(Fill.proceeds_pips),
            *exact_sum(Fill.fee_pips),
        )
        .join(Conversion, Conversion.id == Fill.conversion_id)
        .where(Fill.store_id == store_id, Fill.state == "final", Fill.batch.is_not(None))
        .group_by(Fill.batch, Conversion.market)
    )
    found: dict[Place, tuple[int, int, int]] = {}
    pairs: dict[str, tuple[bytes, bytes]] = {}
    for batch, market, conversion_id, *halves in session.execute(query):
        if market not in pairs:
            pairs[market] = _pair(session, conversion_id)
        sold, proceeds, fee = (sum_of(halves[n : n + 2]) for n in (0, 2, 4))
        assert batch is not None, "the query says so"
        found[batch, *pairs[market]] = sold, proceeds, fee
    return found


def _pair(session: Session, conversion_id: str) -> tuple[bytes, bytes]:
    """Return the tokens of a sale's market, by an order that was signed for it."""
    body = session.scalars(
        select(Order.body).where(Order.conversion_id == conversion_id).limit(1)
    ).one()
    order = _order(body)
    return order.base, order.quote


def _order(body: bytes) -> SignedOrder:
    order = decode(body)
    assert isinstance(order, SignedOrder), "only orders are stored there"
    return order
