"""How do benchmark cases become figures?

``python -m benchmarks.harness [--only NAME]`` runs the cases (pytest-benchmark tests in ``cases/``)
in a process of their own, turns what they measured into figures, merges these into
``results/latest.json`` and has ``report`` write the rest. README.md says how a case names figures.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from benchmarks import report

ROOT: Final = Path(__file__).parent.parent
CASES: Final = ROOT / "benchmarks" / "cases"
RESULTS: Final = ROOT / "benchmarks" / "results"
LATEST: Final = RESULTS / "latest.json"
PROVENANCE: Final = RESULTS / "provenance.json"
RUN_SECONDS_MAX: Final = 1800
"""A run that takes longer has hung: no case may need more than its own few minutes."""

NO_CASES: Final = 5
"""pytest's exit code when nothing was collected."""

MULTIPLES: Final[Mapping[str, float]] = {"k": 1e3, "M": 1e6, "G": 1e9}
SECONDS: Final[Mapping[str, float]] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}

Figure = dict[str, Any]
"""``value``, ``unit``, ``min``, ``max`` (in that unit) and ``runs``, a count."""


class MalformedCase(Exception):
    """A case measured something but did not say what; the text names the case and the fault."""


class Measured(NamedTuple):
    """What one run of the cases gave, and whether all of them passed."""

    figures: dict[str, Figure]
    all_passed: bool


def rate_figure(unit: str, commands: int, stats: Mapping[str, Any]) -> Figure:
    """Return ``commands`` per time as a figure, from times in seconds.

    A unit such as ``M commands/s`` counts things per second, where k, M and G before a space
    multiply. A unit of time such as ``us`` is the time that one of ``commands`` took. ``value``
    comes from the median run; the fastest run gives the highest rate and the shortest time.
    """
    if unit in SECONDS:
        scale = 1 / (commands * SECONDS[unit])
        value, low, high = (stats[name] * scale for name in ("median", "min", "max"))
    else:
        prefix = unit.partition(" ")[0] if " " in unit else ""
        scale = commands / MULTIPLES.get(prefix, 1.0)
        value, low, high = (scale / stats[name] for name in ("median", "max", "min"))
    return {"value": value, "unit": unit, "min": low, "max": high, "runs": stats["rounds"]}


def direct_figure(stated: Mapping[str, Any]) -> Figure:
    """Return a figure that the case counted itself, for example gas; one run unless it says so."""
    value = stated["value"]
    return {
        "value": value,
        "unit": stated["unit"],
        "min": stated.get("min", value),
        "max": stated.get("max", value),
        "runs": stated.get("runs", 1),
    }


def median_figure(values: Sequence[float], unit: str) -> Figure:
    """Return the figure that a case states for runs it timed itself."""
    return {
        "value": median(values),
        "unit": unit,
        "min": min(values),
        "max": max(values),
        "runs": len(values),
    }


def figures_of(case: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the figures of one entry of pytest-benchmark's ``benchmarks`` list.

    Raises MalformedCase when the case names no figure or leaves part of one out.
    """
    extra = case["extra_info"]
    figures: dict[str, Figure] = {}
    try:
        for name, stated in extra.get("figures", {}).items():
            figures[name] = direct_figure(stated)
        if "figure" in extra:
            figures[extra["figure"]] = rate_figure(
                extra["unit"], extra.get("commands", 1), case["stats"]
            )
    except KeyError as missing:
        raise MalformedCase(f"{case['fullname']} leaves out {missing}") from missing
    if not figures:
        raise MalformedCase(f"{case['fullname']} names no figure in benchmark.extra_info")
    return figures


def collect(cases: list[Mapping[str, Any]]) -> dict[str, Figure]:
    """Return the figures of all ``cases``. Raises MalformedCase when two claim the same name."""
    collected: dict[str, Figure] = {}
    for case in cases:
        for name, figure in figures_of(case).items():
            if name in collected:
                raise MalformedCase(f"{case['fullname']} claims {name!r}, which another case has")
            collected[name] = figure
    return collected


def merge(before: Mapping[str, Any], now: Mapping[str, Any], *, partial: bool) -> dict[str, Any]:
    """Return ``now``, over what was there before if only a part was run; sorted by name."""
    merged = {**before, **now} if partial else dict(now)
    return dict(sorted(merged.items()))


def machine() -> str:
    """Return one line that says what the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    cores = os.cpu_count() or 1
    python = platform.python_version()
    return f"{model}, {cores} cores, {caches()}, {platform.system()}, Python {python}"


def caches() -> str:
    """Return what a core finds on its way to memory, or that the system does not tell."""
    told = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, size = (folder.joinpath(name).read_text().strip() for name in ("level", "size"))
        told[f"L{level}"] = f"L{level} {size}iB"
    return " ".join(told[name] for name in ("L2", "L3") if name in told) or "caches not told"


def commit() -> str:
    """Return the short commit that was measured, with ``+`` if the tree had changes on top."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    answer = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"


def run_cases(only: str | None) -> Measured:
    """Run the cases and return their figures. Ends the program if there is nothing to run."""
    with tempfile.TemporaryDirectory() as directory:
        measured = Path(directory) / "measured.json"
        command = [sys.executable, "-m", "pytest", str(CASES), "--benchmark-only"]
        command += ["-o", "python_files=bench_*.py", "-o", "python_functions=bench_* test_*"]
        command += ["-p", "no:cacheprovider", f"--benchmark-json={measured}"]
        command += ["--benchmark-columns=min,median,max,rounds", "--benchmark-sort=name"]
        command += ["-k", only] if only else []
        code = subprocess.run(command, cwd=ROOT, check=False, timeout=RUN_SECONDS_MAX).returncode
        if code == NO_CASES:
            known = ", ".join(sorted(path.stem for path in CASES.glob("bench_*.py"))) or "none"
            sys.exit(f"No benchmark case matches {only!r}. Case files: {known}.")
        text = measured.read_text() if measured.exists() else ""
    cases = json.loads(text)["benchmarks"] if text else []
    return Measured(collect(cases), all_passed=code == 0)


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _store(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def main() -> int:
    """Run, merge, write, print; return 0 if every case passed."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Tillbook.")
    parser.add_argument("--only", metavar="NAME", help="run only cases whose name contains NAME")
    only = parser.parse_args().only

    measured = run_cases(only)
    origin = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "commit": commit()}
    partial = only is not None or not measured.all_passed
    figures = merge(_load(LATEST), measured.figures, partial=partial)
    provenance = merge(_load(PROVENANCE), dict.fromkeys(measured.figures, origin), partial=partial)
    _store(LATEST, figures)
    _store(PROVENANCE, provenance)
    report.write(figures, provenance, ROOT / "benchmarks" / "REPORT.md", RESULTS)
    report.print_table(measured.figures)
    if not measured.all_passed:
        print("Some cases failed: their figures are those of an earlier run.", file=sys.stderr)
    return 0 if measured.all_passed else 1


if __name__ == "__main__":
    sys.exit(main())
