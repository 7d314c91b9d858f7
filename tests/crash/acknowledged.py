"""What was a client told before the process died, and does the journal keep every word of it?

``run_target`` is the client: it notes each acknowledgement as it comes and kills when told to.
``Log`` holds what was told over many lives of the target against the files, without its help.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.events import EventKind
from engine.journal import DirectoryReader
from engine.journal.mark import read_mark
from engine.journal.reader import Reader
from engine.reference import Engine
from engine.sequencer.replay import Replay
from tests.crash.target import SPARE

ROOT = Path(__file__).parents[2]


class Life(NamedTuple):
    """One process from start to end."""

    code: int
    told: list[tuple[int, int]]
    """(serial, sequence) of every acknowledgement, in the order heard"""
    words: list[list[str]]
    """all other lines"""
    error: str

    def said(self, word: str) -> list[list[str]]:
        """Return the lines that begin with ``word``, without it."""
        return [rest for first, *rest in self.words if first == word]

    @property
    def was_killed(self) -> bool:
        """Tell whether SIGKILL ended it; 137 is how a program around it says so."""
        return self.code in (-signal.SIGKILL, 128 + signal.SIGKILL)


def run_target(
    mode: str,
    directory: Path,
    last: int,
    *,
    under: Sequence[str] = (),
    kill_when: Callable[[Life], bool] = lambda life: False,
) -> Life:
    """Run the target, perhaps ``under`` another program, until it ends or is killed."""
    program = [*under, sys.executable, "-m", "tests.crash.target", mode, str(directory), str(last)]
    life = Life(0, [], [], "")
    log = directory.parent / f"{directory.name}.stderr"
    with (
        log.open("wb+") as stderr,
        subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr) as target,
    ):
        for line in target.stdout or ():
            first, *rest = line.decode().split()
            if first.isdecimal():
                life.told.append((int(first), int(rest[0])))
            else:
                life.words.append([first, *rest])
            if kill_when(life):
                target.send_signal(signal.SIGKILL)
    return life._replace(code=target.returncode, error=log.read_text())


def journaled(directory: Path) -> dict[int, int]:
    """Return serial by sequence of all that stands in the files; an unfinished end does not."""
    found = {}
    for batch in Reader(DirectoryReader(directory / "journal")).batches():
        sequences = batch.commands["sequence"].tolist()
        found.update(zip(sequences, map(int, batch.attachments), strict=True))
    return found


def state_after(directory: Path, sequence: int) -> str:
    """Return the state hash that the reference has after replaying all history to there."""
    replay = Replay(DirectoryReader(directory / "journal"), Engine)
    for committed in replay.batches(frozenset([sequence])):
        if committed.last_sequence == sequence:
            return replay.machine.state_hash().hex()
    raise AssertionError(f"no batch ends at {sequence}")


def trades_in(directory: Path) -> int:
    """Return how many trades all history has made."""
    replay = Replay(DirectoryReader(directory / "journal"), Engine)
    kinds = [committed.events["kind"] for committed in replay.batches()]
    return sum(int((kind == EventKind.TRADE).sum()) for kind in kinds)


class Log:
    """Everything that the client of one directory was ever told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.promised: dict[int, int] = {}

    def add(self, life: Life) -> None:
        """Take what one life has told, and hold the journal to all of it."""
        what = f"ended with {life.code}: {life.error[-2000:]}"
        for serial, sequence in life.told:
            assert self.promised.setdefault(serial, sequence) == sequence, f"two answers; {what}"
        if not (self.directory / "journal").is_dir():
            assert not self.promised, f"all is gone; {what}"
            return
        synced = read_mark(DirectoryReader(self.directory / "journal")).sequence
        assert all(sequence <= synced for _, sequence in life.told), f"told unsynced; {what}"
        kept = journaled(self.directory)
        assert list(kept) == list(range(1, len(kept) + 1)), f"sequences are dense; {what}"
        assert len(set(kept.values())) == len(kept), f"something happened twice; {what}"
        for serial, sequence in self.promised.items():
            assert kept.get(sequence) == serial, f"{serial} was told to be {sequence}; {what}"

    def is_complete(self, last: int) -> bool:
        """Tell whether every serial up to ``last`` was acknowledged, and nothing unasked for."""
        serials = {serial for serial in self.promised if serial < SPARE}
        return serials == set(range(1, last + 1))
