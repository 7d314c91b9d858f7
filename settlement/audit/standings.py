"""What did vault and ledger have for an account, at the block where they were last compared?

The reconciler writes it down on the worker's thread; anybody may ask on any other. Of whom a
report is asked comes into the next comparison.
"""

import threading
from collections.abc import Mapping
from typing import Final, NamedTuple

KEPT_MAX: Final = 4_096
WANTED_MAX: Final = 64
"""Who is beyond it comes by turns, as everybody does."""


class Held(NamedTuple):
    """One token, in pips: by the ledger with what is ``on_the_way`` taken back, and in the vault.

    ``on_the_way`` has changed the ledger and had not changed the vault at that block.
    """

    ledger: int
    chain: int
    on_the_way: int


class Standing(NamedTuple):
    """An account at a final block. The ledger was read behind command ``sequence``, whose newest
    trade was ``trade_id``."""

    block: int
    block_hash: bytes
    block_s: int
    sequence: int
    trade_id: int
    held: Mapping[bytes, Held]


class Standings:
    """The last comparison of each account, of so many accounts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[bytes, Standing] = {}
        self._wanted: dict[bytes, None] = {}

    def of(self, account: bytes) -> Standing | None:
        """Return it, None before there is one; ``account`` is compared at the next final block."""
        with self._lock:
            if len(self._wanted) < WANTED_MAX:
                self._wanted[account] = None
            return self._kept.get(account)

    def wanted(self, count: int) -> list[bytes]:
        """Return up to ``count`` accounts that somebody has asked for, who asked first first."""
        with self._lock:
            found = list(self._wanted)[:count]
            for account in found:
                del self._wanted[account]
            return found

    def note(self, found: Mapping[bytes, Standing]) -> None:
        """Keep what a comparison has found; who was compared longest ago goes first."""
        with self._lock:
            for account, standing in found.items():
                self._kept.pop(account, None)
                self._kept[account] = standing
            for account in list(self._kept)[: max(len(self._kept) - KEPT_MAX, 0)]:
                del self._kept[account]
