"""A node that takes the question and never answers costs one bounded wait, not the whole day."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.chain.chain import Chain, ChainUnavailableError, node_at
from settlement.chain.dev.devchain import start_devchain
from settlement.chain.quorum import QuorumChain
from settlement.outbox.actions import ActionState
from tests.chain.conftest import Clock, until
from tests.chain.venue import Venue

SILENCE_SECONDS = 1


@pytest.fixture
def silent_url() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_it_is_asked_once_and_not_five_times(silent_url: str):
    node = node_at(silent_url, SILENCE_SECONDS)
    began = time.monotonic()
    with pytest.raises(ChainUnavailableError, match="eth_getBlockByNumber"):
        node.head()
    assert SILENCE_SECONDS <= time.monotonic() - began < 3 * SILENCE_SECONDS


def test_what_is_no_json_is_no_answer():
    """A proxy's page, say: found as an error that would have ended the process."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            taken, _ = listening.accept()
            with taken:
                taken.recv(65_536)
                taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")

        proxy = threading.Thread(target=answer)
        proxy.start()
        with pytest.raises(ChainUnavailableError):
            node_at(f"http://127.0.0.1:{listening.getsockname()[1]}", SILENCE_SECONDS).head()
        proxy.join()


def answering(answer: bytes) -> Iterator[str]:
    """An address with a key in it, where one question gets ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            taken, _ = listening.accept()
            with taken:
                taken.recv(65_536)
                taken.sendall(answer)

        node = threading.Thread(target=serve)
        node.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v3/{KEY}"
        node.join()


KEY = "the-key-of-our-account"
SAYS = f"no such account, see https://node.example/v3/{KEY} for url: /v3/{KEY}"
ERROR = f'{{"jsonrpc": "2.0", "id": 0, "error": {{"code": -32000, "message": "{SAYS}"}}}}'.encode()
ANSWERS = {
    "too many requests": b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
    "hangs up": b"",
    "an error in words": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(ERROR), ERROR),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_found_the_key_in_a_nodes_address_stood_in_the_public_answer(what: str):
    for url in answering(ANSWERS[what]):
        with pytest.raises(ChainUnavailableError) as failed:
            node_at(url, SILENCE_SECONDS).head()
        told = f"{failed.value} {failed.value!r} {failed.value.__cause__}"
        assert KEY not in told and "127.0.0.1" not in told
        assert "eth_getBlockByNumber" in told, "which question it was"
        assert failed.value.node == "http://127.0.0.1", "who it was, for the log alone"


class Hung:
    """A node none of whose methods returns before the test is over."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over

    def __getattr__(self, name: str) -> Any:
        def wait(*_: Any, **__: Any) -> None:
            self._over.wait()
            raise ChainUnavailableError("too late")

        return wait


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_two_of_three_nodes_compare_vault_and_ledger_without_the_third(
    tmp_path: Path, clock: Clock, over: threading.Event
):
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as devchain:
        venue = Venue(tmp_path, devchain, clock)
        venue.fund()
        true, hung = devchain.chain, Hung(over)
        nodes: Any = [hung, true, true]
        chain: Chain = QuorumChain(nodes, 2)
        judge = venue.reconciler(chain)
        final = chain.head().number

        assert judge.compare(judge.cut(), final) == judge.compare(judge.cut(), final) == []
        assert judge.block == final
        assert chain.base_fee() > 0
        venue.reopen(chain)
        venue.trade(1)
        venue.settler.seal_now()
        until(lambda: not venue.settler.step())
        assert [state.state for state in venue.settler.batches(9)] == [ActionState.FINAL], "sent"
        over.set()
        venue.close()
