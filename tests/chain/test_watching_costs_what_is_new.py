"""How many questions a look at the chain costs does not grow with the addresses that are watched.

Found: after 100,000 invoices each poll asked for logs 501 times.
"""

import tracemalloc
from collections import Counter
from typing import Any

import pytest

from settlement.chain.chain import Block, LogFilter
from settlement.protocol.eip712 import keccak256
from settlement.watching.watcher import FILTERED_MAX, Watcher

OPEN = 100
QUESTIONS_MAX = 3
"""The exchange's logs, what comes to those addresses and what leaves them."""

BYTES_MAX = 256 * 1024
"""What one poll may hold; 100,000 addresses in a list of their own would be 800 kB and more."""


class Counted:
    """A chain of empty blocks that counts what it is asked for."""

    chain_id = 1

    def __init__(self) -> None:
        self.number = 10
        self.asked: Counter[str] = Counter()

    def _block(self, number: int) -> Block:
        own, parent = (keccak256(at.to_bytes(8, "big")) for at in (number, number - 1))
        return Block(number, own, parent, 1_800_000_000 + number, 30_000_000)

    def head(self) -> Block:
        return self._block(self.number)

    def block(self, number: int) -> Block:
        return self._block(number)

    def logs_of(self, _block: Block, wanted: list[LogFilter]) -> list[Any]:
        self.asked["logs"] += len(wanted)
        words = [topic for one in wanted for topic in one.topics if isinstance(topic, list)]
        self.asked["words"] = max(self.asked["words"], *map(len, words))
        return []


class NoOutbox:
    """Where the watcher keeps how far it is."""

    def cursor(self, _name: str) -> int:
        return 5

    def move_cursor(self, _name: str, _value: int) -> None:
        pass


@pytest.mark.parametrize("ever", [0, 100, 10_000, 100_000])
def test_a_poll_asks_the_same_however_many_invoices_there_were(ever: int):
    chain = Counted()
    watcher = Watcher(chain, NoOutbox(), bytes(20), 5, 1)  # type: ignore[arg-type]
    for number in range(3):
        watcher.watch_token(keccak256(b"token %d" % number)[12:])
    for number in range(ever + OPEN):
        watcher.watch(keccak256(number.to_bytes(8, "big"))[12:])
    watcher.poll()
    chain.number += 1
    chain.asked.clear()

    tracemalloc.start()
    watcher.poll()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert chain.asked["logs"] <= QUESTIONS_MAX
    assert chain.asked["words"] <= FILTERED_MAX
    assert most < BYTES_MAX
