"""What does each channel begin with: all of it as it is, or what was missed since a number?"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

import msgspec

from engine.types import Side
from gateway.api.dependencies import unknown_market
from gateway.api.services import Services
from gateway.api.v1 import stream_schemas
from gateway.api.v1.feed_rows import bbo_frame, candles_frame, ticker_frame
from gateway.api.v1.rows import balance_rows, message, news_text, settlement_row
from gateway.api.v1.written import WrittenViews
from gateway.api.v1.written_feeds import WrittenFeeds
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session
from gateway.views.candles import INTERVALS, CandleNews
from gateway.views.channels import News, Published
from gateway.views.market_data import BestPrices, TickerNews
from gateway.views.market_states import STATUS_CHANNEL, StatusWatch
from gateway.views.user_orders import FILLS_MAX, balances_channel, orders_channel
from settlement.orders.catalog import Market
from settlement.ports import TradeState

LEVELS: Final = 1_000
TRADES: Final = 50
FILLS: Final = 100
CANDLES: Final = 2
TEXTS_MAX: Final = 20_000
"""Of these so many are kept as text, of all accounts."""

MISSED_AT_ONCE: Final = 64
"""Frames that were missed, in one frame."""

CHANNEL_NAMES: Final = (
    "book:SYMBOL, l3:SYMBOL, bbo:SYMBOL, ticker:SYMBOL, trades:SYMBOL, candles:SYMBOL:INTERVAL, "
    "status and, after login, orders and balances"
)

Make = Callable[[], Published]


class Maker(NamedTuple):
    """Our name of a channel, when it ends in unix seconds, and what makes the frames that it begins
    with: all are of the moment in which ``make`` is called."""

    channel: str
    make: Callable[[], Sequence[Make]]
    ends: int | None = None


class Asker(Protocol):
    """Who asks."""

    def me(self) -> Session:
        """Return who has logged in; raises ``Rejection`` if nobody has."""


class Snapshots:
    """Makes what channels begin with."""

    def __init__(
        self, services: Services, written: WrittenViews, feeds: WrittenFeeds, watch: StatusWatch
    ) -> None:
        self._services = services
        self._written = written
        self._feeds = feeds
        self._watch = watch
        self._texts: dict[tuple[bytes, int], bytes] = {}
        """Frames that somebody has missed, by account and the number before."""

    def maker(self, name: str, begin: int | None, asker: Asker) -> Maker | None:
        """Return what makes a channel's first frames, from ``begin`` on if that is a number; None
        if there is no such channel."""
        kind, _, rest = name.partition(":")
        symbol, _, interval = rest.partition(":")
        match kind, symbol, interval:
            case "status", "", "":
                return _one(name, self._status)
            case "orders", "", "":
                return self._orders(asker.me(), begin)
            case "balances", "", "":
                return self._balances(asker.me())
            case "candles", _, _ if interval in INTERVALS:
                return _one(name, partial(self._candles, self._market(symbol), interval))
            case "book", _, "":
                return _one(name, partial(self._book, self._market(symbol)))
            case "l3", _, "":
                return _one(name, partial(self._l3, self._market(symbol)))
            case "bbo", _, "":
                return _one(name, partial(self._bbo, self._market(symbol)))
            case "ticker", _, "":
                return _one(name, partial(self._ticker, self._market(symbol)))
            case "trades", _, "":
                return _one(name, partial(self._trades, self._market(symbol), begin))
        return None

    def position(self, name: str, asker: Asker) -> int | None:
        """Return the number of the last news of a channel; None if it has none to go on from."""
        kind, _, symbol = name.partition(":")
        try:
            if kind == "orders":
                return self._services.user_stream.frame_number(asker.me().account)
            if kind == "trades":
                return self._services.market_data.tape(self._market(symbol)).last
        except Rejection:
            return None
        return None

    def _market(self, symbol: str) -> Market:
        market = self._services.exchange.catalog.market(symbol)
        if market is None:
            raise unknown_market(symbol)
        return market

    def _book(self, market: Market) -> Published:
        head = {"channel": f"book:{market.symbol}", "type": "snapshot"}
        return message({**head, **self._written.book(market, LEVELS)})

    def _l3(self, market: Market) -> Published:
        head = {"channel": f"l3:{market.symbol}", "type": "snapshot"}
        return message({**head, **self._feeds.queues(market)})

    def _bbo(self, market: Market) -> Published:
        book = self._services.market_data.book(market)
        best = book.best(Side.BUY), book.best(Side.SELL)
        news = BestPrices(market, book.u, self._services.exchange.now_ns(), *best)
        return message(bbo_frame(news, "snapshot"))

    def _ticker(self, market: Market) -> Published:
        data, now_ns = self._services.market_data, self._services.exchange.now_ns()
        news = TickerNews(market, data.book(market).u, now_ns, data.ticker(market, now_ns))
        return message(ticker_frame(news, "snapshot"))

    def _candles(self, market: Market, interval: str) -> Published:
        newest = self._services.candles.tape(market).newest(interval, CANDLES)
        return message(candles_frame(CandleNews(market, interval, tuple(newest)), "snapshot"))

    def _trades(self, market: Market, begin: int | None) -> Published:
        head: dict[str, object] = {"channel": f"trades:{market.symbol}", "type": "snapshot"}
        if begin is None:
            return message({**head, "trades": self._written.trades(market, TRADES)})
        tape = self._services.market_data.tape(market)
        count = tape.count_after(begin)
        rows = self._written.trades(market, count) if count else []
        # A number that there never was is another exchange's, or of a history that is lost.
        whole = tape.cut <= begin <= tape.last
        return message({**head, "from": begin, "complete": whole, "trades": rows})

    def _status(self) -> Published:
        services = self._services
        markets, now_ns = services.exchange.catalog.markets, services.exchange.now_ns()
        status = self._feeds.status(self._watch.now(), markets, now_ns)
        head = {"channel": STATUS_CHANNEL, "type": "snapshot"}
        return message({**head, **msgspec.structs.asdict(status)})

    def _balances(self, me: Session) -> Maker:
        users = self._services.user_stream

        def make() -> Published:
            rows = balance_rows(users.balances(me.account))
            return message(
                stream_schemas.BalancesFrame(
                    type="snapshot",
                    event=users.event_index,
                    number=users.frame_number(me.account),
                    balances=rows,
                )
            )

        return Maker(balances_channel(me.account), lambda: [make], me.expires_at)

    def _orders(self, me: Session, begin: int | None) -> Maker:
        users, account = self._services.user_stream, me.account

        def make() -> Sequence[Make]:
            if begin is None:
                return [partial(self._own_orders, account)]
            missed = users.missed(account, begin)
            if missed is None:
                number = users.frame_number(account)
                resync = stream_schemas.Resync(begin=begin, number=number)
                return [lambda: message(resync), partial(self._own_orders, account)]
            parts = [
                missed[at : at + MISSED_AT_ONCE]
                for at in range(0, max(1, len(missed)), MISSED_AT_ONCE)
            ]
            number = users.frame_number(account)
            return [
                *(partial(self._own_missed, account, begin, number, part) for part in parts),
                partial(self._own_settlement, account),
            ]

        return Maker(orders_channel(account), make, me.expires_at)

    def _own_orders(self, account: bytes) -> Published:
        users, written = self._services.user_stream, self._written
        rows, following = written.open_orders(account)
        return message(
            {
                "channel": "orders",
                "type": "snapshot",
                "event": users.event_index,
                "number": users.frame_number(account),
                "orders": rows,
                "next": following,
                "fills": written.fills(account, FILLS)[0],
            }
        )

    def _own_missed(
        self, account: bytes, begin: int, number: int, part: Sequence[News]
    ) -> Published:
        """Return frames that were missed, each written once whoever asks how often."""
        texts = []
        for news in part:
            assert news.resume_at is not None, "it has a number"
            key = account, news.resume_at
            text = self._texts.get(key)
            if text is None:
                if len(self._texts) >= TEXTS_MAX:
                    del self._texts[next(iter(self._texts))]
                text = self._texts[key] = news_text(news)
            texts.append(text)
        return message(
            {
                "channel": "orders",
                "type": "missed",
                "from": begin,
                "number": number,
                "frames": msgspec.Raw(b"[%b]" % b",".join(texts)),
            }
        )

    def _own_settlement(self, account: bytes) -> Published:
        """Return how far all fills are that are kept: that they moved has no number."""
        users = self._services.user_stream
        states: dict[TradeState, list[int]] = {}
        for fill in users.fills(account, FILLS_MAX):
            states.setdefault(users.state_of(fill), []).append(fill.trade_id)
        rows = [
            stream_schemas.SettledTrades(settlement=settlement_row(state), trades=trades)
            for state, trades in states.items()
        ]
        number = users.frame_number(account)
        return message(stream_schemas.OwnSettlements(number=number, settlements=rows))


def _one(channel: str, make: Make) -> Maker:
    return Maker(channel, lambda: [make])
