"""What does a user's own stream say of his orders and balances?

``executionReport`` for each thing that happens to an order, ``outboundAccountPosition`` for
balances that have changed, and ``balanceUpdate`` where money came or went without a trade: what the
fills explain is counted against what the balances show.
"""

from collections.abc import Iterator
from typing import Final

from engine.types import Outcome, Side
from gateway.api.binance.desk import Desk
from gateway.api.binance.fates import CANCELED, status_of
from gateway.api.binance.numbers import ZERO, milliseconds, pips_text, price_text, quantity_text
from gateway.api.binance.rows import NO_LIST, Row, quantity_of, settlement_row, texts_of
from gateway.views.channels import News
from gateway.views.order_history import Order
from gateway.views.user_orders import BalanceNews, FillNews, OrderNews, OwnSettled
from settlement.orders.catalog import Market
from settlement.ports import TradeState

QUIET: Final = frozenset({"rested"})
"""What became of an order that its first event has said already."""

EXECUTIONS: Final = {"accepted": "NEW", "armed": "NEW", "triggered": "NEW", "amended": "REPLACED"}


class UserEvents:
    """Turns our news about one account into this dialect's events."""

    def __init__(self, desk: Desk, account: bytes) -> None:
        self._desk = desk
        self._account = account
        self._totals = {
            token.number: sum(balance) for token, balance in desk.user_stream.balances(account)
        }
        self._explained: dict[int, int] = {}
        """By token: what fills have moved since the balances were told last."""

    def of(self, news: News) -> Iterator[Row]:
        """Yield the events of a piece of news."""
        match news:
            case OrderNews():
                if news.kind not in QUIET:
                    yield self._order_event(news)
            case FillNews():
                event = self._fill_event(news)
                if event is not None:
                    yield event
            case BalanceNews():
                yield from self._balance_events(news)
            case OwnSettled():
                yield self._settled_event(news)
            case _:
                return

    def _order_event(self, news: OrderNews) -> Row:
        order, removal = news.order, news.removal
        execution = EXECUTIONS.get(news.kind)
        if execution is None:
            is_canceled = removal is not None and int(removal.reason) in CANCELED
            execution = "CANCELED" if is_canceled else "EXPIRED"
        if news.kind == "amended" and removal is not None and removal.reason == Outcome.SELF_TRADE:
            execution = "TRADE_PREVENTION"
        is_new = execution == "NEW" and news.kind != "triggered"
        row = self._report(news.market, order, execution, news.event)
        if is_new:
            row |= {"X": "NEW", "z": ZERO, "Z": ZERO}
        return row

    def _fill_event(self, news: FillNews) -> Row | None:
        fill = news.fill
        order = self._desk.user_stream.order(self._account, fill.order_id)
        if order is None:
            return None
        market = fill.market
        quote = market.quote_pips(fill.lots, fill.price_ticks)
        self._explain(market, fill.side, market.base_pips(fill.lots), quote, fill.fee_pips)
        row = self._report(market, order, "TRADE", news.event)
        is_over = not fill.lots_left
        return row | {
            "X": status_of(order.lots_filled, is_over, 0),
            "l": quantity_text(market, fill.lots),
            "L": price_text(market, fill.price_ticks),
            "Y": pips_text(quote),
            "n": pips_text(fill.fee_pips),
            "N": market.quote.symbol,
            "T": milliseconds(fill.time_ns),
            "t": fill.trade_id,
            "m": fill.role == "maker",
            "w": not is_over,
            "x_settlement": settlement_row(TradeState("matched")),
        }

    def _report(self, market: Market, order: Order, execution: str, event: int) -> Row:
        """Return an ``executionReport`` without a trade."""
        texts = texts_of(market, order)
        is_over = bool(order.ended_event)
        now_ns = order.ended_ns or self._desk.exchange.now_ns()
        return {
            "e": "executionReport",
            "E": self._desk.now_ms,
            "s": self._desk.symbols.name(market),
            "c": order.client_id,
            "S": order.side.name,
            "o": texts.kind,
            "f": texts.time_in_force,
            "q": quantity_of(market, order),
            "p": price_text(market, order.price_ticks),
            "P": texts.stop_price,
            "F": texts.shown,
            "g": NO_LIST,
            "C": "",
            "x": execution,
            "X": status_of(order.lots_filled, is_over, order.reason),
            "r": "NONE",
            "i": order.order_id,
            "l": ZERO,
            "z": quantity_text(market, order.lots_filled),
            "L": ZERO,
            "n": "0",
            "N": None,
            "T": milliseconds(now_ns if is_over else order.time_ns),
            "t": -1,
            "I": event,
            "w": not is_over and not texts.is_single_shot,
            "m": False,
            "M": False,
            "O": milliseconds(order.time_ns),
            "Z": pips_text(order.quote_filled),
            "Y": ZERO,
            "Q": ZERO,
            "W": milliseconds(order.time_ns),
            "V": texts.mode,
            "x_digest": f"0x{order.digest.hex()}",
            "x_seq": order.sequence,
            "x_reason": order.why,
        }

    def _settled_event(self, news: OwnSettled) -> Row:
        return {
            "e": "x_settlement",
            "E": self._desk.now_ms,
            "trades": news.trades,
            **settlement_row(news.state),
        }

    # Balances

    def _explain(self, market: Market, side: Side, base: int, quote: int, fee: int) -> None:
        is_buy = side == Side.BUY
        moved = {
            market.base.number: base if is_buy else -base,
            market.quote.number: -quote - fee if is_buy else quote - fee,
        }
        for token, pips in moved.items():
            self._explained[token] = self._explained.get(token, 0) + pips

    def _balance_events(self, news: BalanceNews) -> Iterator[Row]:
        now_ms = self._desk.now_ms
        for token, balance in news.balances:
            total = sum(balance)
            known = self._totals.get(token.number, 0) + self._explained.pop(token.number, 0)
            self._totals[token.number] = total
            if total != known:
                yield {
                    "e": "balanceUpdate",
                    "E": now_ms,
                    "a": token.symbol,
                    "d": pips_text(total - known),
                    "T": now_ms,
                }
        yield {
            "e": "outboundAccountPosition",
            "E": now_ms,
            "u": now_ms,
            "B": [
                {"a": token.symbol, "f": pips_text(balance.available), "l": pips_text(balance.held)}
                for token, balance in news.balances
            ],
        }
