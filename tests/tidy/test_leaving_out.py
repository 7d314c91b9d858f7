"""Is what a run leaves out named, and refused where CI=true?"""

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import LOSSES, PROGRAMS, ROOT

SUITE = """
import pytest

@pytest.mark.strace
def test_needs_strace():
    pass

def test_gives_up():
    pytest.skip("the moon is not full")

@pytest.mark.recording
def test_needs_a_recording():
    pytest.skip("no tape")

def test_runs():
    pass
"""


@pytest.fixture
def run_suite(tmp_path):
    """Return a function that runs SUITE on a PATH without programs; it gives code and output."""
    tmp_path.joinpath("test_suite.py").write_text(SUITE)
    shutil.copy(ROOT.joinpath("tests", "conftest.py"), tmp_path)
    markers = "\n".join(f"    {name}: x" for name in LOSSES)
    tmp_path.joinpath("pytest.ini").write_text(f"[pytest]\nmarkers =\n{markers}\n")

    def run(**environment: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            cwd=tmp_path,
            env={"PATH": str(tmp_path), **environment},
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout

    return run


def test_a_newcomer_is_told_what_was_left_out(run_suite):
    code, output = run_suite()
    assert code == 0
    assert "1 passed, 3 skipped" in output
    for words in (LOSSES["strace"], "the moon is not full", "no tape"):
        assert f"  {words} (1 test)" in output


def test_ci_leaves_nothing_out_but_recordings(run_suite):
    code, output = run_suite(CI="true")
    assert code == 1
    assert "1 failed, 1 passed, 1 skipped, 1 error" in output
    assert "CI=true allows nothing to be left out" in output
    assert "FAILED test_suite.py::test_gives_up" in output
    assert "ERROR test_suite.py::test_needs_strace" in output


def test_ci_leaves_no_whole_file_out(run_suite, tmp_path):
    tmp_path.joinpath("test_file.py").write_text("import pytest\npytest.importorskip('nowhere')\n")
    assert "ERROR test_file.py" in run_suite(CI="true")[1]
    assert "could not import 'nowhere'" in run_suite()[1]


def test_every_program_has_a_marker_and_words():
    registered = ROOT.joinpath("pyproject.toml").read_text()
    for marker in LOSSES:
        assert f'    "{marker}: ' in registered
    assert LOSSES.keys() - PROGRAMS.keys() == {"node", "recording"}
    assert os.environ.get("PYTHONOPTIMIZE", "0") in {"", "0"}, "assertions stay on"
