"""Does the story survive SIGKILL at any moment, with nothing lost and nothing doubled?

A real process on real files and a real chain. Each round kills the teller at a random moment of
the story and tells it again on the same directory; then journal, chain and shop are audited.
"""

import random
import signal
import subprocess
import time
from collections import Counter

import pytest

from engine.core import Engine
from engine.journal import DirectoryStorage, Journal
from engine.sequencer.sequencer import Sequencer
from engine.types import Limits
from settlement.protocol.evidence import DepositEvidence, SignedOrder, decode
from tests.processes import Tillbook

STORY_SECONDS_MAX = 120
ROUNDS = 7
"""Of a story of a few seconds, two processes each. ``tests/sim`` kills at every seam there is."""

SEED = 20261123


def tell(directory, kill_after=None):
    """Tell the story; return (exit code, output). Kill it ``kill_after`` seconds from its start."""
    teller = Tillbook("demo", "--data", str(directory))
    try:
        output, _ = teller.communicate(timeout=kill_after or STORY_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        teller.kill()
        output, _ = teller.communicate()
    return teller.returncode, output


def audit(directory):
    """Replay the journal on its own and count what must have happened exactly once."""
    storage = DirectoryStorage(directory / "journal")
    sequencer = Sequencer(Engine, Journal(storage, Limits()), lambda: 0)
    evidence, digests, trades = Counter(), Counter(), 0
    with_ref = 0
    for batch in sequencer.recover():
        trades = max(trades, int(batch.events["trade_id"].max()) if len(batch.events) else 0)
        for entry in batch.entries:
            match decode(entry.attachment):
                case DepositEvidence(tx_hash, log_index, _, ref):
                    evidence[tx_hash, log_index] += 1
                    with_ref += ref != bytes(32)
                case SignedOrder(digest=digest):
                    digests[digest] += 1
    sequencer.machine.check()
    storage.close()
    return evidence, digests, with_ref, trades


@pytest.fixture(scope="module")
def story_seconds(tmp_path_factory):
    """Tell it once undisturbed, so that we know how long it takes."""
    began = time.monotonic()
    code, output = tell(tmp_path_factory.mktemp("undisturbed"))
    assert code == 0, output
    return time.monotonic() - began


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_killed_once_and_told_again(tmp_path, story_seconds, round_number):
    moment = random.Random(SEED + round_number).uniform(0.3, 1.0) * story_seconds

    killed, before = tell(tmp_path, kill_after=moment)
    code, output = tell(tmp_path)

    assert killed in (-signal.SIGKILL, 0), before
    assert code == 0, f"killed after {moment:.2f} s\n{before}\n----\n{output}"
    assert "Equal to the unit." in output
    evidence, digests, with_ref, trades = audit(tmp_path)
    assert set(evidence.values()) == {1}, "each deposit is credited once"
    assert set(digests.values()) == {1}, "each order is sequenced once"
    assert with_ref == 1, "one payment, one credit"
    assert trades == 1, "one sale, one trade"


def test_killed_again_and_again_the_story_still_ends(tmp_path, story_seconds):
    rng = random.Random(SEED)
    for _ in range(4):
        tell(tmp_path, kill_after=rng.uniform(0.3, 0.9) * story_seconds)

    code, output = tell(tmp_path)

    assert code == 0, output
    evidence, digests, with_ref, trades = audit(tmp_path)
    assert set(evidence.values()) == {1} and set(digests.values()) == {1}
    assert (with_ref, trades) == (1, 1)
