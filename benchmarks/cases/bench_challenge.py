"""How many messages a second go through the public challenge's C interface?

Five scenarios of about 2.0 M messages, generated here after the published description and played by
a C program that knows nothing of Python; a second thread drains the reports on the other core. The
ids of the orders are a random permutation, as the challenge's are; how much that costs is said by
one scenario with ids in sequence and with ids from all of 64 bits.

Measured from the first message until everything is matched and reported, on a fresh engine each
round: ``mps`` in batches, ``single_mps`` message by message. ``cold_mps`` is the first round of a
fresh process, which is how the challenge's own program times: nothing was touched before, but for
what ``engine_init`` touches. Every report is compared with the reference's. ``floor`` is the same
library with a kernel that only reads each message and acknowledges it, one round after the other
with ours; ``x_floor`` says how many times as long we take.
"""

from statistics import median
from typing import Any

import pytest

from benchmarks.challenge.build import build_library, missing
from benchmarks.challenge.player import play_rounds
from benchmarks.challenge.scenarios import (
    SCENARIOS,
    messages_of,
    with_ids_in_sequence,
    with_scattered_ids,
)
from benchmarks.challenge.statistics import statistics_of
from benchmarks.challenge.words import judged_hash
from benchmarks.harness import median_figure

SEED = 1
ORDERS = 1_000_000
PROCESSES = 5
ROUNDS = 3
"""In each process, after the cold one."""
OTHER_IDS = {"sequential": with_ids_in_sequence, "scattered": with_scattered_ids}

needs = pytest.mark.skipif(missing() is not None, reason=f"left out: needs {missing()}")


def rate(messages: int, times_ns: list[int]) -> dict[str, Any]:
    return median_figure([messages * 1000 / each for each in times_ns], "M messages/s")


@needs
@pytest.mark.parametrize("scenario", SCENARIOS, ids="engine.challenge.{}".format)
def test_challenge(benchmark: Any, scenario: str) -> None:
    messages = messages_of(scenario, ORDERS, SEED)
    floor, batches, singles, cold = [], [], [], []

    def play_all() -> None:
        for _ in range(PROCESSES):
            floor.extend(play_rounds(build_library("ECHO"), messages, ROUNDS).rounds_ns)
            played = play_rounds(build_library(), messages, ROUNDS)
            batches.extend(played.rounds_ns)
            cold.append(played.cold_ns)
            singles.extend(play_rounds(build_library(), messages, 1, 0).rounds_ns)

    benchmark.pedantic(play_all, rounds=1)

    played = play_rounds(build_library(), messages, 0)
    assert judged_hash(played.reports) == judged_hash(statistics_of(messages).reports)
    ratios = [ours / bare for ours, bare in zip(batches, floor, strict=True)]
    name = f"engine.challenge.{scenario}"
    benchmark.extra_info["figures"] = {
        f"{name}.mps": rate(messages.size, batches),
        f"{name}.cold_mps": rate(messages.size, cold),
        f"{name}.single_mps": rate(messages.size, singles),
        f"{name}.floor_mps": rate(messages.size, floor),
        f"{name}.x_floor": median_figure(ratios, "x"),
    }


@needs
@pytest.mark.parametrize("ids", OTHER_IDS, ids="engine.challenge.ids.{}".format)
def test_other_ids(benchmark: Any, ids: str) -> None:
    permuted = messages_of("normal", ORDERS, SEED)
    renamed = OTHER_IDS[ids](permuted)
    ratios = []

    def play_all() -> None:
        for _ in range(PROCESSES):
            theirs = median(play_rounds(build_library(), renamed, ROUNDS).rounds_ns)
            ratios.append(median(play_rounds(build_library(), permuted, ROUNDS).rounds_ns) / theirs)

    benchmark.pedantic(play_all, rounds=1)

    benchmark.extra_info["figures"] = {
        f"engine.challenge.ids.{ids}_x_permuted": median_figure(ratios, "x")
    }
