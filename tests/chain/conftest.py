"""Chains for the tests of settlement: the real nodes, never a stand-in."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from settlement.chain.chain import Chain
from settlement.chain.dev.devchain import DevChain, dev_secret, start_devchain
from settlement.chain.signer import SecretSigner, Transaction
from tests.in_memory import tmp_path

__all__ = ("tmp_path",)

POLLS_MAX = 400


class Clock:
    """Unix nanoseconds that a test can push ahead; otherwise wall time, as blocks need it."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


NODES = ["eth-tester", pytest.param("anvil", marks=pytest.mark.node)]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Whoever asks for anvil by name needs what npm installs."""
    if "anvil" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.node)


@pytest.fixture(params=NODES)
def devchain(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[DevChain]:
    """A fresh chain, once on each node."""
    with start_devchain(tmp_path / "chain", request.param, clock) as chain:
        yield chain


@pytest.fixture
def anvil(tmp_path: Path, clock: Clock) -> Iterator[DevChain]:
    """A fresh anvil, for what only anvil can do: reorganise, drop, stop mining."""
    with start_devchain(tmp_path / "chain", "anvil", clock) as chain:
        yield chain


def until(condition: Callable[[], bool]) -> None:
    """Ask ``condition`` until it holds; each call has to do some work of its own."""
    for _ in range(POLLS_MAX):
        if condition():
            return
    raise AssertionError(f"still not so after {POLLS_MAX} polls")


def transfer(chain: Chain, sender: int, nonce: int, wei: int = 1) -> bytes:
    """Return a raw transfer from development account ``sender``."""
    transaction = Transaction(
        chain.chain_id, nonce, b"\x22" * 20, b"", 21_000, 10**11, 10**9, value=wei
    )
    return SecretSigner(dev_secret(sender)).sign_transaction(transaction)
