"""How do the values of the views look in this dialect's JSON?

One function a value. Fields of our own begin with ``x_``: how far a fill is on its way to the
chain, the digest that was signed, the sequence in the log.
"""

from collections.abc import Iterable
from typing import Any, Final

from engine.types import ICEBERG_SLICES_MAX, LOTS_MAX, MONEY_MAX, PRICE_MAX, Phase, Side
from gateway.api.binance.fates import Fate, status_of
from gateway.api.binance.numbers import (
    ZERO,
    milliseconds,
    pips_text,
    ppm_text,
    price_text,
    quantity_text,
)
from gateway.api.binance.wanted import (
    EXPIRE_TAKER,
    FOK,
    GTC,
    IOC,
    LIMIT,
    LIMIT_MAKER,
    MARKET,
    MODES,
    STOP_LOSS_LIMIT,
    TYPES,
)
from gateway.views.candles import Candle
from gateway.views.market_data import Ticker
from gateway.views.order_history import Order
from gateway.views.tape import Trade
from gateway.views.user_orders import Fill, TokenBalance
from settlement.orders.catalog import Market
from settlement.ports import TradeState
from settlement.protocol.evidence import SELL, OrderBits, SignedOrder

DECIMALS: Final = 8
DAY_MS: Final = 24 * 3600 * 1000
NO_LIST: Final = -1
Row = dict[str, Any]

# As plain numbers: ``&`` with a member of an enum costs Python two microseconds.
_SINGLE_SHOT: Final = int(OrderBits.SINGLE_SHOT)
_POST_ONLY: Final = int(OrderBits.POST_ONLY)
_FILL_OR_KILL: Final = int(OrderBits.FILL_OR_KILL)
_STOP: Final = int(OrderBits.STOP)
_ICEBERG: Final = int(OrderBits.ICEBERG)
_IMMEDIATE: Final = int(OrderBits.IMMEDIATE)
_MODE_BITS: Final = int(OrderBits.SELF_DECREMENT)
_MODE_NAMES: Final = {bits: name for name, bits in MODES.items()}


def settlement_row(state: TradeState) -> Row:
    """Return how far a trade is on its way to the chain."""
    return {
        "state": state.state,
        "batch": state.batch,
        "txHash": None if state.tx_hash is None else f"0x{state.tx_hash.hex()}",
    }


# Markets


STATUS: Final = {
    Phase.OPEN: "TRADING",
    Phase.POST_ONLY: "TRADING",
    Phase.CANCEL_ONLY: "HALT",
    Phase.HALTED: "HALT",
    Phase.AUCTION: "AUCTION_MATCH",
    Phase.DELISTED: "BREAK",
}


def symbol_row(name: str, market: Market, phase: Phase, orders_max: int) -> Row:
    """Return what ``exchangeInfo`` says of a market; its price filter comes first."""
    return {
        "symbol": name,
        "status": STATUS[phase],
        "baseAsset": market.base.symbol,
        "baseAssetPrecision": DECIMALS,
        "quoteAsset": market.quote.symbol,
        "quotePrecision": DECIMALS,
        "quoteAssetPrecision": DECIMALS,
        "baseCommissionPrecision": DECIMALS,
        "quoteCommissionPrecision": DECIMALS,
        "orderTypes": list(TYPES),
        "icebergAllowed": True,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filter_rows(market, orders_max),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": EXPIRE_TAKER,
        "allowedSelfTradePreventionModes": list(MODES),
        "x_market": market.symbol,
    }


def filter_rows(market: Market, orders_max: int) -> list[Row]:
    """Return what an order in a market must keep to."""
    lots = {
        "minQty": quantity_text(market, 1),
        "maxQty": quantity_text(market, LOTS_MAX),
        "stepSize": quantity_text(market, 1),
    }
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price_text(market, 1),
            "maxPrice": price_text(market, PRICE_MAX),
            "tickSize": price_text(market, 1),
        },
        {"filterType": "LOT_SIZE", **lots},
        {"filterType": "MARKET_LOT_SIZE", **lots},
        {
            "filterType": "NOTIONAL",
            "minNotional": pips_text(market.least_notional_pips),
            "applyMinToMarket": True,
            "maxNotional": pips_text(MONEY_MAX),
            "applyMaxToMarket": False,
            "avgPriceMins": 0,
        },
        {"filterType": "ICEBERG_PARTS", "limit": ICEBERG_SLICES_MAX},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": orders_max},
    ]


def trade_row(market: Market, trade: Trade) -> Row:
    """Return one public trade."""
    return {
        "id": trade.trade_id,
        "price": price_text(market, trade.price_ticks),
        "qty": quantity_text(market, trade.lots),
        "quoteQty": pips_text(market.quote_pips(trade.lots, trade.price_ticks)),
        "time": milliseconds(trade.time_ns),
        "isBuyerMaker": trade.side == Side.SELL,
        "isBestMatch": True,
    }


def aggregate_row(market: Market, trade: Trade) -> Row:
    """Return one public trade as an aggregate of one."""
    return {
        "a": trade.trade_id,
        "p": price_text(market, trade.price_ticks),
        "q": quantity_text(market, trade.lots),
        "f": trade.trade_id,
        "l": trade.trade_id,
        "T": milliseconds(trade.time_ns),
        "m": trade.side == Side.SELL,
        "M": True,
    }


class Day:
    """24 hours of a market, in text."""

    def __init__(self, market: Market, ticker: Ticker, now_ns: int) -> None:
        def price(ticks: int | None) -> str:
            return ZERO if ticks is None else price_text(market, ticks)

        base = market.base_pips(ticker.lots_24h)
        self.now_ms = milliseconds(now_ns)
        self.last, self.opened = price(ticker.last), price(ticker.open_24h)
        self.high, self.low = price(ticker.high_24h), price(ticker.low_24h)
        self.bid, self.ask = price(ticker.best_bid), price(ticker.best_ask)
        self.volume, self.quote_volume = pips_text(base), pips_text(ticker.quote_pips_24h)
        moved = (ticker.last or 0) - (ticker.open_24h or ticker.last or 0)
        self.change = price_text(market, moved)
        opened = ticker.open_24h or 0
        self.change_percent = _thousandths(moved * 100_000 // opened) if opened else "0.000"
        average = ticker.quote_pips_24h * 10**DECIMALS // base if base else 0
        self.average = pips_text(average)


def _thousandths(number: int) -> str:
    whole, rest = divmod(abs(number), 1_000)
    return f"{'-' if number < 0 else ''}{whole}.{rest:03d}"


def mini_row(name: str, day: Day) -> Row:
    """Return the day of a market, without its book."""
    return {
        "symbol": name,
        "openPrice": day.opened,
        "highPrice": day.high,
        "lowPrice": day.low,
        "lastPrice": day.last,
        "volume": day.volume,
        "quoteVolume": day.quote_volume,
        "openTime": day.now_ms - DAY_MS,
        "closeTime": day.now_ms,
        "firstId": -1,
        "lastId": -1,
        "count": 0,
    }


def day_row(name: str, market: Market, day: Day, best: Row) -> Row:
    """Return the day of a market; ``best`` is its ``best_row``."""
    return {
        **mini_row(name, day),
        "priceChange": day.change,
        "priceChangePercent": day.change_percent,
        "weightedAvgPrice": day.average,
        "prevClosePrice": day.opened,
        "lastQty": ZERO,
        **{key: best[key] for key in ("bidPrice", "bidQty", "askPrice", "askQty")},
    }


def best_row(
    name: str, market: Market, bids: list[tuple[int, int]], asks: list[tuple[int, int]]
) -> Row:
    """Return the best of both sides."""
    bid, ask = bids[0] if bids else (0, 0), asks[0] if asks else (0, 0)
    return {
        "symbol": name,
        "bidPrice": price_text(market, bid[0]),
        "bidQty": quantity_text(market, bid[1]),
        "askPrice": price_text(market, ask[0]),
        "askQty": quantity_text(market, ask[1]),
    }


def candle_row(candle: Candle, ends_ms: int) -> list[Any]:
    """Return what was traded in one interval, which ends before ``ends_ms``."""
    return [
        candle.start * 1000,
        pips_text(candle.open),
        pips_text(candle.high),
        pips_text(candle.low),
        pips_text(candle.close),
        pips_text(candle.base_pips),
        ends_ms - 1,
        pips_text(candle.quote_pips),
        candle.trades,
        ZERO,
        ZERO,
        "0",
    ]


# Orders


class OrderTexts:
    """Those fields of an order that several answers and events share, from what was signed."""

    def __init__(
        self, market: Market, lots: int, flags: int, trigger_or_display: int, asked: str = ""
    ) -> None:
        """``asked`` is the type that the client asked for, where that is still known."""
        self.is_single_shot = bool(flags & _SINGLE_SHOT)
        self.is_stop = bool(flags & _STOP)
        self.kind = asked or (
            STOP_LOSS_LIMIT if self.is_stop else LIMIT_MAKER if flags & _POST_ONLY else LIMIT
        )
        is_immediate = flags & (_SINGLE_SHOT | _IMMEDIATE)
        self.time_in_force = FOK if flags & _FILL_OR_KILL else IOC if is_immediate else GTC
        self.mode = _MODE_NAMES[flags & _MODE_BITS]
        trigger = trigger_or_display // (lots * market.tick_pips) if self.is_stop else 0
        self.stop_price = price_text(market, trigger)
        self.shown = pips_text(trigger_or_display if flags & _ICEBERG else 0)


def texts_of(market: Market, order: Order) -> OrderTexts:
    """Return the texts of an order that is kept."""
    return OrderTexts(market, order.lots, order.flags, order.trigger_or_display)


def quantity_of(market: Market, order: Order) -> str:
    """Return what an order is for, after what was amended or traded away."""
    if not order.ended_event:
        return quantity_text(market, order.lots_open + order.lots_filled)
    return quantity_text(market, order.lots if order.reason else order.lots_filled)


def order_row(name: str, market: Market, order: Order) -> Row:
    """Return one order of an account."""
    texts = texts_of(market, order)
    changed_ns = order.ended_ns or order.time_ns
    status = status_of(order.lots_filled, bool(order.ended_event), order.reason)
    return {
        "symbol": name,
        "orderId": order.order_id,
        "orderListId": NO_LIST,
        "clientOrderId": order.client_id,
        "price": price_text(market, order.price_ticks),
        "origQty": quantity_of(market, order),
        "executedQty": quantity_text(market, order.lots_filled),
        "origQuoteOrderQty": ZERO,
        "cummulativeQuoteQty": pips_text(order.quote_filled),
        "status": status,
        "timeInForce": texts.time_in_force,
        "type": texts.kind,
        "side": order.side.name,
        "stopPrice": texts.stop_price,
        "icebergQty": texts.shown,
        "time": milliseconds(order.time_ns),
        "updateTime": milliseconds(changed_ns),
        "isWorking": not texts.is_stop or order.lots_filled > 0,
        "workingTime": milliseconds(order.time_ns),
        "selfTradePreventionMode": texts.mode,
        "x_digest": f"0x{order.digest.hex()}",
        "x_seq": order.sequence,
        "x_reason": order.why,
    }


def amended_row(name: str, market: Market, order: Order, event: int, time_ns: int) -> Row:
    """Return what is answered to an amendment; an order keeps its trader's name for it."""
    row = order_row(name, market, order)
    kept = ("symbol", "orderId", "orderListId", "clientOrderId", "price", "executedQty", "status")
    more = ("timeInForce", "type", "side", "workingTime", "selfTradePreventionMode")
    return {
        "transactTime": milliseconds(time_ns),
        "executionId": event,
        "amendedOrder": {
            **{key: row[key] for key in (*kept, *more)},
            "origClientOrderId": order.client_id,
            "qty": row["origQty"],
            "preventedQty": ZERO,
            "quoteOrderQty": ZERO,
            "cumulativeQuoteQty": row["cummulativeQuoteQty"],
        },
    }


def canceled_row(name: str, market: Market, order: Order, asked_as: str, time_ns: int) -> Row:
    """Return what is answered to a cancel that took ``order`` off the book."""
    row = order_row(name, market, order)
    kept = ("symbol", "orderId", "orderListId", "price", "origQty", "executedQty")
    more = ("origQuoteOrderQty", "cummulativeQuoteQty", "timeInForce", "type", "side")
    ours = ("selfTradePreventionMode", "x_digest", "x_seq")
    return {
        **{key: row[key] for key in (*kept, *more, *ours)},
        "origClientOrderId": order.client_id,
        "clientOrderId": asked_as or order.client_id,
        "transactTime": milliseconds(time_ns),
        "status": "CANCELED",
    }


def acknowledged_row(name: str, order: SignedOrder, order_id: int, time_ns: int, seq: int) -> Row:
    """Return the shortest answer to an order that was taken."""
    return {
        "symbol": name,
        "orderId": order_id,
        "orderListId": NO_LIST,
        "clientOrderId": order.client_id,
        "transactTime": milliseconds(time_ns),
        "x_digest": f"0x{order.digest.hex()}",
        "x_seq": seq,
    }


def result_row(market: Market, order: SignedOrder, fate: Fate, time_ns: int, asked: str) -> Row:
    """Return what stands behind ``acknowledged_row`` in the longer answers."""
    lots = order.base_amount // market.lot_pips
    texts = OrderTexts(market, lots, order.flags, order.trigger_or_display, asked)
    filled = sum(fill.lots for fill in fate.fills)
    quote = sum(market.quote_pips(fill.lots, fill.ticks) for fill in fate.fills)
    is_over = not fate.lots_open
    ticks = order.quote_amount // (lots * market.tick_pips)
    more = {"stopPrice": texts.stop_price} if texts.is_stop else {}
    return {
        **more,
        "price": ZERO if asked == MARKET else price_text(market, ticks),
        "origQty": quantity_text(market, lots),
        "executedQty": quantity_text(market, filled),
        "origQuoteOrderQty": ZERO,
        "cummulativeQuoteQty": pips_text(quote),
        "status": status_of(filled, is_over, fate.reason),
        "timeInForce": texts.time_in_force,
        "type": texts.kind,
        "side": "SELL" if order.flags & SELL else "BUY",
        "workingTime": milliseconds(time_ns),
        "selfTradePreventionMode": texts.mode,
    }


def fill_rows(market: Market, fate: Fate) -> list[Row]:
    """Return the fills of an order as it came in."""
    return [
        {
            "price": price_text(market, fill.ticks),
            "qty": quantity_text(market, fill.lots),
            "commission": pips_text(fill.fee_pips),
            "commissionAsset": market.quote.symbol,
            "tradeId": fill.trade_id,
            "x_settlement": settlement_row(TradeState("matched")),
        }
        for fill in fate.fills
    ]


def own_trade_row(name: str, fill: Fill, state: TradeState, order: Order | None) -> Row:
    """Return one fill of an account; ``order`` is its order, if it is still kept."""
    market = fill.market
    return {
        "symbol": name,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": NO_LIST,
        "price": price_text(market, fill.price_ticks),
        "qty": quantity_text(market, fill.lots),
        "quoteQty": pips_text(market.quote_pips(fill.lots, fill.price_ticks)),
        "commission": pips_text(fill.fee_pips),
        "commissionAsset": market.quote.symbol,
        "time": milliseconds(fill.time_ns),
        "isBuyer": fill.side == Side.BUY,
        "isMaker": fill.role == "maker",
        "isBestMatch": True,
        "x_settlement": settlement_row(state),
        "x_digest": None if order is None else f"0x{order.digest.hex()}",
        "x_seq": None if order is None else order.sequence,
    }


# Accounts


def balance_rows(balances: Iterable[TokenBalance], is_sparse: bool) -> list[Row]:
    """Return balances; ``is_sparse`` leaves out what is nothing."""
    return [
        {
            "asset": token.symbol,
            "free": pips_text(balance.available),
            "locked": pips_text(balance.held),
        }
        for token, balance in balances
        if not is_sparse or balance.available or balance.held
    ]


def rate_rows(maker_ppm: int, taker_ppm: int) -> Row:
    """Return what trades cost, as fractions."""
    return {
        "maker": ppm_text(maker_ppm),
        "taker": ppm_text(taker_ppm),
        "buyer": ZERO,
        "seller": ZERO,
    }
