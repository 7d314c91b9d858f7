"""What did a shop's wallet take out, and is all of its money accounted for?"""

from collections import Counter
from typing import Final

from sqlalchemy import BigInteger, case, cast, select
from sqlalchemy.orm import Session

from engine.types import MONEY_MAX
from merchants.records.amounts import decimal_of_pips, exact_sum, hex_of, sum_of
from merchants.records.movements import Movement, MovementKind
from merchants.records.states import ON_CHAIN
from merchants.records.tables import Conversion, Credit, Fill, Invoice, Store
from merchants.records.terms import market_of
from merchants.reports.page import Asked, House, Page
from merchants.reports.rows import PayoutRow, ReconciliationRow
from merchants.reports.settled import SOLD, sums_in
from merchants.reports.written import moment, signed_decimal
from settlement.audit.standings import Standing

STATES: Final = {
    "sealed": "countersigned",
    "signed": "countersigned",
    "broadcast": "submitted",
    "failed": "refused",
    "abandoned": "refused",
}
"""What the outbox calls it, where others are not told so."""


def payouts(session: Session, house: House, store: Store, asked: Asked) -> Page:
    """Return the withdrawals of the store's wallet, the first first."""
    (last,) = asked.numbers(1)
    query = (
        select(Movement)
        .where(
            Movement.wallet == store.wallet,
            Movement.kind == MovementKind.WITHDRAWAL,
            Movement.sequence > last,
            Movement.time_ns >= asked.from_ns,
            Movement.time_ns < asked.to_ns,
        )
        .order_by(Movement.sequence)
        .limit(asked.limit)
    )
    found = session.scalars(query).all()
    states = house.settlement.withdrawal_states([row.sequence for row in found]) if found else {}
    rows = []
    for row in found:
        state = states.get(row.sequence)
        status = "debited" if state is None else STATES.get(state.state, state.state)
        tx_hash = None if state is None else state.tx_hash
        rows.append(
            PayoutRow(
                time_utc=moment(row.time_ns),
                time_local=moment(row.time_ns, asked.zone),
                sequence=row.sequence,
                token=house.symbol_of(row.token),
                amount=decimal_of_pips(row.pips),
                receiver=hex_of(row.receiver) if row.receiver else "",
                returned=decimal_of_pips(row.returned_pips),
                status="returned" if row.returned_pips else status,
                tx_hash="" if tx_hash is None else hex_of(tx_hash),
            )
        )
    return Page(rows, "" if len(found) < asked.limit else str(found[-1].sequence))


class _Sums:
    """All of a wallet's account by token, in pips."""

    def __init__(self) -> None:
        self.paid_in: Counter[bytes] = Counter()
        self.reversed: Counter[bytes] = Counter()
        self.deposited: Counter[bytes] = Counter()
        self.withdrawn: Counter[bytes] = Counter()
        self.sold: Counter[bytes] = Counter()
        self.bought: Counter[bytes] = Counter()
        self.fees: Counter[bytes] = Counter()
        self.difference: Counter[bytes] = Counter()

    def expected(self, token: bytes) -> int:
        """Return what the account has of ``token`` by these."""
        came = self.paid_in[token] + self.deposited[token] + self.bought[token]
        return came - self.sold[token] - self.withdrawn[token]


def reconciliation(session: Session, house: House, store: Store, asked: Asked) -> Page:
    """Return one row for each token that the wallet's account has or had, in one page."""
    sums = _summed(session, house, store, MONEY_MAX, MONEY_MAX)
    _hold_against_counts(session, house, store, sums)
    compared = asked.compared
    then = None
    if compared is not None:
        then = _summed(session, house, store, compared.sequence, compared.trade_id)
    tokens = {*sums.paid_in, *sums.deposited, *sums.withdrawn, *sums.sold, store.settle}
    ledger = dict(asked.ledger)
    tokens |= {token for token, pips in ledger.items() if pips}
    rows = []
    for token in sorted(tokens):
        expected, owed = sums.expected(token), ledger.get(token, 0)
        rows.append(
            ReconciliationRow(
                token=house.symbol_of(token),
                paid_in=decimal_of_pips(sums.paid_in[token]),
                deposited=decimal_of_pips(sums.deposited[token]),
                sold=decimal_of_pips(sums.sold[token]),
                bought=signed_decimal(sums.bought[token]),
                fees=decimal_of_pips(sums.fees[token]),
                withdrawn=signed_decimal(sums.withdrawn[token]),
                expected=signed_decimal(expected),
                ledger=decimal_of_pips(owed),
                besides=signed_decimal(owed - expected),
                difference=signed_decimal(sums.difference[token]),
                reversed=decimal_of_pips(sums.reversed[token]),
                **_at_block(compared, then, token),
            )
        )
    return Page(rows, "")


NOT_COMPARED: Final = dict.fromkeys(
    (
        *("block", "block_hash", "block_time_utc", "at_sequence"),
        *("books_at_block", "ledger_at_block", "chain_at_block", "on_the_way"),
        *("besides_at_block", "chain_difference"),
    ),
    "",
)


def _at_block(compared: Standing | None, then: _Sums | None, token: bytes) -> dict[str, str]:
    """Return the columns that stand at the block where vault and ledger were compared."""
    held = None if compared is None else compared.held.get(token)
    if compared is None or then is None or held is None:
        return NOT_COMPARED
    books = then.expected(token) - held.on_the_way
    return {
        "block": str(compared.block),
        "block_hash": hex_of(compared.block_hash),
        "block_time_utc": moment(compared.block_s * 10**9),
        "at_sequence": str(compared.sequence),
        "books_at_block": signed_decimal(books),
        "ledger_at_block": signed_decimal(held.ledger),
        "chain_at_block": signed_decimal(held.chain),
        "on_the_way": signed_decimal(held.on_the_way),
        "besides_at_block": signed_decimal(held.ledger - books),
        "chain_difference": signed_decimal(held.chain - held.ledger),
    }


def _summed(session: Session, house: House, store: Store, sequence: int, trade_id: int) -> _Sums:
    """Count what moved up to command ``sequence`` and trade ``trade_id``."""
    sums = _Sums()
    _add_movements(session, store, sums, sequence)
    _add_sales(session, house, store, sums, trade_id)
    return sums


def _add_movements(session: Session, store: Store, sums: _Sums, sequence: int) -> None:
    """Count what invoices brought and what came and went besides."""
    stores = select(Store.id).where(Store.wallet == store.wallet)
    paid = (
        select(
            Credit.token,
            *exact_sum(Credit.amount_pips),
            # The ledger has it all the same.
            *exact_sum(case((Credit.state.in_(ON_CHAIN), 0), else_=Credit.amount_pips)),
        )
        .join(Invoice, Invoice.id == Credit.invoice_id)
        .where(
            Credit.store_id.in_(stores),
            Invoice.wallet == store.wallet,
            Credit.sequence <= sequence,
        )
        .group_by(Credit.token)
    )
    for token, *halves in session.execute(paid):
        sums.paid_in[token] += sum_of(halves[:2])
        sums.reversed[token] += sum_of(halves[2:])
    moved = (
        select(
            Movement.token,
            Movement.kind,
            *exact_sum(Movement.pips),
            *exact_sum(Movement.returned_pips),
        )
        .where(Movement.wallet == store.wallet, Movement.sequence <= sequence)
        .group_by(Movement.token, Movement.kind)
    )
    for token, kind, *halves in session.execute(moved):
        into = sums.deposited if kind is MovementKind.DEPOSIT else sums.withdrawn
        into[token] += sum_of(halves[:2]) - sum_of(halves[2:])


def _add_sales(session: Session, house: House, store: Store, sums: _Sums, trade_id: int) -> None:
    """Count what trades turned over."""
    stores = select(Store.id).where(Store.wallet == store.wallet)
    catalog = house.exchange.catalog
    traded = (
        select(Conversion.market, *SOLD)
        .join(Conversion, Conversion.id == Fill.conversion_id)
        .join(Invoice, Invoice.id == Conversion.invoice_id)
        .where(
            Fill.store_id.in_(stores),
            Invoice.wallet == store.wallet,
            Fill.trade_id <= trade_id,
        )
        .group_by(Conversion.market)
    )
    for symbol, *halves in session.execute(traded):
        market = market_of(catalog, symbol)
        sold, proceeds, fee = sums_in(market, halves)
        base, quote = market.base.address, market.quote.address
        sums.sold[base] += sold
        sums.bought[quote] += proceeds - fee
        sums.fees[quote] += fee
        sums.difference[base] += sold
        sums.difference[quote] += proceeds - fee


def _hold_against_counts(session: Session, house: House, store: Store, sums: _Sums) -> None:
    """Take what conversions and invoices count off what their trades turned over: 0 is left."""
    stores = select(Store.id).where(Store.wallet == store.wallet)
    catalog = house.exchange.catalog
    counted = (
        select(
            Conversion.market,
            Conversion.lot_pips,
            *exact_sum(Conversion.lots_filled),
            *exact_sum(Conversion.odd_pips),
            *exact_sum(cast(Conversion.proceeds_pips, BigInteger)),
            *exact_sum(cast(Conversion.fee_pips, BigInteger)),
        )
        .join(Invoice, Invoice.id == Conversion.invoice_id)
        .where(Conversion.store_id.in_(stores), Invoice.wallet == store.wallet)
        .group_by(Conversion.market, Conversion.lot_pips)
    )
    nets: Counter[bytes] = Counter()
    for symbol, lot_pips, *halves in session.execute(counted):
        market = market_of(catalog, symbol)
        lots, odd, proceeds, fee = (sum_of(halves[n : n + 2]) for n in (0, 2, 4, 6))
        sums.difference[market.base.address] -= lots * (lot_pips or market.lot_pips) + odd
        sums.difference[market.quote.address] -= proceeds - fee
        nets[market.quote.address] += proceeds - fee
    shown = (
        select(Store.settle, *exact_sum(cast(Invoice.net_pips, BigInteger)))
        .join(Store, Store.id == Invoice.store_id)
        .where(Invoice.store_id.in_(stores), Invoice.wallet == store.wallet)
        .group_by(Store.settle)
    )
    for settle, *halves in session.execute(shown):
        nets[settle] -= sum_of(halves)
    for token, net in nets.items():
        # Of two differences none may hide the other.
        sums.difference[token] = abs(sums.difference[token]) + abs(net)
