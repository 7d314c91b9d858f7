"""Does a failing disk ever cost an acknowledged command? Each system call fails once, for real.

strace makes call number N of a thread on one file fail with EIO or ENOSPC, or kills the process
there, while a target starts, commits, rotates, keeps snapshots (in a forked child) and recovers on
real files. How it must take that is stated for each kind of call. The next process finds every
acknowledged command, each once, and goes on.
"""

import os
import re
import shutil
from collections import Counter
from random import Random
from typing import NamedTuple

import pytest

from tests.crash.acknowledged import Log, run_target

pytestmark = pytest.mark.strace

HALF, WHOLE = 30, 60
SYNCS = ("fdatasync", "fsync")
CHANGES = (
    *("pwrite64", "ftruncate", "fallocate", "rename", "renameat", "renameat2"),
    *("unlink", "unlinkat", "mkdir", "mkdirat", *SYNCS),
)
LOOKS = ("openat", "read", "newfstatat", "getdents64", "flock")
EIO, ENOSPC, SIGKILL = "error=EIO", "error=ENOSPC", "signal=SIGKILL"
CALL = re.compile(r'(\d+) +(\w+)\(.*?(?:"(/[^"]+)"|\b\d+<(/[^>]+)>)')
"""One line of strace: thread, call, and the first file by name or by open file."""
SEED = 5


class Case(NamedTuple):
    """Call number ``number`` on one file, of the first thread that makes it, meets ``harm``."""

    is_recovery: bool
    call: str
    name: str
    number: int
    harm: str


def traced(directory, names, log, calls):
    """Return a strace command for those ``calls`` that touch the files ``names``."""
    watched = [part for name in names for part in ("-P", str(directory / name))]
    chosen = f"trace={','.join(f'?{call}' for call in calls)}"
    return ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", chosen, *watched]


def most_calls(log, directory):
    """Return by (call, file) how often the thread that makes it most often does."""
    calls, most = Counter(), {}
    for match in map(CALL.match, log.open()):
        if match:
            thread, call, *paths = match.groups()
            name = os.path.relpath(paths[0] or paths[1], directory)
            calls[thread, call, name] += 1
    for (_, call, name), count in calls.items():
        most[call, name] = max(count, most.get((call, name), 0))
    return most


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Run it undisturbed: which files are there, and how often does a thread make each call?

    Twice, because a first start and a recovery are not the same.
    """
    scratch = tmp_path_factory.mktemp("undisturbed")
    names = {"."}
    for last in (HALF, WHOLE):
        assert run_target("script", scratch / "seen", last).code == 0
        names |= {str(path.relative_to(scratch / "seen")) for path in scratch.glob("seen/**/*")}
    names |= {f"{name}.new" for name in names if "." in name[1:]}
    counts, log = [], scratch / "trace"
    for last in (HALF, WHOLE):
        program = traced(scratch / "counted", sorted(names), log, CHANGES + LOOKS)
        assert run_target("script", scratch / "counted", last, under=program).code == 0
        counts.append(most_calls(log, scratch / "counted"))
        if last == HALF:
            shutil.copytree(scratch / "counted", scratch / "half")
    return Story(counts, scratch / "half")


class Story(NamedTuple):
    """What an undisturbed target does."""

    counts: list
    half: object

    def cases(self):
        """Return everything that may happen to it; where a call changes nothing, only EIO."""
        return [
            Case(is_recovery, call, name, number, harm)
            for is_recovery in (False, True)
            for (call, name), count in sorted(self.counts[is_recovery].items())
            for number in range(1, count + 1)
            for harm in ((EIO, ENOSPC, SIGKILL) if call in (*CHANGES, "openat") else (EIO,))
        ]


def taken(life):
    """Return in two words how the target took it."""
    if life.was_killed:
        return "killed"
    if life.code:
        return "ended" if life.said("state") else "not started"
    if life.said("unkept"):
        return "no snapshot"
    if life.said("passed-over"):
        return "passed over"
    if life.said("low"):
        return "cancels only" if life.said("low") == [["cancels"]] else "nothing taken"
    return "went on"


def expected(case):
    """Return all ways in which it may be taken; "no snapshot" is the child that met it."""
    if case.harm == SIGKILL:
        return {"killed", "no snapshot"}
    if case.harm == ENOSPC and case.call == "fallocate":
        # Room is asked for ahead of need: the last batch may end before anybody is refused. The
        # very first file cannot be made: nothing is taken until there is room.
        return {"cancels only", "nothing taken", "no snapshot", "not started", "went on"}
    if case.harm == ENOSPC and case.call in ("openat", "rename", "renameat", "renameat2"):
        # A directory too may have no room for one more name.
        ways = {"cancels only", "nothing taken", "no snapshot", "not started", "went on"}
        return ways | ({"passed over"} if case.call == "openat" else set())
    if case.is_recovery and case.call in ("mkdir", "mkdirat"):
        return {"went on", "no snapshot"}  # The directory is there already.
    if case.call == "newfstatat":  # Who reads a file does not need to know its size before.
        return {"ended", "not started", "no snapshot", "passed over", "went on"}
    if case.call in ("openat", "read"):
        return {"ended", "not started", "no snapshot", "passed over"}
    return {"ended", "not started", "no snapshot"}


def fail_once(directory, story, case):
    """Let it happen, start again, compare; return how it was taken."""
    log, trace = Log(directory), directory.with_suffix(".trace")
    if case.is_recovery:
        shutil.copytree(story.half, directory)
    last = WHOLE if case.is_recovery else HALF
    inject = ("-e", f"inject={case.call}:{case.harm}:when={case.number}")
    program = [*traced(directory, [case.name], trace, [case.call]), *inject]
    life = run_target("script", directory, last, under=program)
    log.add(life)
    how = taken(life)
    assert case.harm == SIGKILL or "(INJECTED)" in trace.read_text(), f"{case} did not happen"
    assert how in expected(case), f"{case} was taken as {how!r}: {life.error[-2000:]}"
    again = run_target("script", directory, WHOLE)
    log.add(again)
    assert again.code == 0 and log.is_complete(WHOLE), f"{case}: {again.error[-2000:]}"
    return how


def run_cases(tmp_path, story, cases):
    """Return how often each harm was taken in each way."""
    occurred = Counter()
    for number, case in enumerate(cases):
        directory = tmp_path / str(number)
        occurred[case.harm, fail_once(directory, story, case)] += 1
        shutil.rmtree(directory)
    return occurred


def test_some_calls(tmp_path, story):
    dice, everything = Random(SEED), story.cases()
    pinned = [
        *dice.sample([c for c in everything if c.call in SYNCS and c.harm == EIO], 4),
        *dice.sample([c for c in everything if c.call == "fallocate" and c.harm == ENOSPC], 3),
        *dice.sample([c for c in everything if c.call == "rename" and c.harm == ENOSPC], 1),
    ]
    for harm in (EIO, ENOSPC, SIGKILL):
        pinned += dice.sample([case for case in everything if case.harm == harm], 4)
    occurred = run_cases(tmp_path, story, pinned)
    for wanted in ((SIGKILL, "killed"), (EIO, "ended"), (ENOSPC, "cancels only")):
        assert occurred[wanted], occurred


@pytest.mark.soak
def test_every_call(tmp_path, story):
    everything = story.cases()
    occurred = run_cases(tmp_path, story, everything)
    assert occurred.total() == len(everything) > 300, occurred
