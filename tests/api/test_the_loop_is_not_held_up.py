"""What anybody may ask for costs little: states from memory, rows written once, books in turn."""

import asyncio
import threading
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.json import decode

from engine.types import Side
from gateway.api.v1.rows import (
    fill_row,
    level_rows,
    message,
    news_text,
    order_rows,
    trade_row,
    trade_rows,
)
from gateway.api.v1.written import BLOCKS_MAX, TapeTexts, WrittenViews, level_texts
from gateway.http.outbox import Outbox, OutboxBounds
from gateway.views.books import Book
from gateway.views.channels import Published
from gateway.views.market_data import BUSTED, MATCHED
from gateway.views.tape import TRADES_MAX, Tape, Trade
from gateway.views.trade_states import BatchView, TradeStates
from settlement.ports import TradeState
from tests.api.fixtures import Venue, served

SNAPSHOT = "x" * 150_000
STATES = ("batched", "submitted", "mined", "final")


def no_older(_: int) -> None:
    raise AssertionError("all batches are in memory")


@given(
    sizes=st.lists(st.integers(0, 4), max_size=12),
    news=st.lists(st.tuples(st.integers(0, 11), st.sampled_from([*STATES, "matched"]))),
)
def test_memory_answers_like_a_search_through_all_batches(
    sizes: list[int], news: list[tuple[int, str]]
) -> None:
    views, trade = [], 1
    for number, size in enumerate(sizes, 1):
        views.append(BatchView(number, "batched", trade, trade + size - 1, None))
        trade += size
    states, standing = TradeStates(no_older), list(views)
    states.load(reversed(views))
    for at, state in news:
        if at < len(standing):
            view = standing[at]._replace(state=state, tx_hash=bytes([at] * 32))
            standing = (
                standing[:at]
                if state == "matched"
                else [view if each.batch == view.batch else each for each in standing]
            )
            states.changed(view)
    for trade_id in range(1, trade + 3):
        found = [v for v in standing if v.first_trade <= trade_id <= v.last_trade]
        wanted = [TradeState(v.state, v.batch, v.tx_hash) for v in found] or [TradeState("matched")]
        assert [states.of(trade_id)] == wanted
    assert states.newest(5) == standing[::-1][:5]


def test_a_batch_that_was_given_up_is_sealed_anew_with_other_trades() -> None:
    states = TradeStates(no_older)
    for number in (1, 2, 3):
        states.changed(BatchView(number, "batched", number * 10, number * 10 + 9, None))
    for number in (2, 3):
        states.changed(BatchView(number, "matched", number * 10, number * 10 + 9, None))
    states.changed(BatchView(2, "batched", 20, 24, None))
    assert states.of(19) == TradeState("batched", 1)
    assert states.of(24) == TradeState("batched", 2)
    assert states.of(25) == states.of(35) == TradeState("matched")


@settings(max_examples=300)
@given(
    kept_max=st.integers(4, 9),
    news=st.lists(st.tuples(st.integers(0, 20), st.sampled_from([*STATES, "new", "new", "lost"]))),
    newest_first=st.booleans(),
)
@example(kept_max=8, news=[(6, "lost"), (1, "final")], newest_first=False)
def test_found_memory_was_wrong_when_all_of_it_had_been_given_up(
    kept_max: int, news: list[tuple[int, str]], *, newest_first: bool
) -> None:
    """Of 65,536 batches three quarters stay when it is full; given up they may be all of them, and
    the next news of an older batch stood in their place."""
    standing: list[BatchView] = []

    def older(trade_id: int) -> BatchView | None:
        return next((v for v in standing if v.first_trade <= trade_id <= v.last_trade), None)

    states = TradeStates(older, kept_max)
    for back, state in [(0, "new")] * (kept_max + 1) + news:
        if state == "new":
            first = standing[-1].last_trade + 1 if standing else 1
            number = len(standing) + 1
            standing.append(BatchView(number, "batched", first, first + 2, None))
            states.changed(standing[-1])
        elif state == "lost":
            gone = standing[-1 - back :] if back < len(standing) else []
            del standing[len(standing) - len(gone) :]
            for view in reversed(gone) if newest_first else gone:
                states.changed(view._replace(state="matched"))
        elif back < len(standing):
            standing[-1 - back] = standing[-1 - back]._replace(state=state)
            states.changed(standing[-1 - back])
        for trade_id in range(1, 3 * len(standing) + 5):
            found = older(trade_id)
            wanted = TradeState(found.state, found.batch) if found else TradeState("matched")
            assert states.of(trade_id) == wanted


def test_of_old_batches_the_outbox_is_asked_once_a_batch() -> None:
    asked = []

    def older(trade_id: int) -> BatchView:
        asked.append(trade_id)
        first = trade_id // 10 * 10
        return BatchView(first // 10, "final", first, first + 9, None)

    states = TradeStates(older, kept_max=8)
    for number in range(1, 31):
        states.changed(BatchView(number, "final", number * 10, number * 10 + 9, None))
    assert [states.of(trade).batch for trade in range(50, 70)] == [5] * 10 + [6] * 10
    assert asked == [50, 60]
    assert states.of(305) == TradeState("final", 30) and len(asked) == 2


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.integers(1, 9)), max_size=60))
def test_levels_written_once_are_what_the_book_says_now(
    changes: list[tuple[bool, int, int]],
) -> None:
    venue = Venue()
    market, book, here = venue.exchange.catalog.markets[0], Book(), dict[tuple[Side, int], int]()
    for is_buy, ticks, more in changes:
        side = Side.BUY if is_buy else Side.SELL
        lots = -here[side, ticks] if here.get((side, ticks), 0) > 4 else more
        here[side, ticks] = here.get((side, ticks), 0) + lots
        book.add(side, ticks, lots)
        written = decode(level_texts(market, book, side, 20))
        assert written == to_builtins(level_rows(market, book.levels(side, 20)))


def test_trades_written_once_are_what_the_tape_says_now() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            venue = up.venue
            market = venue.exchange.catalog.markets[0]
            for step in range(4):
                await up.place(venue.maker.order("sell", 1, 2_000))
                await up.place(venue.taker.order("buy", 1, 2_000, single_shot=True))
                venue.settlement.move(1, 1, STATES[step], 1, bytes([step] * 32))
                answer = await up.http.get("/v1/markets/TOKEN-USD/trades?limit=3")
                rows = trade_rows(venue.market_data, market, 3)
                assert answer.json()["trades"] == to_builtins(rows)

    asyncio.run(story())


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    news=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 11), st.sampled_from(STATES)), max_size=12
    ),
    limit=st.integers(1, 200),
)
def test_blocks_of_trades_are_what_the_tape_says_whatever_happens_to_their_batches(
    sizes: list[int], news: list[tuple[int, int, str]], limit: int
) -> None:
    market, tape, states = Venue().exchange.catalog.markets[0], Tape(), TradeStates(no_older)
    first, standing, texts = 1, list[BatchView](), TapeTexts()

    def trade(count: int) -> None:
        for _ in range(count):
            number = tape.trades[-1].trade_id + 1 if tape.trades else 1
            tape.add(Trade(number, 2_000, 1, Side.BUY, number), 5)

    def agree() -> None:
        newest = list(tape.trades)[-limit:][::-1]
        wanted = [
            trade_row(market, each, BUSTED if each.is_busted else states.of(each.trade_id))
            for each in newest
        ]
        assert decode(texts.rows(market, tape, limit, states.of)) == to_builtins(wanted)

    trade(sum(sizes) + 20)
    for number, size in enumerate(sizes, 1):
        standing.append(BatchView(number, "batched", first, first + size - 1, None))
        states.changed(standing[-1])
        first += size
    agree()
    for kind, at, state in news:
        if kind == 0:
            trade(at)
        elif kind == 1:
            tape.bust(at * 7, 1, 5)
        elif kind == 2 and at < len(standing):
            standing[at] = standing[at]._replace(state=state, tx_hash=bytes([at] * 32))
            states.changed(standing[at])
        elif kind == 3 and at < len(standing):
            for view in standing[at:]:
                states.changed(view._replace(state="matched"))
            # Sealed anew under its number, with one trade of those it had.
            standing[at:] = [standing[at]._replace(last_trade=standing[at].first_trade)]
            states.changed(standing[at])
        agree()


def test_blocks_of_trades_leave_with_their_trades() -> None:
    market, tape, texts = Venue().exchange.catalog.markets[0], Tape(), TapeTexts()
    for number in range(1, 2 * TRADES_MAX):
        tape.add(Trade(number, 2_000, 1, Side.BUY, number), 5)
        if number % 97 == 0:
            written = texts.rows(market, tape, 500, lambda _: MATCHED)
            rows = decode(written)
            assert [row["trade_id"] for row in rows] == list(range(number, number - 500, -1))[
                : len(tape.trades)
            ]
            assert len(texts.blocks) <= BLOCKS_MAX


def test_own_orders_and_fills_written_once_are_what_is_kept_now() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            users, maker = up.venue.user_stream, up.venue.maker
            written = WrittenViews(up.venue.market_data, users)
            for step in range(4):
                await up.place(maker.order("sell", 3, 2_000))
                await up.place(up.venue.taker.order("buy", 2, 2_000, single_shot=True))
                up.venue.settlement.move(1, 1, STATES[step], 1, bytes([step] * 32))
                for limit in (1, 2, 500):
                    rows, following = written.open_orders(maker.account, 0, limit)
                    kept = users.open_orders(maker.account, 0, limit)
                    assert decode(rows) == to_builtins(order_rows(users, kept))
                    assert following == (kept[-1].sequence if len(kept) == limit else None)
                    rows, following = written.fills(maker.account, limit)
                    fills = users.fills(maker.account, limit)
                    shown = [fill_row(fill, users.state_of(fill)) for fill in fills]
                    assert decode(rows) == to_builtins(shown)
                    assert following == (fills[-1].trade_id if len(fills) == limit else None)

    asyncio.run(story())


def test_the_page_changes_with_all_that_it_shows() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            venue, pages = up.venue, []
            pages.append((await up.http.get("/")).text)
            assert (await up.http.get("/")).text == pages[0]
            await up.place(venue.maker.order("sell", 2, 2_000))
            pages.append((await up.http.get("/")).text)
            await up.place(venue.taker.order("buy", 1, 2_000, single_shot=True))
            pages.append((await up.http.get("/")).text)
            for state in STATES:
                venue.settlement.move(1, 1, state, 1, bytes(32))
                pages.append((await up.http.get("/")).text)
            assert len(set(pages)) == len(pages)

    asyncio.run(story())


def test_found_eight_deep_books_in_one_breath_cut_the_reader_off() -> None:
    given_up: list[bool] = []
    made: list[int] = []

    def snapshot(number: int) -> Published:
        made.append(number)
        return message({"channel": number, "levels": SNAPSHOT})

    outbox = Outbox(
        OutboxBounds(),
        lambda: 0.0,
        news_text,
        lambda: None,
        lambda _: given_up.append(True),
        lambda _: given_up.append(True),
    )
    for number in range(64):
        outbox.offer("", message({"id": number, "result": {}}))
        outbox.owe(f"book:{number}", lambda number=number: snapshot(number))
    assert made == [], "what waits takes no memory"
    heard = [outbox.next() for _ in range(128)]
    assert not given_up and made == list(range(64))
    assert all(text is not None and SNAPSHOT.encode() in text for text in heard[1::2])


def test_many_subscriptions_in_one_breath_are_all_answered_and_agree_with_what_follows() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            for ticks in range(2_000, 2_040):
                await up.place(up.venue.maker.order("sell", 1, ticks))
            async with up.stream() as stream:
                for _ in range(64):
                    await stream.send('{"op":"subscribe","channel":"book:TOKEN-USD"}')
                await up.place(up.venue.taker.order("buy", 1, 2_000, single_shot=True))
                heard: list[dict[str, Any]] = []
                while sum(frame.get("type") == "snapshot" for frame in heard) < 64:
                    heard.append(orjson.loads(await stream.recv()))
                await up.place(up.venue.taker.order("buy", 1, 2_001, single_shot=True))
                while heard[-1].get("type") != "diff":
                    heard.append(orjson.loads(await stream.recv()))
                books = [f for f in heard if f.get("type") in ("snapshot", "diff")]
                for earlier, later in pairwise(books):
                    if later["type"] == "diff":
                        assert later["prev"] == earlier["u"], "no diff is lost or told twice"

    asyncio.run(story())


def test_what_a_route_depends_on_is_asked_on_the_loop_and_starts_no_thread() -> None:
    async def story() -> None:
        before = set(threading.enumerate())
        async with served(Venue()) as up:
            owner = {"authorization": f"Bearer {await up.token(up.venue.maker)}"}
            for path in ("/", "/readyz", "/v1/config", "/v1/markets/TOKEN-USD/book", "/v1/orders"):
                answer = await up.http.get(path, headers=owner)
                assert answer.status_code == 200, answer.text
            started = {each.name for each in set(threading.enumerate()) - before}
            # The pool for plain functions; ``recover`` has its own, which the login has started.
            assert [name for name in started if "recover" not in name] == []

    asyncio.run(story())
