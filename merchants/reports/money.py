"""What did a shop's wallet take out, and is all of its money accounted for?"""

from collections import Counter
from typing import Final

from sqlalchemy import BigInteger, case, cast, select
from sqlalchemy.orm import Session

from merchants.records.amounts import decimal_of_pips, exact_sum, hex_of, sum_of
from merchants.records.movements import Movement, MovementKind
from merchants.records.states import ON_CHAIN
from merchants.records.tables import Conversion, Credit, Fill, Invoice, Store
from merchants.records.terms import market_of
from merchants.reports.page import Asked, House, Page
from merchants.reports.rows import PayoutRow, ReconciliationRow
from merchants.reports.settled import SOLD, sums_in
from merchants.reports.written import moment, signed_decimal

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
    sums = _Sums()
    _add_movements(session, store, sums)
    _add_sales(session, house, store, sums)
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
            )
        )
    return Page(rows, "")


def _add_movements(session: Session, store: Store, sums: _Sums) -> None:
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
        .where(Credit.store_id.in_(stores), Invoice.wallet == store.wallet)
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
        .where(Movement.wallet == store.wallet)
        .group_by(Movement.token, Movement.kind)
    )
    for token, kind, *halves in session.execute(moved):
        into = sums.deposited if kind is MovementKind.DEPOSIT else sums.withdrawn
        into[token] += sum_of(halves[:2]) - sum_of(halves[2:])


def _add_sales(session: Session, house: House, store: Store, sums: _Sums) -> None:
    """Count what trades turned over, and hold it against what conversions and invoices count."""
    stores = select(Store.id).where(Store.wallet == store.wallet)
    catalog = house.exchange.catalog
    traded = (
        select(Conversion.market, *SOLD)
        .join(Conversion, Conversion.id == Fill.conversion_id)
        .join(Invoice, Invoice.id == Conversion.invoice_id)
        .where(Fill.store_id.in_(stores), Invoice.wallet == store.wallet)
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
