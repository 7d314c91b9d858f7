"""What may an account read of itself: balances, orders, fills, fees, budgets?"""

from typing import Final

import msgspec

from gateway.api.binance.desk import Call
from gateway.api.binance.numbers import ppm_text
from gateway.api.binance.params import INT64_MAX
from gateway.api.binance.rows import Row, balance_rows, order_row, own_trade_row, rate_rows
from gateway.views.order_history import ENDED_MAX, Order
from gateway.views.user_orders import FILLS_MAX, Fill
from settlement.orders.catalog import Market

PAGE: Final = 100
ORDERS: Final = 500
NS_A_MS: Final = 1_000_000
PPM_A_POINT: Final = 100
ORDERS_A_REQUEST: Final = 50
"""How many orders that stand weigh as much as a request, beyond what asking weighs."""


def account(call: Call) -> Row:
    """Return balances and what the account may do."""
    desk = call.desk
    markets = desk.exchange.catalog.markets
    maker = max((market.maker_fee_ppm for market in markets), default=0)
    taker = max((market.taker_fee_ppm for market in markets), default=0)
    balances = desk.user_stream.balances(call.account)
    number = desk.exchange.catalog.account_number(call.account)
    return {
        "makerCommission": max(0, maker) // PPM_A_POINT,
        "takerCommission": taker // PPM_A_POINT,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": rate_rows(maker, taker),
        "canTrade": call.who.session is not None,
        "canWithdraw": False,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": True,
        "preventSor": False,
        "updateTime": desk.now_ms,
        "accountType": "SPOT",
        "balances": balance_rows(balances, call.params.boolean("omitZeroBalances")),
        "permissions": ["SPOT"],
        "uid": -1 if number is None else number,
        "x_account": f"0x{call.account.hex()}",
    }


def commission(call: Call) -> Row:
    """Return what trades in a market cost."""
    market = call.market()
    nothing = rate_rows(0, 0)
    return {
        "symbol": call.params.need("symbol"),
        "standardCommission": rate_rows(market.maker_fee_ppm, market.taker_fee_ppm),
        "specialCommission": nothing,
        "taxCommission": nothing,
        "discount": {
            "enabledForAccount": False,
            "enabledForSymbol": False,
            "discountAsset": market.quote.symbol,
            "discount": ppm_text(0),
        },
    }


async def open_orders(call: Call) -> msgspec.Raw:
    """Return orders that stand, of a market or all, oldest first."""
    market = call.market() if call.params.text("symbol") else None
    found = await _open(call, market)
    if more := len(found) // ORDERS_A_REQUEST:  # Known only now; few have so many.
        call.charged.append(call.desk.limits.request(call.client, more).left)
    return await _rows(call, found)


async def all_orders(call: Call) -> msgspec.Raw:
    """Return orders of a market that stand or are among the last that ended, oldest first."""
    market, params = call.market(), call.params
    limit = params.limit(ORDERS, 2 * ORDERS)
    first, low = params.integer("orderId", 0, default=0), params.integer("startTime", 0, default=0)
    high = params.integer("endTime", 0, default=INT64_MAX)
    ended = call.desk.user_stream.ended_orders(call.account, 0, ENDED_MAX)
    found = [order for order in ended if order.market == market.number]
    found += await _open(call, market)
    known = {order.order_id: order for order in found}
    begins = known[first].sequence if first in known else 0
    found = [
        order
        for order in known.values()
        if order.sequence >= begins
        and (not first or begins or order.order_id >= first)
        and low <= order.time_ns // NS_A_MS <= high
    ]
    found.sort(key=lambda order: order.sequence)
    found = found[:limit] if first or low else found[-limit:]
    return await _rows(call, found)


async def _open(call: Call, market: Market | None) -> list[Order]:
    users, found, after = call.desk.user_stream, list[Order](), 0
    while True:
        page = users.open_orders(call.account, after, PAGE)
        found += [one for one in page if market is None or one.market == market.number]
        if len(page) < PAGE:
            return found
        after = page[-1].sequence
        await call.desk.turn()


async def _rows(call: Call, orders: list[Order]) -> msgspec.Raw:
    desk = call.desk

    def row(order: Order) -> Row:
        market = desk.user_stream.market_of(order)
        return order_row(desk.symbols.name(market), market, order)

    return await desk.rows(orders, row)


async def my_trades(call: Call) -> msgspec.Raw:
    """Return the account's fills in a market, oldest first, each with its settlement state."""
    desk, market, params = call.desk, call.market(), call.params
    limit = params.limit(ORDERS, FILLS_MAX)
    of_order = params.integer("orderId", 0, default=0)
    first, low = params.integer("fromId", 0, default=0), params.integer("startTime", 0, default=0)
    high = params.integer("endTime", 0, default=INT64_MAX)
    found = [
        fill
        for fill in reversed(desk.user_stream.fills(call.account, FILLS_MAX))
        if fill.market.number == market.number
        and of_order in (0, fill.order_id)
        and fill.trade_id >= first
        and low <= fill.time_ns // NS_A_MS <= high
    ]
    found = found[:limit] if first or low else found[-limit:]
    name, users = desk.symbols.name(market), desk.user_stream

    def row(fill: Fill) -> Row:
        order = users.order(call.account, fill.order_id)
        return own_trade_row(name, fill, users.state_of(fill), order)

    return await desk.rows(found, row)


def order_count(call: Call) -> list[Row]:
    """Return how many orders the account has sent lately, and how many it may."""
    left = call.desk.limits.orders_left(call.account)
    return [
        {
            "rateLimitType": "ORDERS",
            "interval": "SECOND",
            "intervalNum": left.window_seconds,
            "limit": left.limit,
            "count": left.limit - left.left,
        }
    ]


def nothing(_: Call) -> list[Row]:
    """Return an empty list: there is nothing of the kind here."""
    return []


# What stands under /sapi, as far as clients ask for it


def system_status(_: Call) -> Row:
    """Say that we are there."""
    return {"status": 0, "msg": "normal"}


def assets(call: Call) -> list[Row]:
    """Return all tokens; they go in and out through the wallet, not through this dialect."""
    balances = call.desk.user_stream.balances(call.account)
    rows = {row["asset"]: row for row in balance_rows(balances, is_sparse=False)}
    return [
        {
            "coin": token.symbol,
            "name": token.symbol,
            "depositAllEnable": False,
            "withdrawAllEnable": False,
            "trading": True,
            "isLegalMoney": False,
            "free": rows[token.symbol]["free"],
            "locked": rows[token.symbol]["locked"],
            "networkList": [],
            "x_address": f"0x{token.address.hex()}",
        }
        for token in call.desk.exchange.catalog.tokens
    ]


def trade_fees(call: Call) -> list[Row]:
    """Return what trades cost, market by market."""
    return [
        {
            "symbol": name,
            "makerCommission": ppm_text(market.maker_fee_ppm),
            "takerCommission": ppm_text(market.taker_fee_ppm),
        }
        for name, market in call.desk.symbols.all().items()
    ]
