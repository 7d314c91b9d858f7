"""How fast is the whole engine, ledger and events included, and what does a process of it cost?

The flow of ``benchmarks/flow.py``: 8 markets, 10,000 accounts, about 10,000 resting orders, batches
as the sequencer makes them. No journal, no signature, no network: one core, the engine alone.
"""

import subprocess
import sys
from statistics import median
from time import perf_counter_ns, thread_time
from typing import Any

import pytest

from benchmarks.flow import Flow, Shape, make_flow
from benchmarks.harness import ROOT, median_figure
from engine import core, reference
from engine.commands import Commands

SEED = 1
BATCH = 4096
ROUNDS = 7
CORE_COMMANDS = 300_000
REFERENCE_COMMANDS = 20_000
SINGLE_COMMANDS = 30_000
ORDERS = (10_000, 100_000, 1_000_000)
MARKETS = (1, 8, 64)


@pytest.fixture(scope="module")
def flow() -> Flow:
    return make_flow(SEED, CORE_COMMANDS, Shape())


def ready(build: Any, flow: Flow) -> Any:
    """Return an engine that has lived through everything before the main part."""
    engine = build(flow.limits)
    carry_out(engine, flow.opening, BATCH)
    carry_out(engine, flow.prefill, BATCH)
    return engine


def carry_out(engine: Any, commands: Commands, batch: int) -> None:
    """Apply ``commands`` in slices and let the events go."""
    for start in range(0, len(commands), batch):
        engine.apply(commands[start : start + batch])


def measure(benchmark: Any, build: Any, flow: Flow, commands: Commands) -> Any:
    """Time the main part on a fresh engine each round; return the last engine."""
    engines = []

    def fresh() -> tuple[tuple[Any, Commands, int], dict[str, Any]]:
        engines.clear()
        engines.append(ready(build, flow))
        return (engines[0], commands, BATCH), {}

    benchmark.pedantic(carry_out, setup=fresh, rounds=ROUNDS, warmup_rounds=1)
    return engines[0]


def test_core_in_batches(benchmark: Any, flow: Flow) -> None:
    benchmark.extra_info |= {
        "figure": "engine.full.mcps",
        "unit": "M commands/s",
        "commands": CORE_COMMANDS,
    }

    engine = measure(benchmark, core.Engine, flow, flow.main)

    engine.check()


@pytest.mark.parametrize(("prefix", "drift_ticks"), [("", 3), ("still_", 0)])
def test_core_is_flat(benchmark: Any, prefix: str, drift_ticks: int) -> None:
    """The slowest of six shapes of book and market against the fastest, in turn in each round.

    CPU time of the thread. Where the middle of a market moves, a thick book does not follow, so the
    largest has twice as many trades a command; where it is still, all shapes do the same work.
    """
    shape = Shape(drift_ticks=drift_ticks)
    shapes = {f"orders_ns.{count}": shape._replace(orders_resting=count) for count in ORDERS}
    shapes |= {f"markets_ns.{count}": shape._replace(markets=count) for count in MARKETS}
    flows = {name: make_flow(SEED, CORE_COMMANDS, shape) for name, shape in shapes.items()}
    took_ns: dict[str, list[float]] = {name: [] for name in flows}

    def one_of_each() -> None:
        for name, flow in flows.items():
            engine = ready(core.Engine, flow)
            start = thread_time()
            carry_out(engine, flow.main, BATCH)
            took_ns[name].append((thread_time() - start) * 1e9 / CORE_COMMANDS)

    benchmark.pedantic(one_of_each, rounds=ROUNDS)

    medians = [median(values) for values in took_ns.values()]
    spreads = [max(values) / min(values) for values in zip(*took_ns.values(), strict=True)]
    flatness = median_figure(spreads, "x") | {"value": max(medians) / min(medians)}
    figures = {
        f"engine.full.{prefix}{name}": median_figure(values, "ns")
        for name, values in took_ns.items()
    }
    benchmark.extra_info["figures"] = figures | {f"engine.full.{prefix}flatness": flatness}


def test_core_command_by_command(benchmark: Any, flow: Flow) -> None:
    """One command in each call, as Python sees it, the two readings of its clock included."""
    rows = [flow.main[i : i + 1] for i in range(SINGLE_COMMANDS)]
    p50_us, p999_us = [], []

    def one_by_one(engine: core.Engine) -> None:
        took_ns = []
        for row in rows:
            start = perf_counter_ns()
            engine.apply(row)
            took_ns.append(perf_counter_ns() - start)
        took_ns.sort()
        p50_us.append(took_ns[SINGLE_COMMANDS // 2] / 1e3)
        p999_us.append(took_ns[SINGLE_COMMANDS * 999 // 1000] / 1e3)

    benchmark.pedantic(one_by_one, setup=lambda: ((ready(core.Engine, flow),), {}), rounds=ROUNDS)

    benchmark.extra_info["figures"] = {
        "engine.single.p50_us": median_figure(p50_us, "us"),
        "engine.single.p999_us": median_figure(p999_us, "us"),
    }


def test_reference_in_batches(benchmark: Any, flow: Flow) -> None:
    benchmark.extra_info |= {
        "figure": "engine.reference.mcps",
        "unit": "M commands/s",
        "commands": REFERENCE_COMMANDS,
    }
    commands = flow.main[:REFERENCE_COMMANDS]

    oracle = measure(benchmark, reference.Engine, flow, commands)

    kernel = ready(core.Engine, flow)
    carry_out(kernel, commands, BATCH)
    assert kernel.state_hash() == oracle.state_hash(), "the figures are of the same work"


def fresh_process(work: str) -> int:
    """Return the number that ``benchmarks/fresh.py`` prints for ``work``."""
    command = [sys.executable, "-m", "benchmarks.fresh", work]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_warm_start(benchmark: Any) -> None:
    """From the call of the interpreter to its end: imports, a new engine, one command."""
    fresh_process("start")  # Should anything be missing from the cache, it is there now.
    benchmark.extra_info |= {"figure": "engine.warm_start_s", "unit": "s"}

    benchmark.pedantic(fresh_process, args=("start",), rounds=ROUNDS)


def test_memory_of_a_process_of_its_own(benchmark: Any) -> None:
    per_order = benchmark.pedantic(fresh_process, args=("orders",), rounds=1)

    idle_mb = fresh_process("idle") / 1e6
    benchmark.extra_info["figures"] = {
        "engine.rss_idle_mb": {"value": idle_mb, "unit": "MB"},
        "engine.bytes_per_order": {"value": per_order, "unit": "bytes"},
    }
