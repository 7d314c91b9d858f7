"""The port is taken, or the directory is: whoever starts us reads a sentence, not a traceback."""

import asyncio
import socket

import pytest
from fastapi import FastAPI

from engine.journal.storage import StorageInUse
from gateway.cli import main as cli
from gateway.http.server import CannotListenError, HttpServer
from settlement.chain.dev.devchain import DevChainError


def test_found_a_port_that_is_taken_ended_in_an_assertion() -> None:
    async def story(port: int) -> None:
        with pytest.raises(CannotListenError, match=f"in use.*{port}"):
            await HttpServer(FastAPI(), "127.0.0.1", port).start()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(story(taken.getsockname()[1]))


@pytest.mark.parametrize("kind", [StorageInUse, CannotListenError, DevChainError])
def test_what_can_be_mended_is_one_line(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    async def start() -> int:
        raise kind("another process has it")

    with pytest.raises(SystemExit) as ended:
        cli._run(start())
    assert ended.value.code == 1
    assert capsys.readouterr().out == "another process has it\n"
