"""How is one seed run, many, and what does a failing one say?"""

import gc
import os
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy.exc import SQLAlchemyError

from engine.journal import JournalCorrupt
from tests.sim.options import Options, drawn
from tests.sim.quiet import come_to_rest
from tests.sim.venue import PRODUCT, Planted
from tests.sim.world import World, memory_directory

SEEDS: Path = Path(__file__).with_name("seeds")
CRITICAL = 50
GARBAGE_THRESHOLD = 50_000
TROUBLES = (
    AssertionError,
    AttributeError,
    JournalCorrupt,
    LookupError,
    RuntimeError,
    SQLAlchemyError,
    TypeError,
    ValueError,
)
"""Everything that a broken promise, or a broken simulator, can raise."""


class Verdict(NamedTuple):
    """What came of a seed; ``trouble`` is empty when every promise held."""

    seed: int
    commands: int
    trouble: str
    counts: Counter[str]


@contextmanager
def _silence() -> Iterator[None]:
    """Log nothing: a seed meets thousands of faults on purpose. Others in this process may log."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def run(
    seed: int, commands: int, planted: Planted = PRODUCT, options: Options | None = None
) -> Verdict:
    """Run one seed to its rest. Nothing but the seed decides what happens."""
    with memory_directory() as directory, _silence():
        world = World(options or drawn(seed), Path(directory), planted)
        trouble = ""
        try:
            world.run(commands)
            come_to_rest(world)
        except TROUBLES as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            trouble = f"{type(error).__name__} at {place}: {error}"
        refused = {f"chain refused {error}": n for error, n in world.blocks.refused.items()}
        return Verdict(seed, commands, trouble, world.counts + Counter(refused))


def _run(job: tuple[int, int]) -> Verdict:
    return run(*job)


def _begin_worker() -> None:
    """What a worker has inherited stays, and its worlds are small: look through them seldom."""
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def run_many(jobs: Iterable[tuple[int, int]]) -> Iterator[Verdict]:
    """Run (seed, commands) on all cores; the order of the answers is that of the jobs."""
    cores = os.cpu_count()
    with ProcessPoolExecutor(cores, get_context("fork"), initializer=_begin_worker) as pool:
        yield from pool.map(_run, jobs)


def rerun(verdict: Verdict) -> str:
    """Return what a failing seed prints: what happened, and the line that makes it happen again."""
    return (
        f"seed {verdict.seed}: {verdict.trouble}\n"
        f"  again: make soak ARGS='tests/sim/test_seeds.py::test_one_seed "
        f"--seed={verdict.seed} --commands={verdict.commands}'\n"
        f"  keep:  write down what it found in "
        f"tests/sim/seeds/{verdict.seed}-{verdict.commands}.seed"
    )


def kept() -> list[tuple[int, int]]:
    """Return the seeds that have found something once: (seed, commands)."""
    names = sorted(path.name for path in SEEDS.iterdir() if path.suffix == ".seed")
    return [(int(seed), int(count)) for seed, count in (name[:-5].split("-") for name in names)]
