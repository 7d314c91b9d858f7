"""What does ``tillbook bridge`` run? A program beside a trader's tools, on his own machine.

It listens on loopback alone and holds his session key, which never leaves it.
"""

import asyncio
import signal
from pathlib import Path
from typing import Final

from rich.console import Console

from gateway.api.binance.bridge.app import bridge_app
from gateway.api.binance.bridge.exchange import NoExchange, RemoteExchange
from gateway.api.binance.bridge.key_file import read_key_file
from gateway.api.binance.bridge.signing import OrderSigner
from gateway.http.server import HttpServer

LOOPBACK: Final = "127.0.0.1"


async def run_bridge(base: str, key_file: Path, port: int, console: Console) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. Raises ``KeyFileError``, OSError."""
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
