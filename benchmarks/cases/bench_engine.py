"""How many commands a second do kernels and reference carry out, ledger and events included?

The flow of ``benchmarks/flow.py``: 8 markets, 10,000 accounts, about 10,000 resting orders, batches
as the sequencer makes them. No journal, no signature, no network: one core, the engine alone.
"""

from typing import Any

import pytest

from benchmarks.flow import Flow, Shape, make_flow
from engine import core, reference
from engine.commands import Commands

SEED = 1
BATCH = 4096
CORE_COMMANDS = 300_000
REFERENCE_COMMANDS = 20_000
SINGLE_COMMANDS = 20_000


@pytest.fixture(scope="module")
def flow() -> Flow:
    return make_flow(SEED, CORE_COMMANDS, Shape())


def ready(build: Any, flow: Flow) -> Any:
    """Return an engine that has lived through everything before the main part."""
    engine = build(flow.limits)
    engine.apply(flow.opening)
    engine.apply(flow.prefill)
    return engine


def carry_out(engine: Any, commands: Commands, batch: int) -> None:
    """Apply ``commands`` in slices and let the events go."""
    for start in range(0, len(commands), batch):
        engine.apply(commands[start : start + batch])


def measure(benchmark: Any, build: Any, flow: Flow, commands: Commands, batch: int) -> Any:
    """Time the main part on a fresh engine each round; return the last engine."""
    engines = []

    def fresh() -> tuple[tuple[Any, Commands, int], dict[str, Any]]:
        engines.clear()
        engines.append(ready(build, flow))
        return (engines[0], commands, batch), {}

    benchmark.pedantic(carry_out, setup=fresh, rounds=7, warmup_rounds=1)
    return engines[0]


def test_core_in_batches(benchmark: Any, flow: Flow) -> None:
    benchmark.extra_info |= {
        "figure": "engine.core.mcps",
        "unit": "M commands/s",
        "commands": CORE_COMMANDS,
    }

    engine = measure(benchmark, core.Engine, flow, flow.main, BATCH)

    engine.check()


def test_core_command_by_command(benchmark: Any, flow: Flow) -> None:
    benchmark.extra_info |= {
        "figure": "engine.core.single_us",
        "unit": "us",
        "commands": SINGLE_COMMANDS,
    }

    measure(benchmark, core.Engine, flow, flow.main[:SINGLE_COMMANDS], 1)


def test_reference_in_batches(benchmark: Any, flow: Flow) -> None:
    benchmark.extra_info |= {
        "figure": "engine.reference.mcps",
        "unit": "M commands/s",
        "commands": REFERENCE_COMMANDS,
    }
    commands = flow.main[:REFERENCE_COMMANDS]

    oracle = measure(benchmark, reference.Engine, flow, commands, BATCH)

    kernel = ready(core.Engine, flow)
    carry_out(kernel, commands, BATCH)
    assert kernel.state_hash() == oracle.state_hash(), "the figures are of the same work"
