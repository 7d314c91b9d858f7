"""Would the simulator notice? Parts with one thing wrong are put in, and a few seeds find each."""

from functools import cache

import pytest

from tests.sim.options import drawn
from tests.sim.planted import PLANTED
from tests.sim.runs import run

SEEDS = 12
COMMANDS = 500
HARSH = {
    "power_ppm": 4_000,
    "kill_ppm": 1_500,
    "seam_kill_ppm": 400,
    "error_sync_ppm": 1_500,
    "rot_ppm": 800_000,
    "clock_ppm": 150_000,
    "stranger_ppm": 0,
    "shops": 0,
    "file_size": 4_096,
    "snapshot_every": 60,
    "chain_seconds": 2,
    "room": 1 << 40,
    "copied_ppm": 500_000,
    "hasty_ppm": 30_000,
}
"""Enough of every fault that these bugs need; who trades and how is the seed's as always."""

HARSHER = {"trusts the page cache": {"error_sync_ppm": 20_000, "power_ppm": 8_000}}
"""It needs a sync that fails, a start on the same pages, and the power to go before they are
written again: in the harsh world the first seed in which that happened was the 31st."""

FIRST = {
    "trusts the page cache": 5,
    "cuts what it cannot read": 23,
    "stamps with any clock": 1,
    "pays ahead of the log": 5,
}
"""Where a bug was met when somebody last looked. It is asked first, the others only if the product
has changed so much that this seed goes another way; who is not here is met by seed 0."""


@cache
def trouble_without(options):
    """Return what the product itself does wrong with ``options``: that would prove nothing."""
    return run(options.seed, COMMANDS, options=options).trouble


@pytest.mark.parametrize("name", PLANTED)
def test_found_within_a_few_seeds(name):
    first = FIRST.get(name, 0)
    for seed in (first, *(seed for seed in range(SEEDS) if seed != first)):
        options = drawn(seed)._replace(**HARSH | HARSHER.get(name, {}))
        found = run(seed, COMMANDS, PLANTED[name], options)
        if found.trouble and not trouble_without(options):
            return
    pytest.fail(f"{SEEDS} seeds have not found that the product {name}")
