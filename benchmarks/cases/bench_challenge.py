"""How many messages a second go through the public challenge's C interface?

Five scenarios of about 2.0 M messages, generated here after the published description and played by
a C program that knows nothing of Python; a second thread drains the reports on the other core.
Measured from the first message until everything is matched and reported, on a fresh engine each
round. Every report is compared with the reference's. ``floor`` is the same library with a kernel
that only reads each message and acknowledges it; ``x_floor`` says how many times as long we take.
"""

from statistics import median
from typing import Any

import pytest

from benchmarks.challenge.build import build_library, missing
from benchmarks.challenge.player import play_rounds
from benchmarks.challenge.scenarios import SCENARIOS, messages_of
from benchmarks.challenge.statistics import statistics_of
from benchmarks.challenge.words import judged_hash

SEED = 1
ORDERS = 1_000_000
ROUNDS = 11


def rate(messages: int, rounds_ns: list[int]) -> dict[str, Any]:
    rates = sorted(messages * 1000 / each for each in rounds_ns)
    figure = {"value": median(rates), "unit": "M messages/s"}
    return figure | {"min": rates[0], "max": rates[-1], "runs": len(rates)}


@pytest.mark.skipif(missing() is not None, reason=f"left out: needs {missing()}")
@pytest.mark.parametrize("scenario", SCENARIOS, ids="engine.challenge.{}".format)
def test_challenge(benchmark: Any, scenario: str) -> None:
    messages = messages_of(scenario, ORDERS, SEED)
    floor = play_rounds(build_library("ECHO"), messages, ROUNDS)

    played = benchmark.pedantic(play_rounds, args=(build_library(), messages, ROUNDS), rounds=1)

    assert judged_hash(played.reports) == judged_hash(statistics_of(messages).reports)
    times = median(played.rounds_ns) / median(floor.rounds_ns)
    benchmark.extra_info["figures"] = {
        f"engine.challenge.{scenario}.mps": rate(messages.size, played.rounds_ns),
        f"engine.challenge.{scenario}.floor_mps": rate(messages.size, floor.rounds_ns),
        f"engine.challenge.{scenario}.x_floor": {"value": times, "unit": "x", "runs": ROUNDS},
    }
