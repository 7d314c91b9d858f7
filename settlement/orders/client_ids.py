"""Which order has this name?

A client id belongs to one order of its account from when that is admitted: while it is on its way
or stands, and once it was accepted for a day from then, so that who asks again after a lost answer,
or by mistake, gets no second order. After a refusal it is free at once. Bounded: of names whose
orders have ended the last are kept, of each account and of all.
"""

from collections import OrderedDict
from typing import Final

import msgspec

from engine.kept import Kept

KEPT_NS: Final = 24 * 3_600 * 10**9
"""How long from its acceptance on an order keeps its name, whatever became of it."""

OF_ACCOUNT_MAX: Final = 4_096
"""Names of orders that have ended, kept an account."""

ENDED_MAX: Final = 1 << 17
"""And of all accounts together: 50 MB. Where that is full, who has more than his share of it gives
up his own, so that not a few accounts can make us forget what others had."""

Name = tuple[bytes, str]
"""(account, client id)."""


class Ended(Kept, frozen=True):
    """An order that was accepted and is over."""

    digest: bytes
    order_id: int
    accepted_ns: int


class SavedIds(msgspec.Struct):
    """What a snapshot keeps."""

    taken: dict[Name, bytes]
    ended: list[tuple[bytes, str, Ended]]


class ClientIds:
    """Digests by name."""

    def __init__(self, of_account_max: int = OF_ACCOUNT_MAX, ended_max: int = ENDED_MAX) -> None:
        self._of_account_max, self._ended_max = of_account_max, ended_max
        self._taken: dict[Name, bytes] = {}
        """Names of orders that are on their way or stand."""
        self._ended: OrderedDict[Name, Ended] = OrderedDict()
        """The first ended first, as is each of these; its front is found at once however many
        have left it, which a plain ``dict`` does not promise."""
        self._ended_of: dict[bytes, OrderedDict[str, None]] = {}

    def copy(self) -> "ClientIds":
        """Return one to roll back on; of those that have ended nothing is rolled back."""
        twin = ClientIds(self._of_account_max, self._ended_max)
        twin._taken = dict(self._taken)
        twin._ended, twin._ended_of = self._ended, self._ended_of
        return twin

    def save(self) -> SavedIds:
        """Return what a snapshot keeps."""
        return SavedIds(self._taken, [(*name, ended) for name, ended in self._ended.items()])

    def load(self, saved: SavedIds) -> None:
        """Take what ``save`` returned."""
        self._taken = saved.taken
        self._ended, self._ended_of = OrderedDict(), {}
        for account, client_id, ended in saved.ended:
            self._keep((account, client_id), ended)

    def digest_of(self, account: bytes, client_id: str) -> bytes | None:
        """Return the order of that name that is on its way or stands."""
        return self._taken.get((account, client_id))

    def ended_of(self, account: bytes, client_id: str) -> Ended | None:
        """Return the last order of that name that has ended, if it is kept."""
        return self._ended.get((account, client_id))

    def other(self, account: bytes, client_id: str, digest: bytes, now_ns: int) -> bytes | None:
        """Return the digest of another order that has this name now; None if it is to be had."""
        if not client_id:
            return None
        taken = self._taken.get((account, client_id))
        if taken is not None:
            return None if taken == digest else taken
        ended = self._ended.get((account, client_id))
        if ended is None or ended.digest == digest or now_ns - ended.accepted_ns >= KEPT_NS:
            return None
        return ended.digest

    def take(self, account: bytes, client_id: str, digest: bytes) -> None:
        """Give an order its name."""
        if client_id:
            self._taken[account, client_id] = digest

    def free(self, account: bytes, client_id: str, digest: bytes) -> None:
        """It was refused, or never came: another may have its name now."""
        if self._taken.get((account, client_id)) == digest:
            del self._taken[account, client_id]

    def end(self, account: bytes, client_id: str, ended: Ended, now_ns: int) -> None:
        """An accepted order is over, at ``now_ns`` of the log."""
        if not client_id:
            return
        self.free(account, client_id, ended.digest)
        while self._ended:
            name, oldest = next(iter(self._ended.items()))
            if now_ns - oldest.accepted_ns < KEPT_NS:
                break
            self._forget(name)
        self._forget((account, client_id))
        self._keep((account, client_id), ended)
        if len(self._ended_of[account]) > self._of_account_max:
            self._forget((account, next(iter(self._ended_of[account]))))
        if len(self._ended) > self._ended_max:
            mine = self._ended_of[account]
            has_more_than_its_share = len(mine) * len(self._ended_of) > self._ended_max
            gone = (account, next(iter(mine))) if has_more_than_its_share else None
            self._forget(gone or next(iter(self._ended)))

    def _keep(self, name: Name, ended: Ended) -> None:
        self._ended[name] = ended
        self._ended_of.setdefault(name[0], OrderedDict())[name[1]] = None

    def _forget(self, name: Name) -> None:
        if self._ended.pop(name, None) is None:
            return
        account, client_id = name
        mine = self._ended_of[account]
        del mine[client_id]
        if not mine:
            del self._ended_of[account]
