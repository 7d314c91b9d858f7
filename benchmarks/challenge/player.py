"""How does Python have the C player play a stream, and what came of it?"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.challenge.build import build_player
from benchmarks.challenge.layout import REPORT

SECONDS_MAX: Final = 300
RUN_MESSAGES: Final = 1024

ANSWER = np.dtype(
    [("best_bid", "<i8"), ("best_ask", "<i8"), ("bid_depth", "<u8"), ("ask_depth", "<u8")]
)
"""What the book said at the end of a run: best prices and the open lots there."""


class Played(NamedTuple):
    """What several rounds of the same messages gave; the reports were the same each time."""

    cold_ns: int
    """The first round of the process, on an engine and a queue that nothing has touched."""
    rounds_ns: list[int]
    reports: NDArray[Any]
    answers: NDArray[Any]


def play_rounds(
    library: Path,
    messages: NDArray[Any],
    rounds: int,
    run_messages: int = RUN_MESSAGES,
    *,
    own_queue: bool = True,
) -> Played:
    """Play ``messages`` to a fresh engine each round, in runs; 0 plays message by message.

    The process is a fresh one too. There is one cold round, and then ``rounds`` that are not.

    Raises CalledProcessError when the library does not load or two rounds differ.
    """
    with TemporaryDirectory() as folder:
        stored, reported = Path(folder, "messages"), Path(folder, "reports")
        messages.tofile(stored)
        words = [build_player(), library, stored, reported, run_messages, rounds]
        words += [] if own_queue else ["foreign"]
        said = subprocess.run(
            [str(word) for word in words],
            check=True,
            stdout=subprocess.PIPE,
            timeout=SECONDS_MAX,
        )
        reports = np.fromfile(reported, REPORT)
        answers = np.fromfile(f"{reported}.answers", ANSWER)
    cold_ns, *rounds_ns = (int(line) for line in said.stdout.split())
    return Played(cold_ns, rounds_ns, reports, answers)
