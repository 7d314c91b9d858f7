"""Does the benchmark harness compute and write what it claims?"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import harness, report
from tests.conftest import ROOT

STATS = {"median": 0.5, "min": 0.25, "max": 1.0, "rounds": 7}
MACHINE = {"date": "2026-01-02", "machine": "an abacus", "commit": "abc1234"}


def figure(value, unit="M commands/s"):
    return {"value": value, "unit": unit, "min": value, "max": value, "runs": 1}


def case(**extra_info):
    return {"fullname": "bench_x.py::bench_x", "stats": STATS, "extra_info": extra_info}


def test_a_rate_counts_per_second_and_the_fastest_run_is_the_highest():
    counted = harness.rate_figure("M commands/s", 3_000_000, STATS)
    assert counted == {"value": 6, "unit": "M commands/s", "min": 3, "max": 12, "runs": 7}
    assert harness.rate_figure("orders/s", 10, STATS)["value"] == 20
    assert harness.rate_figure("k orders/s", 5000, STATS)["value"] == 10


def test_a_time_is_that_of_one_command():
    counted = harness.rate_figure("us", 1000, STATS)
    assert counted["unit"] == "us"
    assert [counted[name] for name in ("min", "value", "max")] == pytest.approx([250, 500, 1000])


@given(
    times=st.lists(st.floats(1e-6, 1e3), min_size=3, max_size=3).map(sorted),
    commands=st.integers(1, 10**9),
    unit=st.sampled_from(["s", "us", "commands/s", "M commands/s"]),
)
def test_the_median_lies_between_the_extremes(times, commands, unit):
    stats = dict(zip(("min", "median", "max"), times, strict=True)) | {"rounds": 3}
    counted = harness.rate_figure(unit, commands, stats)
    assert counted["min"] <= counted["value"] <= counted["max"]


def test_a_case_may_state_figures_itself():
    stated = {"gas_per_trade_1": {"value": 90_000, "unit": "gas"}}
    assert harness.figures_of(case(figures=stated)) == {
        "gas_per_trade_1": {"value": 90_000, "unit": "gas", "min": 90_000, "max": 90_000, "runs": 1}
    }


@pytest.mark.parametrize(
    ("extra_info", "words"),
    [
        ({}, "names no figure"),
        ({"figure": "speed"}, "leaves out 'unit'"),
        ({"figures": {"gas": {"value": 1}}}, "leaves out 'unit'"),
    ],
)
def test_a_case_that_does_not_say_what_it_measured_is_refused(extra_info, words):
    with pytest.raises(harness.MalformedCase, match=words):
        harness.figures_of(case(**extra_info))


def test_two_cases_may_not_claim_one_figure():
    twice = [case(figure="speed", unit="orders/s")] * 2
    with pytest.raises(harness.MalformedCase, match="speed"):
        harness.collect(twice)


def test_a_part_updates_its_own_figures_and_a_full_run_replaces_all():
    before, now = {"b": 1, "a": 1}, {"b": 2}
    assert list(harness.merge(before, now, partial=True).items()) == [("a", 1), ("b", 2)]
    assert harness.merge(before, now, partial=False) == {"b": 2}


def test_numbers_at_the_end_make_a_line_and_the_rest_bars_by_unit():
    figures = {
        "gas_per_trade_100": figure(3, "gas"),
        "gas_per_trade_10": figure(5, "gas"),
        "lonely_7": figure(1, "gas"),
        "core": figure(4),
    }
    assert [(series.title, series.names, series.numbers) for series in report.grouped(figures)] == [
        ("gas_per_trade", ["gas_per_trade_10", "gas_per_trade_100"], [10, 100]),
        ("in M commands/s", ["core"], []),
        ("in gas", ["lonely_7"], []),
    ]


def test_every_figure_is_in_the_report_with_where_it_was_measured(tmp_path):
    figures = {f"gas_per_trade_{n}": figure(90_000 // n, "gas") for n in (1, 10, 50)}
    figures |= {"core": figure(4.25), "reference": figure(0.031)}
    provenance = dict.fromkeys(figures, MACHINE) | {"core": MACHINE | {"machine": "a laptop"}}
    stale = tmp_path.joinpath("results", "in_old_unit.svg")
    stale.parent.mkdir()
    stale.touch()

    report.write(figures, provenance, tmp_path / "REPORT.md", tmp_path / "results")

    text = tmp_path.joinpath("REPORT.md").read_text()
    for row in (
        "| core | 4.25 | M commands/s | 4.25 to 4.25 | 1 |",
        "| gas_per_trade_1 | 90 000 | gas | 90 000 to 90 000 | 1 |",
        "| 2026-01-02 | abc1234 | a laptop | core |",
    ):
        assert row in text
    pictures = sorted(path.name for path in tmp_path.joinpath("results").iterdir())
    assert pictures == ["gas_per_trade.svg", "in_m_commands_s.svg"]
    assert all(f"(results/{name})" in text for name in pictures)


def test_the_report_says_which_ids_the_challenge_was_played_with(tmp_path):
    texts = []
    for name in ("engine.challenge.normal.mps", "engine.book.maker.ns"):
        path = tmp_path / "REPORT.md"
        report.write({name: figure(1)}, {name: MACHINE}, path, tmp_path / "results")
        texts.append("a random permutation" in path.read_text())

    assert texts == [True, False]


def test_the_machine_is_told_with_its_caches():
    assert harness.caches() in harness.machine()
    assert re.fullmatch(r"(L2 \S+iB)?( ?L3 \S+iB)?|caches not told", harness.caches())


def test_a_run_measures_merges_and_reports(tmp_path):
    """The whole of it, in a copy whose one case counts to a thousand."""
    shutil.copytree(
        ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("cases")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    cases = tmp_path.joinpath("benchmarks", "cases")
    cases.mkdir()
    cases.joinpath("bench_counting.py").write_text(
        "def test_counting(benchmark):\n"
        "    benchmark.extra_info.update(figure='counting', unit='k numbers/s', commands=1000)\n"
        "    benchmark.pedantic(lambda: sum(range(1000)), rounds=3)\n"
    )
    results = tmp_path.joinpath("benchmarks", "results")
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    results.joinpath("latest.json").write_text(json.dumps({"earlier": figure(1)}))

    def run(*arguments):
        command = [sys.executable, "-m", "benchmarks.harness", *arguments]
        # A run of its own, though a worker of a parallel run begins it: there nothing is measured.
        env = {name: word for name, word in os.environ.items() if "XDIST" not in name}
        return subprocess.run(
            command, cwd=tmp_path, check=False, capture_output=True, text=True, env=env
        )

    nothing = run("--only", "nonsense")
    assert nothing.returncode == 1
    assert "No benchmark case matches 'nonsense'. Case files: bench_counting" in nothing.stderr

    partial = run("--only", "counting")
    assert partial.returncode == 0, partial.stdout + partial.stderr
    assert "counting" in partial.stdout
    figures = json.loads(results.joinpath("latest.json").read_text())
    assert list(figures) == ["counting", "earlier"]
    assert figures["counting"].keys() == {"value", "unit", "min", "max", "runs"}
    assert figures["counting"]["runs"] == 3
    assert "| counting |" in tmp_path.joinpath("benchmarks", "REPORT.md").read_text()

    assert run().returncode == 0
    assert list(json.loads(results.joinpath("latest.json").read_text())) == ["counting"]
