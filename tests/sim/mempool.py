"""Who sees what is on its way into a block, and what do they do with it?

The pool is public, and whoever makes a block orders it as he likes: only the nonces of one sender
come in their order. A countersigned withdrawal is anybody's to send once it has been in the pool,
now or after a reorganisation, so strangers copy some and get ahead of the one they copied.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from settlement.protocol.abi import abi_types
from settlement.protocol.eip712 import keccak256
from tests.sim.chain import Blocks

STRANGER: Final = b"\x5a" * 20
WITHDRAW: Final = keccak256(
    f"withdraw({','.join(abi_types('Exchange', 'function', 'withdraw'))})".encode()
)[:4]

Place = tuple[bytes, int]
"""Sender and nonce."""


class Mempool:
    """The pool as strangers see it."""

    def __init__(
        self, blocks: Blocks, copied_ppm: int, dice: Random, count: Callable[[str], None]
    ) -> None:
        self._blocks, self._copied_ppm = blocks, copied_ppm
        self._dice, self._count = dice, count
        self._public: dict[bytes, bytes] = {}
        """Calldata of every withdrawal that nobody has copied yet, with the contract it is for."""

    def look(self) -> None:
        """Remember what is in the pool; copy some of what ever was there."""
        for sent in self._blocks.pool.values():
            if sent.calldata[:4] == WITHDRAW and sent.sender != STRANGER:
                self._public.setdefault(sent.calldata, sent.to)
        for calldata, to in list(self._public.items()):
            if self._dice.randrange(10**6) < self._copied_ppm:
                self._count("withdrawal sent by a stranger")
                self._blocks.act(STRANGER, to, calldata)
                del self._public[calldata]

    def choose(self, ready: list[Place]) -> Place:
        """Return what comes next into a block, of all that the nonces allow."""
        return self._dice.choice(ready)
