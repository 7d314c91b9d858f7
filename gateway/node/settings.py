"""What does an operator decide, and what does a sandbox decide for him?"""

import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from engine.types import PIPS_PER_TOKEN, Limits
from gateway.api.admin.tokens import OperatorTokens
from gateway.api.services import SOCKETS_PER_CLIENT
from gateway.http.clients import Network
from gateway.http.doorkeeper import DoorBounds
from gateway.trading.api_keys import HeldKey
from gateway.trading.budgets import Budgets
from merchants.sales.rate_reader import RateSource
from merchants.sales.rates import NO_RATES, RateTerms
from merchants.sales.reference_prices import PriceTerms
from settlement.chain.deploy import Delays, TokenPlan
from settlement.chain.dev.devchain import dev_secret
from settlement.chain.signer import SecretSigner, Signer
from settlement.protocol.payer_roads import SigningDomain, TokenRoads

ChainName = Literal["auto", "anvil", "eth-tester"]


class Remote(NamedTuple):
    """A chain that others run: its nodes, of which a majority must agree, and the record of where
    the contracts are."""

    urls: tuple[str, ...]
    deployment: Path


class MarketPlan(NamedTuple):
    """A market to list on first start; sizes in pips as in ``settlement.orders.catalog.Market``."""

    symbol: str
    base: str
    quote: str
    lot_pips: int
    tick_pips: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    least_notional_pips: int = 0


class ExchangeSettings(NamedTuple):
    """What is decided of the exchange itself, wherever its parts are and whoever reaches it."""

    limits: Limits
    confirmations: int
    batch_age_ns: int
    prices: PriceTerms
    least_withdrawals: Mapping[str, int]
    """Pips by token symbol."""
    sign_up: bool
    """Whether a merchant may make his own account and store, with his wallet alone."""

    rates: RateTerms = NO_RATES


class AdminPlan(NamedTuple):
    """Where operators are listened to, and who they are."""

    host: str
    port: int
    tokens: OperatorTokens
    listening: socket.socket | None = None
    """Bound already."""


class Settings(NamedTuple):
    """What an operator decides; everything else follows."""

    directory: Path
    host: str
    port: int
    chain: ChainName | Remote
    operator: Signer
    deployer: Signer | None
    """Deploys on an embedded chain; a remote one has the contracts already."""

    tokens: tuple[TokenPlan, ...]
    markets: tuple[MarketPlan, ...]
    delays: Delays = Delays()
    limits: Limits = Limits()
    budgets: Budgets = Budgets()
    confirmations: int = 2
    batch_age_ns: int = 250_000_000
    prices: PriceTerms = PriceTerms()
    rates: RateTerms = NO_RATES
    rate_sources: tuple[RateSource, ...] = ()
    """Who is asked for them; in the order of ``rates.sources``."""

    least_withdrawal_pips: Mapping[str, int] = MappingProxyType({})
    """By token symbol; goes before what ``tokens`` say."""

    token_roads: Mapping[str, TokenRoads] = MappingProxyType({})
    """What tokens can do beside ERC-20, by symbol: how payers' wallets may be asked."""

    sandbox: bool = False
    sign_up: bool = False
    """See ``ExchangeSettings``."""
    explorer_url: str = ""
    """Where people look at a transaction; its hash is put behind it."""

    merchants_database: str = ""
    """URL of the Postgres database that shops' rows are in; empty: a file in ``directory``."""

    trusted_proxies: tuple[Network, ...] = ()
    door: DoorBounds = DoorBounds()
    sockets_per_client: int = SOCKETS_PER_CLIENT
    session_keys: Mapping[bytes, HeldKey] = MappingProxyType({})
    """Session keys that traders have given into our keeping, by account."""

    listening: socket.socket | None = None
    """Bound to ``host`` and ``port`` before any of this was begun; None: bind when all is ready."""
    admin: AdminPlan | None = None
    """None: there is no API for operators."""

    @property
    def exchange(self) -> ExchangeSettings:
        """Return what is decided of the exchange itself."""
        return ExchangeSettings(
            self.limits,
            self.confirmations,
            self.batch_age_ns,
            self.prices,
            {token.symbol: token.least_withdrawal_pips for token in self.tokens}
            | dict(self.least_withdrawal_pips),
            self.sign_up,
            self.rates,
        )


def sandbox_settings(directory: Path, host: str, port: int, chain: ChainName) -> Settings:
    """Return a whole exchange on an embedded chain with worthless tokens: one to pay with, and two
    stablecoins of different currencies that shops may be paid in."""
    return Settings(
        directory=directory,
        host=host,
        port=port,
        chain=chain,
        operator=SecretSigner(dev_secret(0)),
        deployer=SecretSigner(dev_secret(9)),
        tokens=(
            TokenPlan("Demo Dollar", "USD", 6, least_withdrawal_pips=PIPS_PER_TOKEN),
            TokenPlan("Demo Token", "TOKEN", 18),
            TokenPlan("Demo Euro", "EUR", 6, least_withdrawal_pips=PIPS_PER_TOKEN),
        ),
        markets=tuple(
            MarketPlan(
                symbol=f"TOKEN-{quote}",
                base="TOKEN",
                quote=quote,
                lot_pips=10_000,
                tick_pips=100,
                maker_fee_ppm=200,
                taker_fee_ppm=1_000,
                least_notional_pips=PIPS_PER_TOKEN,
            )
            for quote in ("USD", "EUR")
        ),
        # Its two makers quote at once, and nothing was ever traded when the first invoice is made.
        # A euro is 10/9 dollars here, as the invented rates say too.
        prices=PriceTerms(
            age_ns=10**9,
            references={
                "TOKEN-USD": 2_500 * PIPS_PER_TOKEN,
                "TOKEN-EUR": 2_250 * PIPS_PER_TOKEN,
            },
        ),
        # Invented, as its tokens are.
        rates=RateTerms(sources=("sandbox",), sources_min=1),
        # Everybody in a sandbox comes from the same loopback address.
        budgets=Budgets(
            requests_per_address=100_000,
            cancels_per_address=100_000,
            orders_per_account=100_000,
            cancels_per_account=100_000,
            orders_per_address=100_000,
            withdrawals_per_account=100_000,
            probes_per_address=100_000,
            proofs_per_address=100_000,
        ),
        token_roads={
            "USD": TokenRoads(permit=SigningDomain("Demo Dollar", "1")),
            "TOKEN": TokenRoads(permit=SigningDomain("Demo Token", "1")),
            "EUR": TokenRoads(permit=SigningDomain("Demo Euro", "1")),
        },
        sandbox=True,
        sign_up=True,
        door=DoorBounds(per_network_max=5_000),
        sockets_per_client=5_000,
    )
