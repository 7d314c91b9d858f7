"""What do ``tillbook bridge`` and ``tillbook bridge-key`` run?

A program beside a trader's tools, on his own machine: it listens on loopback alone and holds his
session key, which never leaves it. And what gets it that key.
"""

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

LOOPBACK: Final = "127.0.0.1"
PORT: Final = 8789
PIP_DIGITS: Final = 8

ExchangeOption = Annotated[str, typer.Option("--exchange", help="The exchange's address, a URL.")]
MarketOption = Annotated[str, typer.Option("--market", help="The market that it may trade in.")]
DaysOption = Annotated[int, typer.Option(help="How long the session key lasts.", min=1, max=365)]
CapOption = Annotated[
    int, typer.Option(help="How much it may trade, in whole quote tokens.", min=1)
]
FloorOption = Annotated[
    str, typer.Option(help="The lowest price it may sell at, in quote tokens a base token.")
]


async def run_bridge(base: str, key_file: Path, port: int, console: Console) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. Raises ``KeyFileError``, OSError."""
    from gateway.api.binance.bridge.app import bridge_app
    from gateway.api.binance.bridge.exchange import NoExchange, RemoteExchange
    from gateway.api.binance.bridge.key_file import read_key_file
    from gateway.api.binance.bridge.signing import OrderSigner
    from gateway.http.server import HttpServer

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    key, base = read_key_file(key_file), base.rstrip("/")
    exchange = RemoteExchange(base, key.account_bytes)
    try:
        await exchange.begin()
    except NoExchange as error:
        console.print(f"The exchange at {base} {error}")
        return 1
    server = HttpServer(bridge_app(exchange, OrderSigner(key, exchange), base), LOOPBACK, port)
    port = await server.start()
    console.print(
        f"Bridge to {base} at http://{LOOPBACK}:{port}/api/v3, streams at "
        f"ws://{LOOPBACK}:{port}/ws, requests at ws://{LOOPBACK}:{port}/ws-api/v3",
        highlight=False,
        soft_wrap=True,
    )
    await stop.wait()
    await server.stop()
    return 0


async def make_bridge_key(
    base: str,
    wallet_file: Path,
    key_file: Path,
    scope: tuple[str, int, int, str],
    console: Console,
) -> int:
    """Write a key file or renew its API key; return the exit code.

    ``scope`` is market, days, cap in quote tokens and floor price. Raises ``KeyFileError``,
    OSError.
    """
    from gateway.api.binance.bridge.exchange import NoExchange
    from gateway.api.binance.bridge.setup import Scope, Setup, wallet_secret
    from gateway.api.binance.errors import Refused
    from gateway.api.binance.numbers import pips_of

    market, days, cap, floor = scope
    try:
        wanted = Scope(market, days, cap * 10**PIP_DIGITS, pips_of(floor, "floor"))
        key = await asyncio.to_thread(
            Setup(base.rstrip("/"), wallet_secret(wallet_file)).run, key_file, wanted
        )
    except (NoExchange, Refused) as error:
        console.print(f"The exchange at {base} {error}")
        return 1
    console.print(
        f"{key_file} holds the session key of {key.account}. For your tools:\n"
        f"  API key  {key.api_key}\n  secret   {key.secret_key}",
        highlight=False,
        soft_wrap=True,
    )
    return 0
