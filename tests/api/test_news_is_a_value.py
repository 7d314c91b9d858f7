"""What is published is a value: it stays as it was, and each dialect writes it once for all."""

import asyncio
import json
from collections.abc import Callable

import pytest

from engine.types import Side
from gateway.api.v1 import rows
from gateway.http.outbox import Outbox, OutboxBounds
from gateway.views.books import Book
from gateway.views.channels import Channels, News, Published
from gateway.views.market_data import TradeUndone
from gateway.views.user_orders import OrderNews, orders_channel
from settlement.orders.catalog import Market
from tests.api.fixtures import Venue, served


class Ear:
    """Hears one channel, as a connection does, and writes nothing down."""

    def __init__(self) -> None:
        self.heard: list[Published] = []

    def offer(self, _channel: str, published: Published) -> None:
        self.heard.append(published)


def test_each_dialect_writes_a_value_once_whoever_many_listen() -> None:
    channels, ears, written = Channels(), [Ear() for _ in range(3)], list[str]()

    def native(news: News) -> bytes:
        written.append("native")
        return rows.news_text(news)

    def other(news: News) -> bytes:
        written.append("other")
        return type(news).__name__.encode()

    for ear in ears:
        channels.subscribe("trades:TOKEN-USD", ear)
    market = Venue().exchange.catalog.markets[0]
    channels.publish("trades:TOKEN-USD", TradeUndone(market, 7, 1))
    texts = {each.written(native) for ear in ears for each in ear.heard}
    assert [json.loads(text)["trade_id"] for text in texts] == [1]
    assert {each.written(other) for ear in ears for each in ear.heard} == {b"TradeUndone"}
    assert written == ["native", "other"]


def test_what_was_published_stays_as_it_was_while_the_order_goes_on() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            maker, ear = up.venue.maker, Ear()
            up.venue.services.channels.subscribe(orders_channel(maker.address), ear)
            await up.place(maker.order("sell", 10, 2_000))
            await up.place(up.venue.taker.order("buy", 4, 2_000, single_shot=True))
            news = [each.news for each in ear.heard if isinstance(each.news, OrderNews)]
            assert [(each.kind, each.order.lots_open) for each in news] == [
                ("accepted", 10),
                ("rested", 10),
            ]

    asyncio.run(story())


def test_all_that_is_published_has_its_native_form() -> None:
    def leaves(kind: type[News]) -> set[type[News]]:
        found = [leaves(each) for each in kind.__subclasses__()]
        return set().union(*found) if found else {kind}

    views = {kind for kind in leaves(News) if not kind.__module__.startswith("gateway.api.binance")}
    assert views == set(rows._ROWS)


def outbox_of(conflated: Callable[[], None] = lambda: None) -> Outbox:
    return Outbox(
        OutboxBounds(), lambda: 0.0, rows.news_text, conflated, lambda _: None, lambda _: None
    )


def test_what_cannot_be_merged_says_so() -> None:
    news = TradeUndone(Venue().exchange.catalog.markets[0], 7, 1)
    assert not news.is_mergeable
    with pytest.raises(NotImplementedError, match="TradeUndone"):
        news.merged(news)


def test_diffs_that_wait_are_one_and_others_are_all_there() -> None:
    market, book, merged = Venue().exchange.catalog.markets[0], Book(), list[bool]()
    outbox = outbox_of(lambda: merged.append(True))
    for u in (1, 2, 3):
        book.add(Side.BUY, 2_000 + u, u)
        diff = book.seal(market, u, u)
        assert diff is not None
        outbox.offer("book:TOKEN-USD", Published(diff))
        outbox.offer("trades:TOKEN-USD", Published(TradeUndone(market, u, u)))
    first, *others = [json.loads(outbox.next() or "") for _ in range(4)]
    assert (first["prev"], first["u"], first["checksum"]) == (0, 3, book.checksum())
    bids = first["bids"]
    assert isinstance(bids, list)
    assert {(bid["price_ticks"], bid["lots"]) for bid in bids} == {
        (2_001, 1),
        (2_002, 2),
        (2_003, 3),
    }
    assert [each["trade_id"] for each in others] == [1, 2, 3]
    assert len(merged) == 2


def test_found_what_left_a_book_by_new_terms_was_told_to_slow_readers_in_new_prices() -> None:
    market, book = Venue().exchange.catalog.markets[0], Book()
    coarser = market._replace(tick_pips=2 * market.tick_pips)
    outbox = outbox_of()
    for u, (lots, terms) in enumerate([(5, market), (-5, market), (3, coarser)], 1):
        book.add(Side.BUY, 2_000, lots)
        diff = book.seal(terms, u, u)
        assert diff is not None
        outbox.offer("book:TOKEN-USD", Published(diff))
    frames = [json.loads(outbox.next() or "") for _ in range(2)]
    assert (frames[0]["u"], frames[1]["prev"]) == (2, 2)
    told = [[(bid["price"], bid["lots"]) for bid in frame["bids"]] for frame in frames]
    assert told == [[("2.000", 0)], [("4.000", 3)]]


def test_found_diffs_of_old_terms_followed_a_snapshot_of_new_ones() -> None:
    """A reader that came back found a gap behind the snapshot it had asked for."""
    market, book = Venue().exchange.catalog.markets[0], Book()
    coarser = market._replace(tick_pips=2 * market.tick_pips)
    outbox = outbox_of()

    def change(lots: int, terms: Market, u: int) -> None:
        book.add(Side.BUY, 2_000, lots)
        diff = book.seal(terms, u, u)
        assert diff is not None
        outbox.offer("book:TOKEN-USD", Published(diff))

    outbox.owe("book:TOKEN-USD", lambda: rows.message({"type": "snapshot", "u": book.u}))
    for u, (lots, terms) in enumerate([(5, market), (-5, market), (3, coarser)], 1):
        change(lots, terms, u)
    assert json.loads(outbox.next() or "") == {"type": "snapshot", "u": 3}
    assert outbox.next() is None, "the snapshot has all that waited behind it"
    change(1, coarser, 4)
    assert json.loads(outbox.next() or "")["prev"] == 3
