"""Books, trades, orders and fills are the same after a replay, however history is cut."""

import asyncio
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.log_entries import Committed
from engine.types import Side
from gateway.api.v1.orders import PlaceOrder, checked_order
from gateway.api.v1.rows import book_row
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.user_orders import UserStream
from settlement.orders.catalog import Catalog
from settlement.protocol.signers import recovered_order
from tests.api.fixtures import DOMAIN, Venue
from tests.asked import BY_TEST

ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["maker", "taker"]),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 50),
        st.integers(1_995, 2_005),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)


def place(venue: Venue, body: dict[str, Any]) -> int:
    order = recovered_order(DOMAIN, checked_order(msgspec.convert(body, PlaceOrder)))
    result = asyncio.run(venue.exchange.place(order))
    assert result.accepted, result
    return result.order_id


def joined(batches: list[Committed]) -> Committed:
    """Return consecutive batches as one."""
    return Committed(
        batches[0].first_sequence,
        np.concatenate([batch.commands for batch in batches]),
        [a for batch in batches for a in batch.attachments],
        np.concatenate([batch.events for batch in batches]),
        [h for batch in batches for h in batch.heads],
    )


@settings(max_examples=25, deadline=None)
@given(orders=ORDERS, cuts=st.sets(st.integers(1, 40)), cancels=st.sets(st.integers(0, 24)))
def test_views_do_not_depend_on_how_history_is_cut(
    orders: list[tuple[str, str, int, int, bool]], cuts: set[int], cancels: set[int]
) -> None:
    venue = Venue()
    for n, (who, side, lots, ticks, single_shot) in enumerate(orders):
        wallet = venue.maker if who == "maker" else venue.taker
        order_id = place(venue, wallet.order(side, lots, ticks, single_shot=single_shot))
        if n in cancels:
            asyncio.run(venue.exchange.cancel(wallet.address, order_id, BY_TEST))

    history, catalog = venue.history, Catalog()
    state = venue.settlement.trade_state
    data = MarketData(catalog, Channels(), state)
    users = UserStream(catalog, Channels(), venue.exchange.balance, state)
    edges = [0, *sorted(cut for cut in cuts if cut < len(history)), len(history)]
    for start, end in pairwise(edges):
        for segment in catalog.read(joined(history[start:end])):
            for consumer in (data, users):
                consumer.consume(segment)

    market = catalog.markets[0]
    for view in (data, venue.market_data):
        assert view.levels(market, Side.BUY, 99) == venue.exchange.depth(market, Side.BUY, 99)
        assert view.levels(market, Side.SELL, 99) == venue.exchange.depth(market, Side.SELL, 99)
    known = venue.market_data
    assert book_row(market, data.book(market), 50) == book_row(market, known.book(market), 50)
    assert data.tape(market).newest(50) == known.tape(market).newest(50)
    assert data.ticker(market, venue.clock.ns) == known.ticker(market, venue.clock.ns)
    engine = venue.engine
    resting = 0
    for wallet in (venue.maker, venue.taker):
        mine = users.open_orders(wallet.address)
        assert mine == venue.user_stream.open_orders(wallet.address)
        assert users.fills(wallet.address, 99) == venue.user_stream.fills(wallet.address, 99)
        resting += sum(order.lots_open for order in mine)
    assert resting == sum(order.lots for order in engine.state.orders.values()), "open lots agree"
