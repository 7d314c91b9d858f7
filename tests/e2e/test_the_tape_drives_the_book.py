"""Does a recorded day drive the book, and does the sale after it still end equal to the unit?

A real process, started as a user starts it, on the embedded chain.
"""

from pathlib import Path

import pytest

from tests.conftest import LOSSES, RECORDING
from tests.processes import Tillbook

ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent.joinpath("shared", "data", "lobster")
STORY_SECONDS_MAX = 120
RECORDED_MESSAGES = 300

TAPE = """\
34200.01,1,1,100,5850000,1
34200.02,1,2,100,5849900,1
34200.03,1,3,100,5850500,-1
34200.04,1,4,80,5850600,-1
34200.05,3,990,20,5850100,1
34200.06,2,2,30,5849900,1
34200.07,4,3,40,5850500,-1
34200.08,5,0,500,5850250,1
34200.09,1,5,60,5850000,1
34200.10,4,1,100,5850000,1
34200.11,3,4,80,5850600,-1
34200.12,1,6,25,5850200,1
34200.13,2,3,60,5850500,-1
34200.14,4,5,10,5850000,1
34200.15,1,7,70,5850700,-1
34200.16,7,0,0,-1,-1
34200.17,3,6,25,5850200,1
34200.18,1,8,90,5849800,1
34200.19,2,7,20,5850700,-1
34200.20,1,9,15,5850400,-1
"""


def tell(directory, tape, messages=2_000, chain="eth-tester"):
    """Run ``tillbook demo --tape``; return (exit code, what it said)."""
    told = Tillbook(
        *("demo", "--data", str(directory), "--chain", chain),
        *("--tape", str(tape), "--messages", str(messages)),
    )
    output, _ = told.communicate(timeout=STORY_SECONDS_MAX)
    return told.returncode, output


def test_a_small_tape_is_played_twice_and_the_story_ends_equal(tmp_path):
    tape = tmp_path / "tape.csv"
    tape.write_text(TAPE)

    for sitting in ("first", "again on the same directory"):
        code, output = tell(tmp_path / "told", tape)

        assert code == 0, f"{sitting}\n{output}"
        assert "The tape drives the book: 17 messages" in output
        assert output.rstrip().endswith("Equal to the unit."), output


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["34200.01,1,1,100,5850000,1", "not a message"], "line 2"),
        (["34200.01,1,1,100,5850000,-1"], "nobody bids"),
    ],
)
def test_a_tape_that_cannot_be_used_says_why(tmp_path, lines, complaint):
    tape = tmp_path / "tape.csv"
    tape.write_text("\n".join(lines) + "\n")

    code, output = tell(tmp_path / "told", tape)

    assert code == 1, output
    assert "The story failed:" in output and complaint in output
    assert "Traceback" not in output


@pytest.mark.recording
def test_a_recorded_day_drives_the_book(tmp_path):
    tapes = sorted(RECORDED.glob("*_message_*.csv"))
    if not tapes:
        pytest.skip(f"left out: {LOSSES[RECORDING]}")

    code, output = tell(tmp_path / "told", tapes[0], RECORDED_MESSAGES)

    assert code == 0, output
    assert f"{RECORDED_MESSAGES} messages" in output
    assert output.rstrip().endswith("Equal to the unit."), output
