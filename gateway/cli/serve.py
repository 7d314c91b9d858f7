"""What does ``tillbook serve`` run? An exchange on contracts that are deployed, on any chain.

The operator's key comes from an encrypted keystore; nothing here deploys, mines or funds anything.
"""

import asyncio
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from rich.console import Console

from engine.types import MONEY_MAX
from gateway.http.clients import Network
from gateway.http.public_url import public_url_of
from gateway.node.closing import HardLimit
from gateway.node.held_keys import read_held_keys
from gateway.node.node import Stack
from gateway.node.settings import AdminPlan, MarketPlan, Remote, Settings
from gateway.node.shop_routers import shop_routers
from merchants.records.amounts import pips_of_decimal
from merchants.records.currencies import EXPONENTS
from merchants.sales.rate_reader import RateSource
from merchants.sales.rates import NO_RATES, RateTerms
from merchants.sales.reference_prices import PriceTerms
from settlement.chain.signer import KeystoreSigner
from settlement.protocol.payer_roads import SigningDomain, TokenRoads

PLANNED: Final = len(MarketPlan._fields)
"""The fields of a listed market that are the plan's come first."""


class ListedRoads(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a token can do: name and version of the EIP-712 domain under which it takes ERC-2612
    permits and ERC-3009 authorizations, and whether payers are led to Permit2."""

    permit: tuple[str, str] | None = None
    authorization: tuple[str, str] | None = None
    permit2: bool = False


class ListedMarket(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One market of the markets file; the fields are those of ``MarketPlan``, and a price.

    ``reference_price`` is what the operator says the token is worth, a decimal string: shops quote
    by it until enough is traded. Without it they wait for the first trades.
    ``least_withdrawal_pips`` are by symbol of its tokens: less is not paid out, for it should be
    worth the gas of a payment. ``token_roads`` say, by symbol, what tokens can do beside ERC-20;
    each is held against the chain before anybody is asked to sign.
    """

    symbol: str
    base: str
    quote: str
    lot_pips: int
    tick_pips: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    least_notional_pips: int = 0
    reference_price: str = ""
    least_withdrawal_pips: dict[str, Annotated[int, msgspec.Meta(ge=1, le=MONEY_MAX)]] = {}
    token_roads: dict[str, ListedRoads] = {}


class NamedSource(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One source of exchange rates; ``form`` is one of ``merchants.sales.rate_sources.FORMS``."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    form: Literal["ecb", "openexchangerates"]
    url: str
    pace_s: Annotated[int, msgspec.Meta(ge=60)] = 3600


class RatesFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Who is believed about exchange rates, and which currency each stablecoin stands for."""

    sources: list[NamedSource]
    pegs: dict[str, str] = {}
    sources_min: Annotated[int, msgspec.Meta(ge=1)] = 2


class Serving(NamedTuple):
    """The options of ``tillbook serve``."""

    directory: Path
    host: str
    port: int
    remote: Remote
    keystore: Path
    password_file: Path
    markets: Path
    confirmations: int
    public_url: str
    trusted_proxies: tuple[Network, ...] = ()
    listening: socket.socket | None = None
    """Bound already."""
    admin: AdminPlan | None = None
    managed_keys: Path | None = None
    explorer_url: str = ""
    merchants_database: str = ""
    rates: Path | None = None
    sign_up: bool = False


def settings_of(serving: Serving) -> Settings:
    """Return the settings; reads keystore, password and markets.

    Raises OSError, ``KeystoreError``, ``KeyFileError`` and ValueError; none shows a secret.
    """
    password = serving.password_file.read_text().rstrip("\r\n")
    plans = msgspec.json.decode(serving.markets.read_bytes(), type=list[ListedMarket])
    rates, rate_sources = _rates(serving.rates)
    return Settings(
        directory=serving.directory,
        host=serving.host,
        port=serving.port,
        chain=serving.remote,
        operator=KeystoreSigner.load(serving.keystore, password),
        deployer=None,
        tokens=(),
        markets=tuple(MarketPlan(*msgspec.structs.astuple(plan)[:PLANNED]) for plan in plans),
        least_withdrawal_pips=_least_withdrawals(plans),
        token_roads=_token_roads(plans),
        prices=PriceTerms(references=_references(plans)),
        rates=rates,
        rate_sources=rate_sources,
        confirmations=serving.confirmations,
        trusted_proxies=serving.trusted_proxies,
        explorer_url=serving.explorer_url,
        sign_up=serving.sign_up,
        merchants_database=serving.merchants_database,
        listening=serving.listening,
        admin=serving.admin,
        session_keys=read_held_keys(serving.managed_keys),
    )


def _rates(path: Path | None) -> tuple[RateTerms, tuple[RateSource, ...]]:
    """Return what the rates file says; raises ValueError for two sources of one name, and for a
    currency that there is not."""
    if path is None:
        return NO_RATES, ()
    said = msgspec.json.decode(path.read_bytes(), type=RatesFile)
    names = tuple(source.name for source in said.sources)
    if len(set(names)) < len(names):
        raise ValueError("two sources of exchange rates have one name")
    for symbol, currency in said.pegs.items():
        if currency not in EXPONENTS:
            raise ValueError(f"{symbol} cannot stand for {currency}: there is no such currency")
    sources = tuple(RateSource(s.name, s.form, s.url, s.pace_s) for s in said.sources)
    return RateTerms(names, said.sources_min, pegs=said.pegs), sources


def _references(plans: list[ListedMarket]) -> dict[str, int]:
    """Return the stated prices; raises ValueError for one that is no amount."""
    stated = {}
    for plan in plans:
        pips = pips_of_decimal(plan.reference_price) if plan.reference_price else None
        if plan.reference_price and not pips:
            raise ValueError(f"the reference price of {plan.symbol} is no amount")
        if pips:
            stated[plan.symbol] = pips
    return stated


def _token_roads(plans: list[ListedMarket]) -> dict[str, TokenRoads]:
    """Return what tokens can do, by symbol; raises ValueError where two markets differ."""
    roads: dict[str, TokenRoads] = {}
    for plan in plans:
        for symbol, listed in plan.token_roads.items():
            permit, authorization = (
                None if domain is None else SigningDomain(*domain)
                for domain in (listed.permit, listed.authorization)
            )
            known = TokenRoads(permit, authorization, listed.permit2)
            if roads.setdefault(symbol, known) != known:
                raise ValueError(f"two markets state other roads of {symbol}")
    return roads


def _least_withdrawals(plans: list[ListedMarket]) -> dict[str, int]:
    """Return the least payouts by token; raises ValueError where two markets differ, and for a
    token that the market does not trade."""
    least: dict[str, int] = {}
    for plan in plans:
        for symbol, pips in plan.least_withdrawal_pips.items():
            if symbol not in (plan.base, plan.quote):
                raise ValueError(f"{plan.symbol} does not trade {symbol}")
            if least.setdefault(symbol, pips) != pips:
                raise ValueError(f"two markets state another least withdrawal of {symbol}")
    return least


async def run_server(serving: Serving, console: Console) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as closing:
        limit = closing.enter_context(HardLimit())
        with console.status("Reading chain and journal ..."):
            stack = await closing.enter_async_context(Stack(settings_of(serving), stop=stop))
        domain, chain_id = stack.parts.exchange.domain, stack.deployment.chain_id
        url = public_url_of(serving.public_url, serving.host, serving.port)
        stack.public_url = url
        stack.routers += shop_routers(stack, url, f"chain {chain_id}")
        port = await stack.serve()
        console.print(
            f"Tillbook at {serving.host}:{port}, exchange 0x{domain.contract.hex()} on chain "
            f"{chain_id}, operator 0x{stack.settings.operator.address.hex()}",
            highlight=False,
            soft_wrap=True,
        )
        await stop.wait()
        limit.begin()
        console.print("Closing: answers under way go out first.")
    return 0
