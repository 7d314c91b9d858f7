"""An order that loses lots without a trade: do the public book and its owner's view follow?"""

import asyncio
from typing import Any

import msgspec

from engine.commands import Kind, command
from engine.types import OrderFlag, Side
from gateway.api.v1.orders import PlaceOrder, checked_order
from settlement.protocol.evidence import decode
from settlement.protocol.signers import recovered_order
from tests.api.fixtures import DOMAIN, Served, Venue, ask, hear, served

DECREMENT = int(OrderFlag.SELF_DECREMENT)


def house_with_a_sell() -> tuple[Venue, int]:
    """Return a venue where ``maker`` sells 10 lots at 2,005, and that order's id."""
    venue = Venue()
    body = msgspec.convert(venue.maker.order("sell", 10, 2_005), PlaceOrder)
    order = recovered_order(DOMAIN, checked_order(body))
    return venue, asyncio.run(venue.exchange.place(order)).order_id


def open_lots(venue: Venue) -> list[int]:
    return [order.lots_open for order in venue.user_stream.open_orders(venue.maker.address)]


def agree(venue: Venue, side: Side, levels: list[tuple[int, int]]) -> None:
    market = venue.exchange.catalog.markets[0]
    assert venue.market_data.levels(market, side, 9) == levels
    assert venue.exchange.depth(market, side, 9) == levels


def buy_from_oneself(venue: Venue, lots: int) -> None:
    """Place a decrementing buy of the same account, with any signed order as its evidence."""
    sell = venue.history[-1]
    row = sell.commands[0].copy()
    row["side"], row["flags"], row["amount"] = Side.BUY, DECREMENT, lots
    venue.commit(row, decode(sell.attachments[0]))


def test_an_amended_order_shrinks_in_both_views() -> None:
    venue, order_id = house_with_a_sell()

    venue.commit(command(Kind.AMEND, account=0, order_id=order_id, amount=3))

    assert open_lots(venue) == [3]
    agree(venue, Side.SELL, [(2_005, 3)])


def test_a_decremented_resting_order_shrinks_and_the_incoming_one_is_gone() -> None:
    venue, _ = house_with_a_sell()

    buy_from_oneself(venue, 4)

    assert open_lots(venue) == [6]
    agree(venue, Side.SELL, [(2_005, 6)])


def test_a_decremented_incoming_order_takes_nothing_out_of_the_book() -> None:
    venue, _ = house_with_a_sell()

    buy_from_oneself(venue, 15)

    assert open_lots(venue) == [5]
    agree(venue, Side.SELL, [])
    agree(venue, Side.BUY, [(2_005, 5)])


def test_the_owner_hears_what_was_removed_and_everybody_the_new_level() -> None:
    async def story(up: Served) -> None:
        venue = up.venue
        placed = await up.place(venue.maker.order("sell", 10, 2_005))
        order_id = int(placed.json()["order_id"])
        async with up.stream() as stream:
            await ask(stream, op="login", token=await up.token(venue.maker))
            await ask(stream, op="subscribe", channel="orders")
            venue.commit(command(Kind.AMEND, account=0, order_id=order_id, amount=3))
            frame = await until(stream, "amended")
        assert (frame["removed_lots"], frame["order"]["lots_open"]) == (7, 3)
        assert frame["reason"] == "ACCEPTED"

    asyncio.run(whole(story))


async def whole(story: Any) -> None:
    async with served(Venue()) as up:
        await story(up)


async def until(stream: Any, kind: str) -> dict[str, Any]:
    """Return the next frame of a type."""
    while True:
        frame = await hear(stream)
        if frame.get("type") == kind:
            return frame
