"""How does somebody who trusts nobody check an exchange? By its log, a node, and nothing else.

Replays the log with the plain engine, the oracle, and holds every command, trade and batch against
the chain (``settlement.audit``). Reads only; works beside a running exchange.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from engine.commands import COMMAND
from engine.frames import Committed
from engine.journal import Journal, JournalCorrupt
from engine.reference import Engine
from engine.types import Limits
from settlement.audit import Audit
from settlement.chain import node_at
from settlement.deploy import connect
from settlement.published import read_published

BATCH: Final = 4096
FILE_PATTERN: Final = "*.journal"


class LogFiles:
    """Journal files that are read and never written (``engine.journal`` storage)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def names(self) -> list[str]:
        """Return the files in order."""
        return sorted(path.name for path in self._directory.glob(FILE_PATTERN))

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return (self._directory / name).read_bytes()

    def append(self, name: str, raw: bytes) -> None:
        """Never: a reader writes nothing, and what it was not given to read it leaves alone."""

    def sync(self, name: str) -> None:
        """Nothing to do: what is read was written by somebody else."""

    def truncate(self, name: str, size: int) -> None:
        """Leave a tail that was not acknowledged where it is; it is not read either."""


def replay(directory: Path, limits: Limits) -> Iterator[Committed]:
    """Yield the log in ``directory`` with the events of the reference engine.

    Raises ``JournalCorrupt`` where the log contradicts its own hashes.
    """
    engine = Engine(limits)
    records = Journal(LogFiles(directory)).recover()
    while chunk := list(islice(records, BATCH)):
        commands = np.frombuffer(b"".join(record.command for record in chunk), COMMAND).copy()
        yield Committed(
            chunk[0].sequence,
            commands,
            [record.attachment for record in chunk],
            engine.apply(commands),
            [record.head for record in chunk],
        )


def verify(
    directory: Path, url: str, deployment: Path, say: Callable[[str], None], limits: Limits
) -> list[str]:
    """Return all that is wrong with the log in ``directory``; tell ``say`` what was looked at.

    Raises ``ChainUnavailableError``, ``DeploymentError`` and OSError.
    """
    chain = node_at(url)
    contracts = connect(chain, deployment)
    published = read_published(chain, contracts)
    say(f"{len(published.batches)} batches on chain at 0x{contracts.exchange.hex()}")
    audit = Audit(contracts.domain, published)
    try:
        for committed in replay(directory, limits):
            audit.consume(committed)
    except JournalCorrupt as fault:
        return [*audit.faults, f"the log contradicts its own hashes: {fault}"]
    except (AssertionError, ValueError, LookupError) as fault:
        return [*audit.faults, f"the log cannot be replayed after {audit.command_count}: {fault}"]
    faults = audit.judge()
    unsettled = audit.command_count - audit.settled_count
    say(f"{audit.command_count} commands, {audit.trade_count} trades in the log")
    say(f"{max(unsettled, 0)} commands at its end are in no batch yet")
    return faults
