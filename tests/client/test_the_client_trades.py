"""The client package against a served exchange: ten lines to an order, and what can go wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from tillbook_client import (
    AsyncClient,
    AsyncStream,
    Client,
    GapError,
    InvalidAmountError,
    LocalBook,
    Placed,
    RejectedError,
    UnknownMarketError,
    UnknownOutcomeError,
    Wallet,
    Wish,
    WrongExchangeError,
)
from tillbook_client.signing import ORDER_TYPE as CLIENTS_ORDER_TYPE

from settlement.protocol import eip712
from tests.api import fixtures
from tests.api.fixtures import Served, Venue, served

MAKER, TAKER = (Wallet(number.to_bytes(32, "big")) for number in (1, 2))


def run(story: Callable[[Served], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with served(Venue()) as up:
            await story(up)

    asyncio.run(whole())


def client_of(up: Served, wallet: Wallet | None, ahead_ns: int = 0, **options: Any) -> AsyncClient:
    url, clock = f"http://127.0.0.1:{up.port}", up.venue.clock
    return AsyncClient(url, wallet, now_ns=lambda: clock.ns + ahead_ns, **options)


def test_the_types_that_it_signs_are_the_exchanges() -> None:
    assert CLIENTS_ORDER_TYPE == eip712.ORDER_TYPE
    assert MAKER.address == "0x" + fixtures.Wallet(1).address.hex()


def test_both_sides_of_a_trade_with_the_client_alone() -> None:
    async def story(up: Served) -> None:
        async with client_of(up, MAKER) as maker, client_of(up, TAKER) as taker:
            resting = await maker.sell("TOKEN-USD", "5", "2.000", client_id="ask-1")
            assert resting.resting_lots == 50_000 and resting.ended is None
            taken = await taker.buy("TOKEN-USD", "2", "2.1", time_in_force="IOC")
            assert [(fill.price, fill.quantity) for fill in taken.fills or ()] == [
                ("2.000", "2.0000")
            ]
            assert taken.ended == "FILLED"
            (left,) = await maker.open_orders()
            assert (left.open, left.client_id) == ("3.0000", "ask-1")
            assert (await maker.order_of("ask-1")).order_id == left.order_id
            (fill,) = await maker.fills()
            assert (fill.role, fill.settlement.state) == ("maker", "matched")
            assert (await maker.balances())["TOKEN"].held == "3.00000000"
            await maker.cancel(left.order_id)
            assert await maker.open_orders() == []
            assert (await maker.order(left.order_id)).ended == "CANCELLED_BY_OWNER"
            with pytest.raises(RejectedError) as caught:
                await maker.cancel(left.order_id)
            assert (caught.value.outcome, caught.value.retryable) == ("NOT_RESTING", False)

    run(story)


def test_the_one_that_waits_does_the_same() -> None:
    async def story(up: Served) -> None:
        def trade() -> None:
            url, now_ns = f"http://127.0.0.1:{up.port}", up.venue.clock.now_ns
            with Client(url, MAKER, now_ns=now_ns) as maker:
                orders = [maker.sell("TOKEN-USD", "1", f"2.{cents}") for cents in (10, 20)]
                assert [level.price for level in maker.book("TOKEN-USD").asks] == ["2.100", "2.200"]
                for order in orders:
                    maker.cancel(order.order_id)
                assert maker.open_orders() == []
                assert maker.document("/v1/markets/TOKEN-USD/trades", limit=1)["trades"] == []

        await asyncio.to_thread(trade)

    run(story)


def test_a_single_shot_goes_on_where_another_program_has_counted_on() -> None:
    async def story(up: Served) -> None:
        async with client_of(up, TAKER) as one, client_of(up, TAKER) as other:
            for client in (one, other, one, one, other, other):
                placed = await client.buy("TOKEN-USD", "1", "1", time_in_force="IOC")
                assert placed.ended == "IMMEDIATE_REMAINDER"

    run(story)


def test_a_lane_that_is_busy_is_passed_over() -> None:
    async def story(up: Served) -> None:
        # Both begin at the same half, for their clocks are in the same microsecond.
        async with client_of(up, MAKER) as one, client_of(up, MAKER, 1) as other:
            for client in (one, other, other, one):
                assert (await client.sell("TOKEN-USD", "1", "9")).resting_lots == 10_000
            assert len(await one.open_orders()) == 4

    run(story)


@pytest.mark.parametrize(
    ("quantity", "price"),
    [
        ("1,5", "2"),
        ("1.00001", "2"),
        ("0", "2"),
        ("1", "2.0001"),
        ("1", "0"),
        ("1", "nan"),
        ("-1", "2"),
        ("1e3", "2"),
        (0.1, "2"),
        (True, "2"),
        ("1", Decimal("1E+15")),
    ],
)
def test_what_is_no_amount_is_never_sent(quantity: Any, price: Any) -> None:
    async def story(up: Served) -> None:
        async with client_of(up, MAKER) as maker:
            with pytest.raises(InvalidAmountError):
                await maker.sell("TOKEN-USD", quantity, price)
            assert await maker.open_orders() == []

    run(story)


def test_rounding_is_had_when_asked_for() -> None:
    async def story(up: Served) -> None:
        async with client_of(up, None) as reader:
            market = await reader.market("TOKEN-USD")
            assert market.down("1.23456789") == "1.2345"
            assert market.price_down(Decimal("2.0019")) == "2.001"
            with pytest.raises(UnknownMarketError):
                await reader.market("NO-SUCH")

    run(story)


class Losing(httpx.AsyncBaseTransport):
    """A network that loses the first ``lost`` answers to orders, after they were carried out."""

    def __init__(self, lost: int) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._lost = lost

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if request.url.path == "/v1/orders" and request.method == "POST" and self._lost:
            self._lost -= 1
            await response.aread()
            raise httpx.ReadError("the answer was lost")
        return response


def test_a_lost_answer_places_nothing_twice() -> None:
    async def story(up: Served) -> None:
        async with client_of(up, MAKER, transport=Losing(2)) as maker:
            placed = await maker.sell("TOKEN-USD", "1", "2")
            (order,) = await maker.open_orders()
            assert order.order_id == placed.order_id
        async with client_of(up, MAKER, 5_000, transport=Losing(4)) as maker:
            order = await maker.sign(Wish("TOKEN-USD", "sell", "1", "2"))
            with pytest.raises(UnknownOutcomeError):
                await maker.send(order)
            assert len(await maker.open_orders()) == 2, "it may have been taken, and was"
            sent = await maker.send(order)
            assert len(await maker.open_orders()) == 2
            assert (await maker.order(sent.order_id)).digest == sent.digest

    run(story)


def test_an_exchange_of_another_version_is_not_signed_for() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"types": {"Order": "Order(address account)"}})

    with (
        Client("http://exchange", MAKER, transport=httpx.MockTransport(answer)) as client,
        pytest.raises(WrongExchangeError),
    ):
        client.buy("TOKEN-USD", "1", "1")


def test_the_stream_tells_orders_and_a_book_that_adds_up() -> None:
    async def story(up: Served) -> None:
        url = f"http://127.0.0.1:{up.port}"
        async with (
            client_of(up, MAKER) as maker,
            AsyncStream.connected(url, await maker.session()) as stream,
        ):
            await stream.subscribe(["orders", "book:TOKEN-USD"])
            wish = Wish("TOKEN-USD", "sell", "1", "2")
            placed = await maker.place(wish)
            book, told = LocalBook(), []
            async with asyncio.timeout(5):
                async for frame in stream:
                    if frame["channel"] == "orders":
                        told.append(frame)
                    else:
                        book.apply(frame)
                    if len(told) == 2 and book.asks:
                        break
            assert [frame["type"] for frame in told] == ["snapshot", "accepted"]
            assert told[1]["order"]["order_id"] == placed.order_id
            assert book.best() == (None, 2_000)
            with pytest.raises(RejectedError):
                await stream.request("subscribe", channel="book:NO-SUCH")

    run(story)


def test_many_orders_amended_replaced_and_cancelled_together() -> None:
    async def story(up: Served) -> None:
        async with client_of(up, MAKER) as maker:
            wishes = [Wish("TOKEN-USD", "sell", "1", f"3.{cents}") for cents in (10, 20, 30)]
            wishes.append(Wish("TOKEN-USD", "sell", "9999999999", "3"))
            *placed, refused = await maker.place_many(wishes)
            assert isinstance(refused, RejectedError)
            first, second, third = [one for one in placed if isinstance(one, Placed)]
            await maker.amend(first.order_id, "0.5")
            assert (await maker.order(first.order_id)).open == "0.5000"
            with pytest.raises(RejectedError) as caught:
                await maker.amend(first.order_id, "0.6")
            assert caught.value.outcome == "AMEND_NOT_SMALLER"
            wish = Wish("TOKEN-USD", "sell", "2", "4", client_id="instead")
            replaced = await maker.replace(second.order_id, wish)
            assert (await maker.order(second.order_id)).ended == "CANCELLED_BY_OWNER"
            with pytest.raises(RejectedError) as caught:
                await maker.replace(second.order_id, Wish("TOKEN-USD", "sell", "2", "5"))
            assert caught.value.outcome == "NOT_RESTING"
            await maker.cancel_named("instead")
            assert (await maker.order(replaced.order_id)).ended == "CANCELLED_BY_OWNER"
            await maker.cancel_after(60)
            assert len(await maker.open_orders()) == 2
            assert await maker.cancel_all("TOKEN-USD") == 2
            await maker.cancel_after(0)
            assert await maker.cancel_all() == 0
            assert (await maker.order(third.order_id)).ended == "CANCELLED_BY_OWNER"

    run(story)


@pytest.mark.parametrize(
    ("terms", "ended"),
    [
        ({"time_in_force": "FOK"}, "NOT_FILLABLE_WHOLE"),
        ({"time_in_force": "IOC"}, "IMMEDIATE_REMAINDER"),
        ({"post_only": True, "reprice": True}, None),
        ({"display": "0.1"}, None),
        ({"self_trade": "decrement"}, None),
    ],
)
def test_the_terms_of_an_order_are_signed(terms: dict[str, Any], ended: str | None) -> None:
    async def story(up: Served) -> None:
        async with client_of(up, MAKER) as maker, client_of(up, TAKER) as taker:
            await maker.sell("TOKEN-USD", "1", "3")
            assert (await taker.buy("TOKEN-USD", "2", "3", **terms)).ended == ended

    run(story)


def test_a_stop_waits_until_it_is_triggered() -> None:
    async def story(up: Served) -> None:
        async with client_of(up, MAKER) as maker, client_of(up, TAKER) as taker:
            await maker.sell("TOKEN-USD", "1", "3")
            await taker.buy("TOKEN-USD", "0.1", "3", time_in_force="IOC")
            stop = await taker.buy("TOKEN-USD", "0.2", "5", stop="4", time_in_force="IOC")
            assert stop.ended is None
            await maker.sell("TOKEN-USD", "1", "4")
            await taker.buy("TOKEN-USD", "1", "4", time_in_force="IOC")
            assert (await taker.order(stop.order_id)).ended == "FILLED"

    run(story)


def test_a_missing_or_a_wrong_diff_is_noticed() -> None:
    book = LocalBook()
    diff = {"type": "diff", "prev": 1, "u": 2, "checksum": 0, "bids": [], "asks": []}
    with pytest.raises(GapError):
        book.apply(diff)
    with pytest.raises(GapError):
        book.apply({**diff, "prev": 0, "checksum": 1})
