"""Does every file of the repository keep the rules of its venue?"""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.tidy import meaning, shape
from tests.tidy.sources import PRODUCT, ROOT, Source, read_sources, tracked_files

RULES = (*shape.RULES, *meaning.RULES)

AT_THE_TOP = {
    *("engine", "settlement", "merchants", "gateway", "benchmarks", "tests", "docs"),
    *("Makefile", "pyproject.toml", "requirements", ".ci", "Dockerfile", "compose.yaml"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", ".gitignore", ".dockerignore"),
}
SMALL_PACKAGE_FILES = 5
"""A package of so few modules is explained by its ``__init__``; a larger one has a README."""


def strangers(paths: list[str]) -> list[str]:
    """Return the names at the top of the repository that have no place there."""
    return sorted({path.partition("/")[0] for path in paths} - AT_THE_TOP)


def without_readme(paths: list[str]) -> list[str]:
    """Return the top packages that are too large to go without a README and have none."""
    modules = Counter(path.partition("/")[0] for path in paths if path.endswith(".py"))
    return sorted(
        package
        for package in (*PRODUCT, "benchmarks", "tests")
        if modules[package] > SMALL_PACKAGE_FILES and f"{package}/README.md" not in paths
    )


def broken_layers(tree: Path) -> str:
    """Return what import-linter says against the packages in ``tree``; empty if all is well."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    verdict = subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True)
    assert "Contracts:" in verdict.stdout, f"import-linter did not get so far: {verdict}"
    return verdict.stdout if verdict.returncode else ""


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return read_sources()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps(rule, sources):
    complaints = [
        f"{source}:{complaint.line}: {complaint.words}"
        for source in sources
        for complaint in rule(source)
    ]
    assert not complaints, "\n".join([rule.__doc__, *complaints])


def test_nothing_stands_at_the_top_without_need():
    assert strangers(tracked_files()) == []


def test_every_package_has_a_readme():
    assert without_readme(tracked_files()) == []


def test_imports_only_point_down():
    assert broken_layers(ROOT) == ""


def test_a_stranger_at_the_top_is_noticed():
    assert strangers(["engine/types.py", "scratch.py", "notes/today.md"]) == ["notes", "scratch.py"]


def test_a_package_without_a_readme_is_noticed():
    modules = [f"engine/module{i}.py" for i in range(SMALL_PACKAGE_FILES + 1)]
    assert without_readme(modules) == ["engine"]
    assert without_readme([*modules, "engine/README.md"]) == []


@pytest.fixture
def copy(tmp_path) -> Path:
    """Return a copy of the product's modules, to break."""
    for path in tracked_files():
        if path.partition("/")[0] in PRODUCT and path.endswith(".py"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tmp_path / path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


UPWARD = (
    ("engine.core.upward", "gateway.http"),
    ("engine.core.upward", "engine.reference"),
    ("engine.core.upward", "engine.journal"),
    ("settlement.protocol.upward", "settlement.chain"),
    ("settlement.batches.upward", "settlement.watching"),
    ("merchants.records.upward", "merchants.sales"),
    ("gateway.trading.upward", "gateway.http"),
    ("gateway.trading.upward", "starlette"),
    ("gateway.views.upward", "gateway.trading"),
    ("gateway.views.upward", "orjson"),
)


def test_every_arrow_that_points_up_is_noticed(copy):
    """All at once: import-linter reads the whole tree each time."""
    for importer, imported in UPWARD:
        with copy.joinpath(*importer.split(".")).with_suffix(".py").open("a") as module:
            module.write(f"import {imported}\n")
    verdict = broken_layers(copy)
    assert [arrow for arrow in UPWARD if " -> ".join(arrow) not in verdict] == []
