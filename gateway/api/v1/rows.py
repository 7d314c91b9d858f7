"""How do the values of the views look in the native JSON?

One function a value, from its integers to what people read with the integers beside it; and one
table of all that is published on channels.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from engine.types import Side
from gateway.api.v1 import schemas, stream_schemas
from gateway.api.v1.encoding import decimal_text, hexed, price_text, quantity_text
from gateway.api.v1.feed_rows import (
    bbo_frame,
    candles_frame,
    exchange_status_frame,
    l3_frame,
    market_status_frame,
    ticker_frame,
)
from gateway.views.books import Book, BookDiff, Level
from gateway.views.candles import CandleNews
from gateway.views.channels import News, Published
from gateway.views.market_data import (
    BUSTED,
    MATCHED,
    BestPrices,
    MarketData,
    NewTrades,
    TickerNews,
    TradesSettled,
    TradeUndone,
)
from gateway.views.market_states import ExchangeStateNews, MarketStateNews
from gateway.views.order_history import Order
from gateway.views.queues import QueueDiff
from gateway.views.tape import Trade
from gateway.views.user_orders import (
    BalanceNews,
    BustNews,
    Fill,
    FillNews,
    OrderNews,
    OwnSettled,
    TokenBalance,
    UserStream,
)
from settlement.orders.catalog import Market
from settlement.ports import TradeState


class Message(News, frozen=True):
    """What only one client is told; in our JSON already."""

    content: Mapping[str, object] | msgspec.Struct


def settlement_row(state: TradeState) -> schemas.SettlementState:
    """Return a settlement state as JSON fields."""
    return schemas.SettlementState(
        state=state.state,
        batch=state.batch,
        tx_hash=None if state.tx_hash is None else hexed(state.tx_hash),
    )


# What everybody sees


def level_rows(market: Market, levels: Iterable[Level]) -> list[schemas.Level]:
    """Return levels as JSON rows: what people read and the integers behind it."""
    return [
        schemas.Level(
            price=price_text(market, ticks),
            quantity=quantity_text(market, lots),
            price_ticks=ticks,
            lots=lots,
        )
        for ticks, lots in levels
    ]


def book_row(market: Market, book: Book, levels: int) -> schemas.BookSnapshot:
    """Return a book as it is after event ``u``, with a checksum to hold it to."""
    return schemas.BookSnapshot(
        market=market.symbol,
        u=book.u,
        checksum=book.checksum(),
        bids=level_rows(market, book.levels(Side.BUY, levels)),
        asks=level_rows(market, book.levels(Side.SELL, levels)),
    )


def trade_row(market: Market, trade: Trade, state: TradeState) -> schemas.PublicTrade:
    """Return one public trade as JSON fields."""
    return schemas.PublicTrade(
        trade_id=trade.trade_id,
        side=trade.side.name.lower(),
        price=price_text(market, trade.price_ticks),
        quantity=quantity_text(market, trade.lots),
        price_ticks=trade.price_ticks,
        lots=trade.lots,
        time_ns=str(trade.time_ns),
        settlement=settlement_row(state),
    )


def trade_rows(data: MarketData, market: Market, limit: int) -> list[schemas.PublicTrade]:
    """Return the last trades, newest first, each with its settlement state."""
    newest = data.tape(market).newest(limit)
    return [trade_row(market, trade, data.state_of(trade)) for trade in newest]


# What an account sees


def order_row(market: Market, order: Order) -> schemas.OwnOrder:
    """Return one order of an account as JSON fields."""
    return schemas.OwnOrder(
        order_id=str(order.order_id),
        client_id=order.client_id,
        digest=hexed(order.digest),
        time_ns=str(order.time_ns),
        market=market.symbol,
        side=order.side.name.lower(),
        price=price_text(market, order.price_ticks),
        quantity=quantity_text(market, order.lots),
        price_ticks=order.price_ticks,
        lots=order.lots,
        open=quantity_text(market, order.lots_open),
        lots_open=order.lots_open,
        lots_filled=order.lots_filled,
        sequence=order.sequence,
        ended=order.why,
        ended_event=order.ended_event or None,
        ended_ns=str(order.ended_ns) if order.ended_event else None,
    )


def order_rows(users: UserStream, orders: Iterable[Order]) -> list[schemas.OwnOrder]:
    """Return orders of an account as JSON rows."""
    return [order_row(users.market_of(order), order) for order in orders]


def fill_row(fill: Fill, state: TradeState) -> schemas.OwnFill:
    """Return one side of a trade as JSON fields."""
    market = fill.market
    return schemas.OwnFill(
        trade_id=fill.trade_id,
        order_id=str(fill.order_id),
        client_id=fill.client_id,
        role=fill.role,
        time_ns=str(fill.time_ns),
        market=market.symbol,
        side=fill.side.name.lower(),
        price=price_text(market, fill.price_ticks),
        quantity=quantity_text(market, fill.lots),
        price_ticks=fill.price_ticks,
        lots=fill.lots,
        lots_left=fill.lots_left,
        fee=decimal_text(fill.fee_pips),
        fee_pips=str(fill.fee_pips),
        settlement=settlement_row(state),
    )


def balance_rows(balances: Iterable[TokenBalance]) -> list[schemas.BalanceRow]:
    """Return balances as JSON rows, one a token."""
    return [
        schemas.BalanceRow(
            symbol=token.symbol,
            token=hexed(token.address),
            available=decimal_text(balance.available),
            held=decimal_text(balance.held),
            available_pips=str(balance.available),
            held_pips=str(balance.held),
        )
        for token, balance in balances
    ]


# What is published


def _book_diff(diff: BookDiff) -> stream_schemas.BookDiff:
    bids = [(t, n) for (side, t), n in diff.changed.items() if side == Side.BUY]
    asks = [(t, n) for (side, t), n in diff.changed.items() if side == Side.SELL]
    return stream_schemas.BookDiff(
        channel=f"book:{diff.market.symbol}",
        U=diff.prev + 1,
        u=diff.u,
        prev=diff.prev,
        checksum=diff.checksum,
        time_ns=str(diff.time_ns),
        bids=level_rows(diff.market, bids),
        asks=level_rows(diff.market, asks),
    )


def _new_trades(news: NewTrades) -> stream_schemas.NewTrades:
    return stream_schemas.NewTrades(
        channel=f"trades:{news.market.symbol}",
        prev=news.prev,
        trades=[trade_row(news.market, trade, MATCHED) for trade in news.trades],
    )


def _trade_undone(news: TradeUndone) -> stream_schemas.TradeBusted:
    return stream_schemas.TradeBusted(
        channel=f"trades:{news.market.symbol}", event=news.event, trade_id=news.trade_id
    )


def _trades_settled(news: TradesSettled) -> stream_schemas.TradesSettled:
    state = settlement_row(news.state)
    return stream_schemas.TradesSettled(
        channel=f"trades:{news.market.symbol}",
        first_trade=news.first_trade,
        last_trade=news.last_trade,
        busted=news.busted,
        state=state.state,
        batch=state.batch,
        tx_hash=state.tx_hash,
    )


def _order_news(news: OrderNews) -> stream_schemas.OrderFrame:
    frame = stream_schemas.OrderFrame(
        type=news.kind,
        event=news.event,
        number=news.number,
        prev=news.number - 1,
        order=order_row(news.market, news.order),
    )
    if news.removal is None:
        return frame
    return msgspec.structs.replace(
        frame,
        removed=quantity_text(news.market, news.removal.lots),
        removed_lots=news.removal.lots,
        reason=news.removal.reason.name,
    )


def _fill_news(news: FillNews) -> stream_schemas.FillFrame:
    return stream_schemas.FillFrame(
        event=news.event,
        number=news.number,
        prev=news.number - 1,
        fill=fill_row(news.fill, MATCHED),
    )


def _bust_news(news: BustNews) -> stream_schemas.OwnTradeBusted:
    return stream_schemas.OwnTradeBusted(
        event=news.event,
        number=news.number,
        prev=news.number - 1,
        trade_id=news.trade_id,
        market=news.market.symbol,
        side=news.side.name.lower(),
        base_pips=str(news.base_pips),
        quote_pips=str(news.quote_pips),
        fee_pips=str(news.fee_pips),
        reason=news.reason,
        fill=None if news.fill is None else fill_row(news.fill, BUSTED),
    )


def _own_settled(news: OwnSettled) -> stream_schemas.OwnSettled:
    state = settlement_row(news.state)
    return stream_schemas.OwnSettled(
        number=news.number,
        trades=news.trades,
        state=state.state,
        batch=state.batch,
        tx_hash=state.tx_hash,
    )


def _balance_news(news: BalanceNews) -> stream_schemas.BalancesFrame:
    return stream_schemas.BalancesFrame(
        type="update",
        event=news.event,
        number=news.number,
        balances=balance_rows(news.balances),
    )


_ROWS: Final[dict[type[News], Callable[[Any], Mapping[str, object] | msgspec.Struct]]] = {
    Message: lambda message: message.content,
    BookDiff: _book_diff,
    NewTrades: _new_trades,
    TradeUndone: _trade_undone,
    TradesSettled: _trades_settled,
    QueueDiff: l3_frame,
    BestPrices: bbo_frame,
    TickerNews: ticker_frame,
    CandleNews: candles_frame,
    MarketStateNews: market_status_frame,
    ExchangeStateNews: exchange_status_frame,
    OrderNews: _order_news,
    FillNews: _fill_news,
    BustNews: _bust_news,
    OwnSettled: _own_settled,
    BalanceNews: _balance_news,
}


def message(content: Mapping[str, object] | msgspec.Struct) -> Published:
    """Return what only one client is told, for its send queue."""
    return Published(Message(content))


def news_text(news: News) -> bytes:
    """Return the message that tells ``news``, as JSON text in UTF-8."""
    return msgspec.json.encode(_ROWS[type(news)](news))
