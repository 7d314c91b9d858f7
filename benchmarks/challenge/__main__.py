"""How fast does the library play the five scenarios, and are its reports right?

``python -m benchmarks.challenge [--orders N] [--seed N] [--rounds N]`` prints one line a scenario.
"""

import argparse
import sys
from statistics import median

from benchmarks.challenge.build import build_library, missing
from benchmarks.challenge.player import play_rounds
from benchmarks.challenge.scenarios import SCENARIOS, messages_of
from benchmarks.challenge.statistics import Statistics, statistics_of
from benchmarks.challenge.words import judged_hash

HEAD = "scenario       M msg/s   floor  standing avg/max  levels avg/max    fills  reports"


def line_of(name: str, played_ns: float, floor_ns: float, counted: Statistics, verdict: str) -> str:
    """Return the line of one scenario."""
    rates = (counted.messages * 1000 / each for each in (played_ns, floor_ns))
    standing = f"{counted.standing_average:.0f}/{counted.standing_most}"
    levels = f"{counted.levels_average:.0f}/{counted.levels_most}"
    left = " ".join([f"{name:<13}", *(f"{rate:>7.1f}" for rate in rates)])
    return f"{left} {standing:>17} {levels:>15} {counted.fills:>8}  {verdict}"


def main() -> int:
    """Play, compare, print; return 0 if every report was right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.challenge", description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000, help="new orders of a scenario")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    lack = missing()
    if lack is not None:
        sys.exit(f"The challenge library needs {lack}, which is not here.")

    all_right = True
    print(HEAD)
    for name in SCENARIOS:
        messages = messages_of(name, chosen.orders, chosen.seed)
        floor = play_rounds(build_library("ECHO"), messages, chosen.rounds)
        played = play_rounds(build_library(), messages, chosen.rounds)
        counted = statistics_of(messages)
        is_right = judged_hash(played.reports) == judged_hash(counted.reports)
        all_right = all_right and is_right
        times = median(played.rounds_ns), median(floor.rounds_ns)
        print(line_of(name, *times, counted, "right" if is_right else "WRONG"), flush=True)
    return 0 if all_right else 1


if __name__ == "__main__":
    sys.exit(main())
