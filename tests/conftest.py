"""What may a test run leave out, and does it say so?

A test that needs an outside program carries a marker. Where the program is absent the test is
skipped and named on the last lines. With CI=true a skip is a failure, whoever asked for it, so that
green means everything ran; only recorded market data, which cannot be shipped, may be missing.
"""

import os
import shutil
import sysconfig
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
CONTRACTS = ROOT.joinpath("settlement", "contracts")

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "strace": ("strace",),
    "cc": ("cc", "gcc", "clang"),
    # Debian keeps the server's programs off the PATH.
    "postgres": ("initdb", *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))),
}
LOSSES = {
    "node": "Node.js (make installs anvil, forge and solc with npm): contract and anvil tests",
    "chromium": "Chromium (Debian: chromium): browser tests",
    "strace": "strace (Debian: strace): fsync before the answer, each system call failing once",
    "postgres": "Postgres (Debian: postgresql): the shops' rows on a server",
    "cc": "C compiler, libpython (Debian: build-essential, libpython3-dev): challenge library",
    "recording": "recorded market data beside the checkout: replaying it",
}
RECORDING = "recording"

# The first call of a kernel may compile it, so a deadline would measure numba. A gate repeats
# itself, hence derandomize in CI; elsewhere new examples are tried on every run.
settings.register_profile("here", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a soak run say how long it is, and which seed to run again."""
    parser.addoption("--kills", type=int, default=200, help="how many kills under load in a soak")
    parser.addoption("--lives", type=int, default=200, help="random lives of a killed settler")
    parser.addoption("--first-life", type=int, default=0, help="seed of the first of them")
    parser.addoption("--seconds", type=int, default=300, help="how long the simulator hunts")
    parser.addoption("--seeds", type=int, default=0, help="how many seeds instead, from --seed on")
    parser.addoption("--seed", type=int, default=1_000, help="the first seed")
    parser.addoption("--commands", type=int, default=2_000, help="how many commands a seed runs")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each life its seed, which is its name in the report."""
    if "life_seed" in metafunc.fixturenames:
        first = metafunc.config.getoption("first_life")
        lives = metafunc.config.getoption("lives")
        metafunc.parametrize("life_seed", range(first, first + lives))


def has_node_modules() -> bool:
    """Tell whether node is here with the anvil and forge that npm installs for this platform."""
    installed = CONTRACTS.joinpath("node_modules", "@foundry-rs")
    found = all(any(installed.glob(f"{name}-*/bin/{name}*")) for name in ("anvil", "forge"))
    return found and shutil.which("node") is not None


def absent() -> list[str]:
    """Return the markers whose program this machine lacks."""
    markers = [
        marker
        for marker, names in PROGRAMS.items()
        if not any(shutil.which(name) for name in names)
    ]
    if "cc" not in markers and not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        markers.append("cc")  # The library it compiles starts this Python by itself.
    return markers if has_node_modules() else ["node", *markers]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run."""
    for marker in absent():
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"left out: {LOSSES[marker]}"))


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With CI=true turn a skip into a failure."""
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"CI=true allows nothing to be left out: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge the skip of one test."""
    report = yield
    if not (item.get_closest_marker(RECORDING) or hasattr(report, "wasxfail")):
        refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge the skip of a whole file."""
    report = yield
    refuse_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out, each reason once."""
    skips = terminalreporter.stats.get("skipped", [])
    reasons: dict[str, int] = {}
    for report in skips:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ").removeprefix("left out: ")
        reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("left out on this machine")
        for reason, count in sorted(reasons.items()):
            terminalreporter.write_line(f"  {reason} ({count} {'test' if count == 1 else 'tests'})")
