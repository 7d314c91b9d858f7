"""What does ``tillbook run`` add to the exchange, so that a newcomer can try it at once?

Makers with signed quotes, two who trade while somebody watches, a small shop to buy from, a
customer's wallet behind a button, a wallet to borrow, and a way in for one's own. All of it uses
worthless tokens of the embedded chain; none of it exists outside a sandbox.
"""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import structlog
from rich.console import Console

from engine.types import PIPS_PER_TOKEN, Outcome, Side
from gateway.api.services import PageTerms
from gateway.http.clients import Network
from gateway.http.public_url import public_url_of
from gateway.node.closing import HardLimit
from gateway.node.held_keys import read_held_keys
from gateway.node.node import Stack
from gateway.node.settings import AdminPlan, ChainName, Settings, sandbox_settings
from gateway.node.shop_routers import shop_routers
from gateway.sandbox import actors, tools
from gateway.sandbox.demo_wallet import DemoWallet, Faucet, demo_wallet_router
from gateway.sandbox.exceptions import accidents_of, accidents_router
from gateway.sandbox.funding import fill_vault
from gateway.sandbox.invented_rates import invented_rates
from gateway.sandbox.routes import SandboxShop, sandbox_router
from gateway.sandbox.startup import starting
from gateway.sandbox.traders import Range, Rhythm, Traders
from gateway.sandbox.wallet import TransactionLost, Wallet
from gateway.trading.rejection import Rejection
from settlement.chain.dev.devchain import dev_secret
from settlement.orders.catalog import Market

BLOCK_SECONDS: Final = 0.25
QUOTE_DAYS: Final = 30
FUNDING_POLLS_MAX: Final = 600
FUNDING_POLL_SECONDS: Final = 0.05
DEPOSITS: Final = {"TOKEN": 10_000 * PIPS_PER_TOKEN, "USD": 30_000_000 * PIPS_PER_TOKEN}
QUOTES: Final = {
    actors.MAKER_ONE: actors.Quotes(250_005, 5, 20, levels=12, lots=500_000),
    actors.MAKER_TWO: actors.Quotes(250_005, 15, 30, levels=12, lots=700_000),
}
SECOND_MARKET: Final = "TOKEN-EUR"
SECOND_DEPOSIT: Final = 10_000_000 * PIPS_PER_TOKEN
SECOND_QUOTES: Final = {
    actors.MAKER_ONE: actors.Quotes(225_005, 10, 30, levels=6, lots=500_000, lane=64),
    actors.MAKER_TWO: actors.Quotes(225_005, 20, 40, levels=6, lots=700_000, lane=64),
}
"""How the same makers quote against the second stablecoin, that shops may be paid in as well."""

ROAMED: Final = Range(250_005, 420)
"""Where the demo traders' price wanders; the makers leave them that room."""

WIDE_QUOTES: Final = {
    who: quotes._replace(spread_ticks=ROAMED.reach_ticks + 80 + quotes.spread_ticks)
    for who, quotes in QUOTES.items()
}


async def keep_blocks_coming(stack: Stack) -> None:
    """Mine an empty block while something waits for confirmations; else leave the chain alone."""
    while True:
        await asyncio.sleep(BLOCK_SECONDS)
        if stack.parts.chain_loop.waits_for_blocks:
            await asyncio.to_thread(stack.devchain.mine)


class Listening(NamedTuple):
    """Where the sandbox listens, how browsers reach it and whose word about clients it takes."""

    host: str
    port: int
    public_url: str
    trusted_proxies: tuple[Network, ...] = ()
    bound: socket.socket | None = None
    """The socket for it, bound already."""
    admin: AdminPlan | None = None
    managed_keys: Path | None = None
    """A file of session keys in our keeping."""
    merchants_database: str = ""


async def run_sandbox(
    directory: Path,
    listening: Listening,
    chain: ChainName,
    console: Console,
    trades_per_minute: int = 0,
) -> int:
    """Run until SIGTERM or SIGINT; return the exit code. Demo traders do so many steps a minute."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    public_url = public_url_of(listening.public_url, listening.host, listening.port)
    settings = _settings(directory, listening, chain)
    async with AsyncExitStack() as closing:
        limit = closing.enter_context(HardLimit())
        with starting(console) as recovering:
            stack = await closing.enter_async_context(
                Stack(settings, recovering=recovering, stop=stop)
            )
        wallets = {
            who: Wallet(dev_secret(who), stack.chain, stack.parts.exchange.domain)
            for who in range(actors.GIVER + 1)
        }
        shop = SandboxShop(stack, wallets[actors.MERCHANT], wallets[actors.CUSTOMER])
        makers = WIDE_QUOTES if trades_per_minute else QUOTES
        accidents = accidents_of(stack, shop, wallets, makers)
        stack.public_url = public_url
        stack.page = PageTerms(sandbox=True)
        faucet = Faucet(stack, wallets[actors.GIVER])
        stack.routers += shop_routers(stack, public_url, f"{stack.devchain.name} (sandbox)")
        stack.routers += [
            sandbox_router(stack, shop),
            accidents_router(accidents),
            demo_wallet_router(DemoWallet(wallets[actors.GUEST], stack), faucet),
        ]
        stack.parts.merchants.rates.take("sandbox", invented_rates(stack.now_ns()))
        await stack.serve()
        tasks = [asyncio.create_task(keep_blocks_coming(stack))]
        traders = Traders(
            stack, wallets[actors.TRADER], wallets[actors.VISITOR], ROAMED, Random(stack.now_ns())
        )
        await traders.clear()
        await open_market(stack, wallets, makers)
        shop.open()
        accidents.hasty.open()
        tasks.append(asyncio.create_task(_welcome(stack, faucet, wallets[actors.GUEST])))
        tasks.append(asyncio.create_task(_trade(stack, traders, wallets, trades_per_minute)))
        tasks.append(asyncio.create_task(tools.approve(stack, wallets[actors.GUEST])))
        _greet(console, stack, wallets[actors.GUEST], public_url)
        await stop.wait()
        limit.begin()
        console.print("Closing: answers under way go out first.")
        for task in tasks:
            task.cancel()
    return 0


def _settings(directory: Path, listening: Listening, chain: ChainName) -> Settings:
    return sandbox_settings(directory, listening.host, listening.port, chain)._replace(
        trusted_proxies=listening.trusted_proxies,
        listening=listening.bound,
        admin=listening.admin,
        merchants_database=listening.merchants_database,
        session_keys={**tools.held_keys(), **read_held_keys(listening.managed_keys)},
    )


async def _welcome(stack: Stack, faucet: Faucet, guest: Wallet) -> None:
    """See that whoever borrows the demo wallet can trade at once."""
    if any(
        sum(stack.parts.exchange.balance(guest.address, token.address))
        for token in stack.parts.catalog.tokens
    ):
        return
    try:
        await faucet.give(guest.address)
    except Rejection as refused:
        structlog.get_logger("guest").warning("not funded", why=refused.detail)


async def _trade(
    stack: Stack, traders: Traders, wallets: dict[int, Wallet], per_minute: int
) -> None:
    """Fund the trader who quotes, then let both trade, if they are to."""
    if not per_minute:
        return
    for symbol, pips in DEPOSITS.items():
        await _fund(stack, wallets[actors.TRADER], symbol, pips)
    channels = stack.views.channels
    await traders.run(Rhythm(per_minute), lambda: channels.subscription_count > 0)


async def open_market(
    stack: Stack,
    wallets: dict[int, Wallet],
    makers: Mapping[int, actors.Quotes] = QUOTES,
    second_makers: Mapping[int, actors.Quotes] = SECOND_QUOTES,
) -> None:
    """See that makers and visitor have money in the vault, and that the makers quote.

    As far as they can: whoever plays here may have bought one side of the book, halted the market
    or emptied a maker, of what it pays gas with too, for their keys are public. None of it keeps
    the sandbox from starting.
    """
    for who in (actors.MAKER_ONE, actors.MAKER_TWO, actors.VISITOR, actors.TRADER):
        for symbol, pips in DEPOSITS.items():
            await _fund(stack, wallets[who], symbol, pips)
    quoted = await _quote(stack, wallets, stack.parts.catalog.markets[0], makers)
    second = stack.parts.catalog.market(SECOND_MARKET)
    if second is not None and second_makers:  # A sandbox of an earlier build has none.
        for who in second_makers:
            await _fund(stack, wallets[who], second.quote.symbol, SECOND_DEPOSIT)
        quoted |= await _quote(stack, wallets, second, second_makers)
    if quoted:
        # Before that shops would have no price to quote.
        await asyncio.sleep(stack.settings.prices.age_ns / 10**9)


async def _quote(
    stack: Stack,
    wallets: dict[int, Wallet],
    market: Market,
    makers: Mapping[int, actors.Quotes],
) -> bool:
    """Let the makers quote where a side of the book is empty; return whether that was so."""
    depth = stack.parts.exchange.depth
    if depth(market, Side.BUY, 1) and depth(market, Side.SELL, 1):
        return False
    # Nonces are the time, so that quotes made anew after the old ones expired are new orders.
    now = stack.now_ns() // 10**9
    refused: Counter[str] = Counter()
    for who, quotes in makers.items():
        expiry = now + QUOTE_DAYS * 86_400
        for order in actors.quotes_of(wallets[who], market, quotes, nonce=now, expiry=expiry):
            result = await stack.parts.exchange.place(order)
            # Where its lane is busy the quote of an earlier start stands still.
            if not result.accepted and result.outcome is not Outcome.LANE_BUSY:
                refused[result.outcome.name] += 1
    if refused:
        structlog.get_logger("makers").warning("quotes refused", outcomes=dict(refused))
    return True


async def _fund(stack: Stack, wallet: Wallet, symbol: str, pips: int) -> None:
    """See that ``wallet`` has something of a token in the vault, and that the ledger knows it."""
    token = stack.parts.catalog.token(symbol)
    assert token is not None, "the sandbox lists it"
    for _ in range(FUNDING_POLLS_MAX):
        try:
            await asyncio.to_thread(fill_vault, stack.chain, stack.deployment, wallet, token, pips)
        except TransactionLost as lost:
            # Whoever has its key may have sent its native coin away.
            who = "0x" + wallet.address.hex()
            structlog.get_logger("makers").warning(
                "not funded", account=who, token=symbol, why=str(lost)
            )
            return
        if sum(stack.parts.exchange.balance(wallet.address, token.address)):
            return
        await asyncio.sleep(FUNDING_POLL_SECONDS)


def _greet(console: Console, stack: Stack, wallet: Wallet, public_url: str) -> None:
    customer = "0x" + dev_secret(actors.CUSTOMER).hex()
    lines = [
        "",
        f"[bold]Tillbook {public_url}[/bold]   ({stack.devchain.name}, chain "
        f"{stack.deployment.chain_id}, data in {stack.settings.directory})",
        "",
        f"  Market           {public_url}/",
        f"  A shop to try    {public_url}/shop   buy something and pay from the demo wallet",
        f"  API              {public_url}/openapi.json   stream at /v1/stream",
        f"  JSON-RPC         {public_url}/sandbox/rpc",
        f"  Demo wallet      {customer}",
        "                   a funded key of the embedded chain, worthless anywhere else",
        *tools.greeting(stack, wallet, public_url),
        f"  Operator token   in {stack.settings.directory / 'operator.token'}",
        "",
        "  Next: open the market page, then the shop; or `tillbook demo` for the story in text.",
        "  Ctrl-C stops it; nothing acknowledged is lost.",
        "",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
