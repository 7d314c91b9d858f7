"""What happened on chain that the ledger could not take, and is still due?

A deposit larger than the ledger can hold, one of an account for which there is no room, an exit
that waits for such a deposit. Nobody else is held up by it, and it is never dropped: it stands in
the outbox file until it is booked, and reconciliation counts it as what the vault has and the
ledger has not.
"""

from collections import Counter
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from engine.types import Outcome
from settlement.outbox import tables
from settlement.outbox.outbox import Outbox
from settlement.watching.deposits import Likeness, Money, Ranked, likeness
from settlement.watching.watcher import Deposited, ExitCancelled, ExitFinished, ExitRequested

RETRY_NS: Final = 60 * 10**9
"""How long between two attempts to book what is due."""

KINDS: Final[dict[str, type[Money]]] = {
    kind.__name__: kind for kind in (Deposited, ExitRequested, ExitCancelled, ExitFinished)
}

Holding = tuple[bytes, bytes]
"""(account, token)."""


class Due(NamedTuple):
    """One thing that is not booked, and why it was refused last."""

    one: Ranked
    outcome: Outcome

    def __str__(self) -> str:
        value, amount = self.one.value, getattr(self.one.value, "amount", 0)
        return (
            f"{type(value).__name__} of 0x{value.account.hex()}, {amount} pips of "
            f"0x{value.token.hex()}, transaction 0x{value.at.tx_hash.hex()}, is not booked: "
            f"{self.outcome.name}"
        )


class Unbooked:
    """The list of what is due, in the outbox file and in memory. For one thread."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._due: dict[tuple[Likeness, int], Due] = {}
        with outbox.writing() as db:
            for kind, value, rank, outcome in db.execute(_EVERYTHING):
                read = msgspec.msgpack.decode(value, type=KINDS[kind])
                due = Due(Ranked(read, rank), Outcome[outcome])
                self._due[likeness(read), rank] = due

    def due(self) -> list[Due]:
        """Return everything that is due, in chain order."""
        return sorted(self._due.values(), key=_place)

    def __len__(self) -> int:
        return len(self._due)

    def keep(self, one: Ranked, outcome: Outcome) -> None:
        """Put ``one`` on the list, on disk when this returns; its block may be another by now."""
        like = likeness(one.value)
        due = Due(one, outcome)
        if self._due.get((like, one.rank)) == due:
            return
        at = one.value.at
        with self._outbox.writing() as db:
            db.execute(tables.unbooked.delete().where(_is(like, one.rank)))
            db.execute(
                tables.unbooked.insert().values(
                    tx_hash=like[0],
                    likeness=msgspec.msgpack.encode(like[1:]),
                    rank=one.rank,
                    block_number=at.block_number,
                    log_index=at.log_index,
                    kind=type(one.value).__name__,
                    value=msgspec.msgpack.encode(one.value),
                    outcome=outcome.name,
                )
            )
        self._due[like, one.rank] = due

    def forget(self, one: Ranked) -> None:
        """It is booked, or it is on chain no more."""
        like = likeness(one.value)
        if self._due.pop((like, one.rank), None) is None:
            return
        with self._outbox.writing() as db:
            db.execute(tables.unbooked.delete().where(_is(like, one.rank)))

    def waits(self, account: bytes, token: bytes) -> Outcome | None:
        """Return why a deposit of this holding is still due; None if none is."""
        for due in self._due.values():
            value = due.one.value
            if isinstance(value, Deposited) and (value.account, value.token) == (account, token):
                return due.outcome
        return None

    def pips(self) -> Counter[Holding]:
        """Return by how much vault and ledger differ for it."""
        found: Counter[Holding] = Counter()
        for due in self._due.values():
            value = due.one.value
            if isinstance(value, Deposited):
                found[value.account, value.token] += value.amount
            elif isinstance(value, ExitFinished):
                found[value.account, value.token] -= value.amount
        return found


_EVERYTHING: Final = sa.select(
    tables.unbooked.c.kind,
    tables.unbooked.c.value,
    tables.unbooked.c.rank,
    tables.unbooked.c.outcome,
)


def _is(like: Likeness, rank: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        tables.unbooked.c.tx_hash == like[0],
        tables.unbooked.c.likeness == msgspec.msgpack.encode(like[1:]),
        tables.unbooked.c.rank == rank,
    )


def _place(due: Due) -> tuple[int, int]:
    at = due.one.value.at
    return at.block_number, at.log_index
