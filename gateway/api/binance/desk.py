"""What does this dialect need from the rest of the gateway? One record, and what a request is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from gateway.api.binance.errors import BAD_SYMBOL, Refused
from gateway.api.binance.params import Params
from gateway.api.binance.signer import ManagedKeys
from gateway.api.binance.symbols import Symbols
from gateway.http.lifecycle import Lifecycle
from gateway.http.metrics import Metrics
from gateway.http.outbox import OutboxBounds
from gateway.trading.api_keys import ApiKey, ApiKeys
from gateway.trading.budgets import Left, RateLimits
from gateway.trading.order_entry import OrderEntry
from gateway.trading.recv_window import RecvWindow
from gateway.trading.sessions import Session, SessionIssuer
from gateway.views.candles import Candles
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.user_orders import UserStream
from settlement.orders.catalog import Market
from settlement.orders.market_states import MarketStates
from settlement.ports import ExchangePort

ROWS_AT_ONCE: Final = 16
"""Rows written in one turn of the loop: some tenths of a millisecond, whatever they are of."""

Item = TypeVar("Item")


class Turns(Protocol):
    """Lets others have their turn of the loop."""

    async def __call__(self) -> None:
        """Return in the loop's next turn."""


@dataclass(frozen=True)
class Desk:
    """All that answers here are made of."""

    exchange: ExchangePort
    entry: OrderEntry
    market_data: MarketData
    user_stream: UserStream
    candles: Candles
    states: MarketStates
    channels: Channels
    limits: RateLimits
    metrics: Metrics
    lifecycle: Lifecycle
    sessions: SessionIssuer
    keys: ApiKeys
    managed: ManagedKeys
    symbols: Symbols
    bounds: OutboxBounds
    now_ns: Callable[[], int]
    orders_max: int
    turn: Turns

    @property
    def now_ms(self) -> int:
        """Return the exchange's clock as this dialect counts it."""
        return self.exchange.now_ns() // 1_000_000

    def market(self, name: str) -> Market:
        """Return the market called ``name`` here; refused where there is none."""
        found = self.symbols.market(name)
        if found is None:
            raise Refused(BAD_SYMBOL)
        return found

    async def rows(self, items: Iterable[Item], row: Callable[[Item], object]) -> msgspec.Raw:
        """Return ``items`` as a JSON array, written some in each turn of the loop: nobody waits
        for who asks for many."""
        texts: list[bytes] = []
        for item in items:
            texts.append(msgspec.json.encode(row(item)))
            if len(texts) % ROWS_AT_ONCE == 0:
                await self.turn()
        return msgspec.Raw(b"[%b]" % b",".join(texts))


class Caller(NamedTuple):
    """Who asks, as the secret of an API key has proven."""

    key: ApiKey

    @property
    def account(self) -> bytes:
        """Return whose key it is."""
        return self.key.account

    @property
    def session(self) -> Session | None:
        """Return the session that may trade, if that is what the key is for."""
        return self.key.session


@dataclass
class Call:
    """One request, wherever it came from. ``caller`` is None where nobody had to say who asks."""

    desk: Desk
    params: Params
    client: str
    caller: Caller | None = None
    window: RecvWindow | None = None
    charged: list[Left] = field(default_factory=list)

    def market(self) -> Market:
        """Return the market that the request names."""
        return self.desk.market(self.params.need("symbol"))

    @property
    def who(self) -> Caller:
        """Return who asks, where it was asked for."""
        assert self.caller is not None, "the table says that it has to be known"
        return self.caller

    @property
    def account(self) -> bytes:
        """Return whose account it is."""
        return self.who.account

    @property
    def session(self) -> Session:
        """Return the session of a key that may trade."""
        session = self.who.session
        assert session is not None, "the table says that the key has to be one that may trade"
        return session


def named(markets: dict[str, Market], call: Call) -> Sequence[tuple[str, Market]]:
    """Return the markets that ``symbol`` or ``symbols`` name, or all of them."""
    params = call.params
    if params.text("symbol"):
        return [(params.text("symbol"), call.market())]
    if not params.text("symbols"):
        return list(markets.items())
    try:
        names = msgspec.json.decode(params.text("symbols"), type=list[str])
    except msgspec.DecodeError:
        raise Refused(BAD_SYMBOL) from None
    return [(name, call.desk.market(name)) for name in names[: len(markets)]]
