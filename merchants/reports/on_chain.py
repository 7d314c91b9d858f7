"""Do the columns of a shop's settlement report come to what the chain has changed, to the unit?

The report is made of rows that were written as trades were told of. The chain knows nothing of
them: it has batches, whose calldata anybody may read. What a shop's session keys sold there is
summed by batch and market, and so are the rows; both have to be the same, and then each token's
sums are.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from merchants.records.amounts import exact_sum, sum_of
from merchants.records.database import reading
from merchants.records.grants import Grant
from merchants.records.tables import Conversion, Fill, Order, Store
from settlement.audit.sales import SellerKey, SoldInBatch, SoldOnChain
from settlement.protocol.evidence import SignedOrder, decode

ReadChain = Callable[[Collection[SellerKey]], SoldOnChain]
"""Says what some keys sold; see ``settlement.audit.sales.sold_on_chain``."""

Place = tuple[int, bytes, bytes]
"""(batch, base, quote)."""


class Apart(NamedTuple):
    """A batch and market where report and chain part: sold, proceeds and fee of each in pips."""

    place: Place
    report: tuple[int, int, int]
    chain: tuple[int, int, int]


class Compared(NamedTuple):
    """``deltas`` are what the chain has changed by token at ``block``, ``reported`` what the
    report's columns sum to; they are the same where nothing is ``apart``."""

    block: int
    batches: int
    deltas: dict[bytes, int]
    reported: dict[bytes, int]
    apart: list[Apart]


def against_chain(database: Engine, store_id: str, read_chain: ReadChain) -> Compared | None:
    """Hold all that is final in a store's settlement report against the chain; None if there is no
    such store.

    A batch that is final here and not yet in the chain's answer, or the other way, is apart: ask
    when nothing is on its way, or again.
    """
    with reading(database) as session:
        if session.get(Store, store_id) is None:
            return None
        sellers = session.execute(
            select(Grant.wallet, Grant.key_address).where(Grant.store_id == store_id).distinct()
        )
        keys = {(wallet, key) for wallet, key in sellers}
        report = _report(session, store_id)
    found = read_chain(keys)
    chain = {(one.batch, one.base, one.quote): _figures(one) for one in found.batches}
    nothing = (0, 0, 0)
    apart = [
        Apart(place, report.get(place, nothing), chain.get(place, nothing))
        for place in sorted({*report, *chain})
        if report.get(place, nothing) != chain.get(place, nothing)
    ]
    return Compared(found.block, len(chain), _deltas(chain), _deltas(report), apart)


def _figures(one: SoldInBatch) -> tuple[int, int, int]:
    return one.sold_pips, one.proceeds_pips, one.fee_pips


def _deltas(figures: dict[Place, tuple[int, int, int]]) -> dict[bytes, int]:
    deltas: Counter[bytes] = Counter()
    for (_, base, quote), (sold, proceeds, fee) in figures.items():
        deltas[base] -= sold
        deltas[quote] += proceeds - fee
    return dict(deltas)


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
    order = decode(body)
    assert isinstance(order, SignedOrder), "only orders are stored there"
    return order.base, order.quote
