"""What a released version has written is read by each later one and means the same, for ever.

``golden/`` has a journal of each release, as ``tillbook export`` published it then; how they are
made is in ``makegolden.py``. A change of the engine that fails here needs a new engine version.
"""

from pathlib import Path

import pytest

from engine.core import Engine
from engine.journal import DirectoryReader
from engine.sequencer.replay import Replay
from settlement.audit.export import EventLog, differences, read_manifest, replay_files

GOLDEN = Path(__file__).parent / "golden"
RELEASES = sorted(path for path in GOLDEN.iterdir() if path.is_dir())


def name_of(release):
    return release.name


def test_there_is_a_golden_journal():
    assert RELEASES, "a release without one cannot be upgraded safely"


@pytest.mark.parametrize("release", RELEASES, ids=name_of)
def test_the_reference_engine_comes_to_the_same_end(release):
    outcome = replay_files(sorted(release.glob("*.journal")), None)

    assert differences(outcome, read_manifest(release)) == []


@pytest.mark.parametrize("release", RELEASES, ids=name_of)
def test_the_core_engine_comes_to_the_same_end(release):
    replay, log, manifest = Replay(DirectoryReader(release), Engine), EventLog(), None
    for committed in replay.batches():
        log.add(committed.events)
    manifest = read_manifest(release)

    assert log.digest() == manifest.events_hash
    assert replay.machine.state_hash().hex() == manifest.state_hash
    assert replay.reader.head.hex() == manifest.head
    assert replay.reader.sequence == manifest.last_sequence >= 1_000
    assert len(manifest.segments) >= 3 and manifest.poisoned
    replay.machine.check()
