"""Is a command synced before anybody is told that it happened? The kernel is the ack_oracle.

strace notes every write, sync and answer of a whole process in the order in which they happened.
"""

import re

import pytest

from tests.crash.acknowledged import run_target

pytestmark = pytest.mark.strace

BEGUN = re.compile(r'(\d+) +(\w+)\((\d+)<([^>]*)>(?:, "(\d+) \d+\\n")?')
ENDED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>.* = \d+$")
COMMANDS = 60


def judge(lines):
    """Return how many answers there were; AssertionError for one that came before its sync."""
    unsynced, syncing, answers = set(), {}, 0
    for line in lines:
        if ended := ENDED.match(line):
            if ended[2] == "fdatasync":
                unsynced.discard(syncing.pop(ended[1]))
            continue
        if (begun := BEGUN.match(line)) is None:
            continue
        thread, call, file, path, serial = begun.groups()
        if call == "pwrite64" and path.endswith(".journal"):
            unsynced.add(path)
        elif call == "fdatasync" and line.rstrip().endswith("<unfinished ...>"):
            syncing[thread] = path
        elif call == "fdatasync" and line.rstrip().endswith("= 0"):
            unsynced.discard(path)
        elif call == "write" and file == "1" and serial:
            assert not unsynced, f"{serial} was answered before {unsynced} was synced"
            answers += 1
    return answers


def test_every_answer_comes_after_its_sync(tmp_path):
    trace = tmp_path / "trace"
    chosen = ("-e", "trace=pwrite64,fdatasync,write", "-o", str(trace))
    life = run_target("script", tmp_path / "d", COMMANDS, under=["strace", "-f", "-y", *chosen])
    assert life.code == 0 and len(life.told) == COMMANDS
    lines = trace.read_text().splitlines()
    assert judge(lines) == COMMANDS
    without_syncs = [line for line in lines if "fdatasync" not in line]
    with pytest.raises(AssertionError, match="answered before"):
        judge(without_syncs)
