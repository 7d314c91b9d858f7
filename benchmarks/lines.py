"""How many cache lines does one command touch, and how many of them can L2 not keep?

``python -m benchmarks.lines`` plays the shapes of ``engine.full.flatness`` compiled, then runs the
last commands of each without the compiler over arrays that note the address of each element read or
written (``--still``: the same, but the middle of no market moves). The lines go, in that order,
through a cache of the given size that forgets what it has not seen for longest. Counted is what a
command itself needs: asking ahead changes when a line comes, not whether. What a line costs on this
machine stands below the tables.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.flow import Flow, Shape, limits_for, make_flow
from benchmarks.harness import ROOT
from engine.commands import COMMAND, Kind
from engine.core.dispatch import dispatch_by_pointer, step
from engine.core.jit import kernel
from engine.core.state import (
    ACCOUNT_BALANCES,
    LINE_BYTES,
    NEAR_START,
    ORDER,
    State,
    new_state,
)
from engine.core.state_pointer import pointer_of
from engine.events import EVENT, EventKind

SHAPES: Final = {
    "1 market": Shape(markets=1),
    "10^4 orders": Shape(),
    "10^5 orders": Shape(orders_resting=100_000),
    "10^6 orders": Shape(orders_resting=1_000_000),
    "64 markets": Shape(markets=64),
}
COMMANDS: Final = 300_000
WARM: Final = 20_000
COUNTED: Final = 10_000
"""The last of the commands: those that fill the cache before, and those that are counted."""

BATCH: Final = 4096
ROWS: Final = 3 * BATCH + 64
KINDS: Final = ("rests", "trades", "cancel", "all")
PLACES: Final = (
    "order",
    "neighbours in its queue",
    "level",
    "bits of the window",
    "account's head",
    "balance beside it",
    "expiry",
    "market, tokens, counters",
    "command and events",
)
L2_KIB: Final = 2048
CHASE_MIB: Final = (1, 8, 64)


class Trace:
    """Which lines one command has touched, and at which place it met each first."""

    def __init__(self) -> None:
        self.lines: dict[int, str] = {}

    def note(self, place: str, address: int, size: int) -> None:
        """Note every line of ``size`` bytes at ``address``."""
        for line in range(address // LINE_BYTES, (address + size - 1) // LINE_BYTES + 1):
            self.lines.setdefault(line, place)


class Traced(np.ndarray[Any, Any]):
    """An array that notes which of its elements are touched."""

    noted_in: Trace
    name: str
    start: int
    divide: int

    def __getitem__(self, index: Any) -> Any:
        self._note(int(index))
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._note(int(index))
        super().__setitem__(index, value)

    def _note(self, index: int) -> None:
        size = self.itemsize
        self.noted_in.note(self._place(index), self.start + index * size, size)

    def _place(self, index: int) -> str:
        if self.name == "events":
            return PLACES[8]
        if self.name == "links":
            return PLACES[1] if index < self.divide else PLACES[2]
        if self.name == "balances":
            return PLACES[4] if index % self.divide == 0 else PLACES[5]
        return {"orders": PLACES[0], "bits": PLACES[3], "expiry_ns": PLACES[6]}.get(
            self.name, PLACES[7]
        )


def traced(array: NDArray[Any], name: str, trace: Trace, divide: int = 1) -> Traced:
    """Return ``array`` as one that notes what is touched; ``divide`` tells its places apart."""
    view = array.view(Traced)
    view.noted_in, view.name, view.start, view.divide = trace, name, array.ctypes.data, divide
    return view


def watched(state: State, trace: Trace) -> State:
    """Return the same state behind arrays that note what is touched; constants are not noted."""
    divides = {
        "links": int(state.bounds[NEAR_START]),
        "balances": int(state.bounds[ACCOUNT_BALANCES]),
    }
    columns = state._asdict()
    constants = ("bounds", "branches")
    seen = {
        name: traced(column, name, trace, divides.get(name, 1))
        for name, column in columns.items()
        if name not in constants
    }
    return state._replace(**seen)


def prepare(folder: Path, shape: Shape) -> None:
    """Play all but the last commands of a shape compiled; leave state and commands in files."""
    flow: Flow = make_flow(1, COMMANDS, shape)
    state, out = new_state(flow.limits), np.empty(ROWS, EVENT)
    pointer = pointer_of(state)
    for part in (flow.opening, flow.prefill, flow.main[: -WARM - COUNTED]):
        for first in range(0, part.size, BATCH):
            batch = part[first : first + BATCH]
            assert dispatch_by_pointer(pointer, batch, 0, out) == batch.size
    for name, column in state._asdict().items():
        np.save(folder / f"{name}.npy", column.view(np.uint8))
    np.save(folder / "commands.npy", flow.main[-WARM - COUNTED :].view(np.uint8))


def loaded(folder: Path, shape: Shape) -> State:
    """Return the state that ``prepare`` has left, orders and links one block again."""
    state = new_state(limits_for(shape))
    for name, column in state._asdict().items():
        column.view(np.uint8)[:] = np.load(folder / f"{name}.npy")
    assert state.orders.dtype == ORDER and np.shares_memory(state.orders, state.links)
    return state


def steps(folder: Path, shape: Shape) -> Iterator[tuple[str, dict[int, str]]]:
    """Carry out each command without the compiler; tell its kind and the lines it touched."""
    trace = Trace()
    state = watched(loaded(folder, shape), trace)
    events = np.empty(ROWS, EVENT)
    out = traced(events, "events", trace)
    commands = np.load(folder / "commands.npy").view(COMMAND)
    for i in range(commands.size):
        if i % BATCH == 0:
            state.counters[0]["out_row"] = 0
        trace.lines = {}
        first = int(state.counters[0]["out_row"])
        step(state, out, commands[i])
        rows = events[first : int(state.counters[0]["out_row"])]
        # Wherever the array begins, each command brings one line that was not there before.
        trace.note(PLACES[8], commands.ctypes.data + i * COMMAND.itemsize, 1)
        kind = "rests"
        if commands[i]["kind"] == Kind.CANCEL:
            kind = "cancel"
        elif (rows["kind"] == EventKind.TRADE).any():
            kind = "trades"
        yield kind, trace.lines


def count(folder: Path, shape: Shape, l2_kib: int) -> None:
    """Print what the counted commands of a shape touch, and what of it L2 does not have."""
    room = l2_kib * 1024 // LINE_BYTES
    cache: OrderedDict[int, None] = OrderedDict()
    touched: Counter[tuple[str, str]] = Counter()
    missed: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    for i, (kind, lines) in enumerate(steps(folder, shape)):
        if i >= WARM:
            kinds[kind] += 1
            kinds["all"] += 1
        for line, place in lines.items():
            is_there = line in cache
            cache[line] = None
            cache.move_to_end(line)
            if len(cache) > room:
                cache.popitem(last=False)
            for column in (kind, "all") if i >= WARM else ():
                touched[place, column] += 1
                missed[place, column] += not is_there
    show(touched, missed, kinds)


def show(
    touched: Counter[tuple[str, str]], missed: Counter[tuple[str, str]], kinds: Counter[str]
) -> None:
    """Print lines a command, touched and (in brackets) not in L2."""
    share = [f"{kind} {100 * kinds[kind] / kinds['all']:.0f} %" for kind in KINDS]
    print(f"{'':26}" + "".join(f"{text:>15}" for text in share))
    for place in (*PLACES, "all"):
        cells = []
        for kind in KINDS:
            places = PLACES if place == "all" else (place,)
            mean, beyond = (
                sum(counts[one, kind] for one in places) / max(kinds[kind], 1)
                for counts in (touched, missed)
            )
            cells.append(f"{mean:.2f} ({beyond:.2f})")
        print(f"{place:26}" + "".join(f"{cell:>15}" for cell in cells))


@kernel
def chase(links: NDArray[np.int64], steps_wanted: int) -> int:
    """Follow ``links``, each step waiting for the one before."""
    at = 0
    for _ in range(steps_wanted):
        at = links[at]
    return at


@kernel
def change_each(links: NDArray[np.int64], places: NDArray[np.int64]) -> None:
    """Change elements that do not wait for each other."""
    for i in range(places.size):
        links[places[i]] += 1


def show_latency() -> None:
    """Print what a line costs in a working set of some sizes: waited for, and among others."""
    random, words = np.random.default_rng(1), LINE_BYTES // 8
    for mib in CHASE_MIB:
        lines = (mib << 20) // LINE_BYTES
        links = np.zeros(lines * words, np.int64)
        order = random.permutation(lines)
        links[order * words] = np.roll(order, -1) * words
        places = random.integers(0, lines, 500_000) * words
        other = links.copy()
        chase(links, 1)
        change_each(other, places[:1])
        waited, among = [], []
        for _ in range(7):
            start = thread_time()
            chase(links, 200_000)
            middle = thread_time()
            change_each(other, places)
            waited.append((middle - start) / 200_000 * 1e9)
            among.append((thread_time() - middle) / places.size * 1e9)
        print(
            f"a line of {mib} MiB: {median(waited):.1f} ns waited for,"
            f" {median(among):.1f} ns where none waits for another"
        )


def main() -> None:
    """Count every shape, each in a process without the compiler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--l2-kib", type=int, default=L2_KIB)
    parser.add_argument("--still", action="store_true")
    parser.add_argument("--count", nargs=2, metavar=("FOLDER", "SHAPE"))
    arguments = parser.parse_args()
    if arguments.count:
        folder, name = arguments.count
        count(Path(folder), SHAPES[name], arguments.l2_kib)
        return
    for name, shape in SHAPES.items():
        print(f"\n{name}, lines a command (of these beyond {arguments.l2_kib} KiB)", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), shape._replace(drift_ticks=0) if arguments.still else shape)
            command = [sys.executable, "-m", "benchmarks.lines", "--count", folder, name]
            command += ["--l2-kib", str(arguments.l2_kib)]
            environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
            subprocess.run(command, cwd=ROOT, check=True, env=environment)
    print()
    show_latency()


if __name__ == "__main__":
    main()
