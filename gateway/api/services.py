"""What does the gateway need from the rest of the house?

One frozen record, handed to ``create_app``. Nothing in the gateway reaches for anything else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from fastapi import APIRouter

from gateway.http.clients import Clients
from gateway.http.metrics import Metrics
from gateway.http.mounting import Together
from gateway.http.outbox import OutboxBounds
from gateway.trading.api_keys import ApiKeys, HeldKey
from gateway.trading.budgets import RateLimits
from gateway.trading.sessions import SessionIssuer
from gateway.views.candles import Candles
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.trade_states import BatchView
from gateway.views.transfers import Transfers
from gateway.views.user_orders import UserStream
from settlement.audit.proofs import TradeProof
from settlement.batches.acknowledgements import Acknowledgement
from settlement.orders.market_states import MarketStates
from settlement.ports import ExchangePort, GrantState, SettlementPort

SOCKETS_PER_CLIENT: Final = 128


def _nobody() -> None:
    """Tell nobody."""


class PageTerms(NamedTuple):
    """What the trading page is told beside the API: whether the sandbox's demo wallet and test
    money are there, and where people look at a transaction: its hash is put behind that."""

    sandbox: bool = False
    explorer_url: str = ""


NO_PAGE_TERMS: Final = PageTerms()


class SettlementView(SettlementPort, Protocol):
    """The settlement port and, for the pages, its last batches."""

    def grant_state(self, signature: bytes) -> GrantState | None:
        """Return how far the relay of the grant with that signature is; None if there is none.
        Reads a database: not for the event loop's thread."""

    def receipt(self, trade_id: int) -> TradeProof | None:
        """Return the proof of one trade; None if no batch carries it. Decodes a batch: not for the
        event loop's thread."""

    def batches(self, limit: int) -> list[BatchView]:
        """Return up to ``limit`` batches, newest first."""


@dataclass(frozen=True)
class Services:
    """Constructor arguments of the gateway.

    ``not_ready`` returns what is still missing before work may be taken, in plain words; empty
    means ready; ``restrictions`` what is not taken although we are ready. ``now_ns`` is the clock
    of sessions, metrics and tickers. ``routers`` are mounted as they are (merchants, a sandbox);
    they refuse by raising ``gateway.trading.rejection.Rejection``. ``acknowledge`` signs the
    operator's word on the order accepted at a sequence, unless that is too long ago. ``contracts``
    are addresses by name, as clients are told. ``clients`` tells whom to charge,
    ``sockets_per_client`` how many
    WebSockets one of them may hold. ``happened`` hears of each request that may change something
    outside of the log. ``public_url`` is how browsers reach us, empty where nobody has said: then
    nobody signs in by EIP-4361. Metrics are for who has ``operator_token``; for nobody if that
    is empty. ``api_keys`` are for the dialect that other exchanges' tools speak, which is not there
    without; ``session_keys`` are those in our keeping, by account.
    """

    exchange: ExchangePort
    contracts: Mapping[str, bytes]
    settlement: SettlementView
    channels: Channels
    market_data: MarketData
    candles: Candles
    market_states: MarketStates
    user_stream: UserStream
    transfers: Transfers
    sessions: SessionIssuer
    limits: RateLimits
    metrics: Metrics
    now_ns: Callable[[], int]
    not_ready: Callable[[], list[str]]
    acknowledge: Callable[[int], Acknowledgement | None]
    version: str
    outbox_bounds: OutboxBounds
    routers: tuple[APIRouter | Together, ...] = ()
    restrictions: Callable[[], list[str]] = list
    clients: Clients = field(default_factory=Clients)
    sockets_per_client: int = SOCKETS_PER_CLIENT
    operator_token: str = ""
    api_keys: ApiKeys | None = None
    session_keys: Mapping[bytes, HeldKey] = field(default_factory=dict)
    happened: Callable[[], None] = _nobody
    public_url: str = ""
    page: PageTerms = NO_PAGE_TERMS
