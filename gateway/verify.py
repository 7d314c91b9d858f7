"""How does somebody who trusts nobody check an exchange? By its log, a node, and nothing else.

Replays the log with the plain engine, the oracle, and holds every command, trade and batch against
the chain (``settlement.audit``). Reads only; works beside a running exchange.
"""

from collections.abc import Callable
from pathlib import Path

from engine.journal import DirectoryReader, JournalCorrupt
from engine.reference import Engine
from engine.replay import Replay
from settlement.audit import Audit
from settlement.chain import node_at
from settlement.deploy import connect
from settlement.published import read_published


def verify(directory: Path, url: str, deployment: Path, say: Callable[[str], None]) -> list[str]:
    """Return all that is wrong with the log in ``directory``; tell ``say`` what was looked at.

    Raises ``ChainUnavailableError``, ``DeploymentError`` and OSError.
    """
    chain = node_at(url)
    contracts = connect(chain, deployment)
    published = read_published(chain, contracts)
    say(f"{len(published.batches)} batches on chain at 0x{contracts.exchange.hex()}")
    audit = Audit(contracts.domain, published)
    try:
        for committed in Replay(DirectoryReader(directory), Engine).batches():
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
