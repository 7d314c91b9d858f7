"""What does ``tillbook`` print about a journal, and with which exit code?

0: all is well. 1: read what was printed. What can be said in a sentence ends in no traceback.
"""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from engine.journal import JournalCorrupt
from engine.journal.snapshot import SnapshotDamaged
from engine.journal.storage import StorageInUse
from merchants.records.lost_end import SoldInWhatIsLost, step_back
from merchants.service import place_of
from settlement.audit import journal_tool
from settlement.audit.export import differences, export, read_manifest, replay_files
from settlement.audit.verify import NotVerified, verify

FINE = 0
LOOK = 1
NOTHING_SEEN = 2

DEPLOYMENT = "deployment.json"


def _reported(work: Callable[[], int], console: Console) -> int:
    try:
        return work()
    except (
        JournalCorrupt,
        SnapshotDamaged,
        SoldInWhatIsLost,
        StorageInUse,
        journal_tool.NotTrimmed,
        FileNotFoundError,
    ) as fault:
        console.print(str(fault), highlight=False, markup=False, soft_wrap=True)
        return LOOK


def _line(row: dict[str, Any]) -> str:
    return orjson.dumps(row).decode()


def say_verdict(directory: Path, deep: bool, console: Console) -> int:
    """Print what ``journal_tool.verify`` has found."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    def work() -> int:
        found = journal_tool.verify(directory, deep)
        say(f"{found.commands} commands in {found.batches} batches and {found.files} files")
        say(f"head {found.head}")
        for sequence in found.poisoned:
            say(f"command {sequence} is poisoned")
        for name, state in found.snapshots.items():
            say(f"{name}: {state}")
        for name in found.ambiguous:
            say(f"{name}: set aside, may have been acknowledged; see repair-tail")
        if found.tail is not None:
            tail = found.tail
            say(f"{tail.name} at byte {tail.offset}: the last batch is {tail.damage.value}")
        is_fine = found.tail is None and not found.ambiguous
        return FINE if is_fine and set(found.snapshots.values()) <= {"sound"} else LOOK

    return _reported(work, console)


def say_commands(directory: Path, first: int, count: int, console: Console) -> int:
    """Print commands."""

    def work() -> int:
        for row in journal_tool.dump(directory, first, count):
            console.print(_line(row), highlight=False, markup=False, soft_wrap=True)
        return FINE

    return _reported(work, console)


def say_repair(directory: Path, accept: bool, shops: str, console: Console) -> int:
    """Mend the end of the journal and print what may have been acknowledged.

    ``shops`` is the URL of their database where it is not in ``directory``.
    """

    def work() -> int:
        for row in journal_tool.repair_tail(directory):
            console.print(_line(row), highlight=False, markup=False, soft_wrap=True)
        if accept:
            for name in journal_tool.accept_tail(directory):
                console.print(f"{name}: reviewed", highlight=False, markup=False)
                _let_shops_go_on(directory, shops, name, console)
        waiting = journal_tool.verify(directory, deep=False).ambiguous
        for name in waiting:
            console.print(
                f"{name}: until you have looked and say --accept, only cancels are taken",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        return LOOK if waiting else FINE

    return _reported(work, console)


def _let_shops_go_on(directory: Path, shops: str, reviewed: str, console: Console) -> None:
    """Where shops have seen the batch in file ``reviewed``, let them see what takes its place."""
    place, end = place_of(directory, shops), journal_tool.end_of(directory)
    # No other loss: beside a log that goes on already, or that is too short, they must not.
    if isinstance(place, Path) and not place.exists():
        return
    if int(reviewed.partition("-")[0]) != end.sequence + 1:
        return
    seen = step_back(place, end)
    if seen is not None:
        console.print(
            f"The shops' database had seen commands up to {seen}: it goes on after {end.sequence}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def say_trimmed(directory: Path, exported: Path, console: Console) -> int:
    """Delete what nothing needs and print it."""

    def work() -> int:
        removed = journal_tool.trim(directory, exported)
        for name in removed:
            console.print(f"{name}: deleted", highlight=False, markup=False)
        if not removed:
            console.print("Every file is still needed.")
        return FINE

    return _reported(work, console)


def say_export(directory: Path, to: Path, console: Console) -> int:
    """Write an export and print its figures."""

    def work() -> int:
        manifest = export(directory / "journal", to, console.print)
        if (directory / DEPLOYMENT).is_file():
            # Public, and whoever verifies the export needs it.
            shutil.copy(directory / DEPLOYMENT, to / DEPLOYMENT)
        console.print(f"{manifest.last_sequence} commands, {manifest.events} events")
        console.print(f"state {manifest.state_hash}", highlight=False, soft_wrap=True)
        return FINE

    return _reported(work, console)


def say_verified(
    log: Path, url: str, deployment: Path | None, acknowledgements: Path | None, console: Console
) -> int:
    """Print what an audit has found; 2 if nothing could be checked."""
    beside = (log / DEPLOYMENT, log.parent / DEPLOYMENT)
    path = deployment or next((one for one in beside if one.is_file()), beside[0])

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    try:
        verdict = verify(log, url, path, acknowledgements, say)
    except NotVerified as error:
        say(f"Nothing was verified: {error}")
        return NOTHING_SEEN
    for fault in verdict.faults:
        say(f"WRONG: {fault}")
    if verdict.faults:
        return LOOK
    if verdict.unproven:
        say(
            f"Commands 1 to {verdict.commands - verdict.unproven} are what was settled. The last "
            f"{verdict.unproven} are unproven: no batch commits to them yet, and only an "
            "acknowledgement could show that they were changed."
        )
    else:
        say("The log is what was settled.")
    return FINE


def say_replay(files: list[Path], events: Path | None, console: Console) -> int:
    """Replay files and print what they come to; 1 if their manifest says something else."""

    def work() -> int:
        with ExitStack() as closing:
            out = None if events is None else closing.enter_context(events.open("wb"))

            def write(rows: list[dict[str, Any]]) -> None:
                assert out is not None
                out.writelines(orjson.dumps(row) + b"\n" for row in rows)

            replayed = replay_files(files, None if out is None else write)
        for what, found in replayed._asdict().items():
            console.print(f"{what} {found}", highlight=False, soft_wrap=True)
        manifest = read_manifest(files[0].parent)
        wrong = [] if manifest is None else differences(replayed, manifest)
        for difference in wrong:
            console.print(f"WRONG: {difference}", highlight=False, markup=False, soft_wrap=True)
        return LOOK if wrong else FINE

    return _reported(work, console)
