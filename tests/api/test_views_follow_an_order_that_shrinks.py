"""An order that loses lots without a trade: do the public book and its owner's view follow?"""

import asyncio
from typing import Any

import msgspec

from engine.commands import Kind, command
from engine.types import OrderFlag, Side
from gateway.api.v1.orders import PlaceOrder, checked_order
from gateway.trading.order_entry import recovered_order
from settlement.protocol.evidence import decode
from tests.api.rig import DOMAIN, House, Served, ask, hear, served

DECREMENT = int(OrderFlag.SELF_DECREMENT)


def house_with_a_sell() -> tuple[House, int]:
    """Return a house where ``maker`` sells 10 lots at 2,005, and that order's id."""
    house = House()
    body = msgspec.convert(house.maker.order("sell", 10, 2_005), PlaceOrder)
    order = recovered_order(DOMAIN, checked_order(body))
    return house, asyncio.run(house.exchange.place(order)).order_id


def open_lots(house: House) -> list[int]:
    return [order.lots_open for order in house.user_stream.open_orders(house.maker.address)]


def agree(house: House, side: Side, levels: list[tuple[int, int]]) -> None:
    market = house.exchange.catalog.markets[0]
    assert house.market_data.levels(market, side, 9) == levels
    assert house.exchange.depth(market, side, 9) == levels


def buy_from_oneself(house: House, lots: int) -> None:
    """Place a decrementing buy of the same account, with any signed order as its evidence."""
    sell = house.history[-1]
    row = sell.commands[0].copy()
    row["side"], row["flags"], row["amount"] = Side.BUY, DECREMENT, lots
    house.commit(row, decode(sell.attachments[0]))


def test_an_amended_order_shrinks_in_both_views() -> None:
    house, order_id = house_with_a_sell()

    house.commit(command(Kind.AMEND, account=0, order_id=order_id, amount=3))

    assert open_lots(house) == [3]
    agree(house, Side.SELL, [(2_005, 3)])


def test_a_decremented_resting_order_shrinks_and_the_incoming_one_is_gone() -> None:
    house, _ = house_with_a_sell()

    buy_from_oneself(house, 4)

    assert open_lots(house) == [6]
    agree(house, Side.SELL, [(2_005, 6)])


def test_a_decremented_incoming_order_takes_nothing_out_of_the_book() -> None:
    house, _ = house_with_a_sell()

    buy_from_oneself(house, 15)

    assert open_lots(house) == [5]
    agree(house, Side.SELL, [])
    agree(house, Side.BUY, [(2_005, 5)])


def test_the_owner_hears_what_was_removed_and_everybody_the_new_level() -> None:
    async def story(up: Served) -> None:
        house = up.house
        placed = await up.place(house.maker.order("sell", 10, 2_005))
        order_id = int(placed.json()["order_id"])
        async with up.stream() as stream:
            await ask(stream, op="login", token=await up.token(house.maker))
            await ask(stream, op="subscribe", channel="orders")
            house.commit(command(Kind.AMEND, account=0, order_id=order_id, amount=3))
            frame = await until(stream, "amended")
        assert (frame["removed_lots"], frame["order"]["lots_open"]) == (7, 3)
        assert frame["reason"] == "ACCEPTED"

    asyncio.run(whole(story))


async def whole(story: Any) -> None:
    async with served(House()) as up:
        await story(up)


async def until(stream: Any, kind: str) -> dict[str, Any]:
    """Return the next frame of a type."""
    while True:
        frame = await hear(stream)
        if frame.get("type") == kind:
            return frame
