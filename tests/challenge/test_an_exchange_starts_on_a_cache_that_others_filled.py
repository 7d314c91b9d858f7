"""Does the exchange find every type that numba's cache of its kernels names?

The index of a cached kernel names the types it was called with, whoever called it, and numba reads
all of them before it uses one. If a caller that an exchange cannot import (the challenge, a test)
brings a type of its own, no exchange starts on that cache any more. That has happened once.
"""

import os
import subprocess
import sys
from pathlib import Path
from sysconfig import get_path

import pytest

from engine.core.jit import CACHE_DIRECTORY

ROOT = Path(__file__).parents[2]
PRODUCT = ("engine", "settlement", "merchants", "gateway")

# One kernel of the engine, called with a book of the challenge: seconds, where compiling all of the
# challenge takes a minute.
CALL_FROM_OUTSIDE = """
from collections import namedtuple
import numpy as np
from benchmarks.challenge import layout, play, words
words.Stranger = namedtuple("Stranger", play.SoloBook._fields, module=words.__name__)
dtypes = (
    layout.COUNTERS, layout.BEST_PRICE, np.int64, np.int64, layout.ORDER, layout.LINK,
    np.int64, np.int32, layout.NAME,
)
rows = (np.zeros(4, dtype) for dtype in dtypes)
play.level_of(%s(*rows, layout.BOUNDS, layout.BRANCHES), 0, 0)
"""

READ_EVERY_INDEX = """
import pickle, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
count = 0
for index in sorted(Path(sys.argv[1]).glob("core_*/*.nbi")):
    with index.open("rb") as file:
        pickle.load(file)
        try:
            pickle.loads(file.read())
        except ImportError as error:
            sys.exit(f"{index.name} names a type that an exchange has not: {error}")
    count += 1
print(count)
"""


@pytest.fixture
def exchange_path(tmp_path):
    """Return where an exchange finds modules: ours that are installed, and what it depends on."""
    installed = tmp_path / "installed"
    installed.mkdir()
    for name in PRODUCT:
        installed.joinpath(name).symlink_to(ROOT / name)
    return [str(installed), get_path("purelib"), get_path("platlib")]


def read_every_index(cache_directory, exchange_path, tmp_path):
    """Read what numba would read, in a process that has nothing but the exchange."""
    program = [sys.executable, "-I", "-S", "-c", READ_EVERY_INDEX, str(cache_directory)]
    return subprocess.run(
        [*program, *exchange_path], cwd=tmp_path, capture_output=True, text=True, check=False
    )


def filled_by(program, tmp_path):
    """Return a new cache that ``program`` has filled."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")
    }
    environment |= {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    [directory] = tmp_path.glob("cache/kernels-*")
    return directory


def test_what_the_challenge_calls_kernels_with_is_known_to_an_exchange(exchange_path, tmp_path):
    directory = filled_by(CALL_FROM_OUTSIDE % "play.SoloBook", tmp_path)
    done = read_every_index(directory, exchange_path, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1


def test_what_this_cache_names_is_known_to_an_exchange(exchange_path, tmp_path):
    """As far as this run and earlier ones have filled it: whatever called, a test too."""
    done = read_every_index(CACHE_DIRECTORY, exchange_path, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50, "the cache is warm when tests run"


def test_a_type_of_somebody_else_is_found(exchange_path, tmp_path):
    directory = filled_by(CALL_FROM_OUTSIDE % "words.Stranger", tmp_path)
    done = read_every_index(directory, exchange_path, tmp_path)
    assert done.returncode == 1 and "No module named 'benchmarks'" in done.stderr, done
