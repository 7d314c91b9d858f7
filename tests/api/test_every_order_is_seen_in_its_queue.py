"""The book order by order: queues, slices, checksums, what a cut snapshot and a slow reader get."""

import re
from pathlib import Path
from zlib import crc32

import msgspec
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.commands import Kind, command
from engine.types import OrderFlag, Outcome, Phase, Side
from gateway.api.v1.feed_rows import l3_snapshot
from gateway.api.v1.rows import news_text
from gateway.api.v1.written_feeds import WrittenFeeds, queue_texts
from gateway.http.outbox import MERGED_MAX, Outbox, OutboxBounds
from gateway.views.books import Book
from gateway.views.channels import Channels, Published
from gateway.views.market_data import MarketData
from gateway.views.queues import CHANGES_MAX, SHOWN, QueueDiff, Queues
from tests.api.fixtures import Served, Venue, ask, hear
from tests.api.readers import OrderReader
from tests.api.test_stream import run
from tests.api.test_views_follow_stops_icebergs_and_auctions import phase, place

ICEBERG, STOP = int(OrderFlag.ICEBERG), int(OrderFlag.STOP)
L3 = "l3:TOKEN-USD"


def shown(venue: Venue, side: Side) -> list[tuple[int, int]]:
    """Return price and lots of each order in its queue."""
    queues = venue.market_data.queues(venue.exchange.catalog.markets[0])
    return [(ticks, lots) for _, ticks, lots in queues.walk(side)]


def feeds_of(venue: Venue) -> WrittenFeeds:
    services = venue.services
    return WrittenFeeds(venue.market_data, services.candles, services.market_states)


def agree(venue: Venue) -> None:
    """Assert that the queues are those of the engine, as far as they are in sight."""
    market = venue.exchange.catalog.markets[0]
    queues = venue.market_data.queues(market)
    written, snapshot = feeds_of(venue).queues(market), l3_snapshot(market, queues)
    assert msgspec.json.decode(msgspec.json.encode(written)) == msgspec.to_builtins(snapshot)
    for side in Side:
        levels: dict[int, int] = {}
        for _, ticks, lots in queues.walk(side):
            levels[ticks] = levels.get(ticks, 0) + lots
        assert list(levels.items()) == venue.exchange.depth(market, side, 999)
    again = MarketData(venue.exchange.catalog, Channels(), venue.settlement.trade_state)
    again.load(venue.market_data.save())
    assert again.save() == venue.market_data.save()


def test_an_iceberg_shows_its_slice_and_the_next_one_stands_last() -> None:
    venue = Venue()
    place(venue, venue.maker, "sell", 12, 2_005, flags=ICEBERG, order_id=5)
    place(venue, venue.maker, "sell", 3, 2_005)
    assert shown(venue, Side.SELL) == [(2_005, 5), (2_005, 3)]
    place(venue, venue.taker, "buy", 2, 2_005)
    assert shown(venue, Side.SELL) == [(2_005, 3), (2_005, 3)], "in part it keeps its place"
    place(venue, venue.taker, "buy", 3, 2_005)
    assert shown(venue, Side.SELL) == [(2_005, 3), (2_005, 5)], "its next slice is last"
    agree(venue)


def test_an_armed_stop_is_not_seen_and_an_amended_order_keeps_its_place() -> None:
    venue = Venue()
    first = place(venue, venue.maker, "sell", 9, 2_005).order_id
    place(venue, venue.maker, "sell", 4, 2_005)
    place(venue, venue.maker, "buy", 3, 2_010, flags=STOP, order_id=2_007)
    venue.commit(command(Kind.AMEND, account=0, order_id=first, amount=2))
    assert shown(venue, Side.SELL) == [(2_005, 2), (2_005, 4)]
    assert shown(venue, Side.BUY) == []
    agree(venue)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["place", "place", "iceberg", "stop", "cancel", "amend", "auction"]),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 30),
        st.integers(1_996, 2_004),
    ),
    max_size=40,
)


class Ear:
    """Hears all that is published on one channel."""

    def __init__(self) -> None:
        self.reader, self.news = OrderReader(), list[QueueDiff]()

    def offer(self, channel: str, published: Published) -> None:
        assert isinstance(published.news, QueueDiff)
        self.news.append(published.news)
        self.reader.hear(orjson.loads(news_text(published.news)))


def move(venue: Venue, what: str, side: str, lots: int, ticks: int, known: list[int]) -> None:
    who = venue.maker if lots % 2 else venue.taker
    account = 0 if who is venue.maker else 1
    if what == "auction":
        phase(venue, Phase.AUCTION)
        place(venue, venue.maker, "buy", lots, 2_004)
        place(venue, venue.taker, "sell", lots + 3, 1_996, flags=ICEBERG, order_id=2)
        phase(venue, Phase.OPEN)
    elif what in ("cancel", "amend"):
        if known:
            kind = Kind.CANCEL if what == "cancel" else Kind.AMEND
            row = command(kind, account=account, order_id=known[lots % len(known)], amount=1)
            venue.commit(row)
    else:
        special = {"iceberg": ICEBERG, "stop": STOP}.get(what, 0)
        figure = {"iceberg": max(1, lots // 3), "stop": ticks + (1 if side == "buy" else -1)}
        placed = place(venue, who, side, lots, ticks, flags=special, order_id=figure.get(what, 0))
        if placed.outcome == Outcome.ACCEPTED:
            known.append(placed.order_id)


@settings(max_examples=60, deadline=None)
@given(moves=MOVES, joins=st.integers(0, 30))
def test_who_follows_has_each_queue_as_the_engine_has_it(
    moves: list[tuple[str, str, int, int]], joins: int
) -> None:
    venue, ear, known = Venue(), Ear(), list[int]()
    market = venue.exchange.catalog.markets[0]
    for number, one in enumerate(moves):
        if number == min(joins, len(moves) - 1):
            snapshot = l3_snapshot(market, venue.market_data.queues(market))
            fields = orjson.loads(msgspec.json.encode(snapshot))
            ear.reader.hear({"type": "snapshot", **fields})
            venue.services.channels.subscribe(L3, ear)
        move(venue, *one, known)
        agree(venue)
    if moves:
        queues = venue.market_data.queues(market)
        for side, name in ((Side.BUY, "buy"), (Side.SELL, "sell")):
            walked = [(str(order), ticks, lots) for order, ticks, lots in queues.walk(side)]
            assert ear.reader.walk(name) == walked
        priority_is_kept(venue)


def priority_is_kept(venue: Venue) -> None:
    """Assert that each queue stands in the order in which the engine would fill it."""
    market = venue.exchange.catalog.markets[0]
    for side in Side:
        book = venue.engine.state.markets[0]
        engines = [
            (order.order_id, order.price_ticks, order.lots)
            for price in book.prices(side)
            for order in book.sides[side][price].values()
        ]
        assert list(venue.market_data.queues(market).walk(side)) == engines


def test_merged_changes_are_all_there_and_too_many_begin_anew() -> None:
    market, queues, anew = Venue().exchange.catalog.markets[0], Queues(), list[str]()
    queues.is_heard = True
    outbox = Outbox(
        OutboxBounds(), lambda: 0.0, news_text, lambda: None, lambda _: None, anew.append
    )
    reader = OrderReader()
    reader.hear(
        {"type": "snapshot", **orjson.loads(msgspec.json.encode(l3_snapshot(market, queues)))}
    )
    for u in range(1, CHANGES_MAX * MERGED_MAX + 2):
        assert anew == []
        if u % 3:
            queues.add(Side.BUY, 2_000 - u % 7, u, 1 + u % 5)
        else:
            first = next(queues.walk(Side.BUY))
            queues.take(Side.BUY, first.price_ticks, first.order_id, 1)
        outbox.offer(L3, Published(queues.seal(market, u, u)))
    assert anew == [L3], "lossless up to a bound, then from the beginning"
    frames = [orjson.loads(outbox.next() or b"") for _ in range(MERGED_MAX)]
    for frame in frames:
        reader.hear(frame)
    assert [len(frame["changes"]) for frame in frames] == [CHANGES_MAX] * MERGED_MAX


def test_a_long_book_is_cut_where_its_reader_is_told() -> None:
    market, queues = Venue().exchange.catalog.markets[0], Queues()
    for number in range(1, SHOWN + 3):
        queues.add(Side.SELL, 2_000 + number // 4, number, 1)
    side = queues.shown(Side.SELL)
    assert len(side.orders) == SHOWN and side.known_to == 2_000 + SHOWN // 4 - 1
    snapshot = l3_snapshot(market, queues)
    orders, known_to = queue_texts(queues, Side.SELL)
    assert msgspec.json.decode(orders) == msgspec.to_builtins(snapshot.asks)
    assert known_to == snapshot.asks_known_to
    assert (snapshot.asks_known_to, snapshot.bids_known_to) == (side.known_to, None)
    text = ",".join(f"{n}:{2_000 + n // 4}:1" for n in range(1, 26))
    assert snapshot.checksum == crc32(text.encode())


def test_it_is_asked_and_told() -> None:
    async def story(up: Served) -> None:
        venue = up.venue
        await up.place(venue.maker.order("sell", 4, 2_000))
        async with up.stream() as stream:
            await ask(stream, op="subscribe", channel=L3)
            reader = OrderReader()
            reader.hear(await hear(stream))
            for lots in (3, 2):
                await up.place(venue.maker.order("sell", lots, 2_000))
                reader.hear(await hear(stream))
            await up.place(venue.taker.order("buy", 5, 2_000, single_shot=True))
            frame = await hear(stream)
            reader.hear(frame)
            assert [change["kind"] for change in frame["changes"]] == ["remove", "change"]
            asked = (await up.http.get("/v1/markets/TOKEN-USD/l3")).json()
            assert [tuple(order.values()) for order in asked["asks"]] == reader.walk("sell")
            assert (asked["u"], asked["checksum"]) == (frame["u"], frame["checksum"])
            assert [lots for _, _, lots in reader.walk("sell")] == [2, 2]

    run(story)


def test_a_reader_that_fell_behind_gets_a_snapshot_and_goes_on() -> None:
    """In the connection itself: a snapshot in the middle of the channel, and then its diffs."""

    async def story(up: Served) -> None:
        async with up.stream() as stream:
            await ask(stream, op="subscribe", channel=L3)
            reader = OrderReader()
            reader.hear(await hear(stream))
            (connection,) = up.app.state.lifecycle._connections
            await up.place(up.venue.maker.order("sell", 4, 2_000))
            connection._begin_anew(L3)
            await up.place(up.venue.maker.order("sell", 5, 2_000))
            frames = [await hear(stream) for _ in range(2)]
            while (
                frames[-1]["u"]
                < up.venue.market_data.queues(up.venue.exchange.catalog.markets[0]).u
            ):
                frames.append(await hear(stream))
            for frame in frames:
                reader.hear(frame)
            assert "snapshot" in [frame["type"] for frame in frames]
            assert [lots for _, _, lots in reader.walk("sell")] == [4, 5]

    run(story)


def test_the_worked_example_of_the_protocol_is_right() -> None:
    text = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text()
    examples = re.findall(r"^    (book|l3) +(\S+) -> (\d+)$", text, re.MULTILINE)
    assert [kind for kind, _, _ in examples] == ["book", "l3"]
    for _, words, checksum in examples:
        assert crc32(words.encode()) == int(checksum)
    book, queues = Book(), Queues()
    for word in examples[1][1].split(","):
        order_id, ticks, lots = map(int, word.split(":"))
        side = Side.SELL if ticks > 2_007 else Side.BUY
        book.add(side, ticks, lots)
        queues.add(side, ticks, order_id, lots)
    assert [book.checksum(), queues.checksum()] == [int(checksum) for *_, checksum in examples]
