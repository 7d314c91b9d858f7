"""How does a plain function become a kernel, and when is its cached machine code still valid?

Numba judges a cached kernel by the file it stands in, not by the files of the functions it calls:
after an edit of ``match.py`` the cached ``dispatch`` would go on with the old matching.
Therefore all kernels share one cache directory that is named after the text of *every* source file
that can end up in machine code, the versions in use and the bounds-check switch.
"""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np

_F = TypeVar("_F", bound=Callable[..., Any])

_config: Any = numba.config
_njit: Any = numba.njit

i64: Any = np.int64
"""Widens a narrow field. Unsigned and narrow integers must not meet int64 in a kernel: numba would
compile each function once more for each width, and turns uint64 mixed with int64 into float64."""

u64: Any = np.uint64
"""For an index and nothing else: of a signed one numba asks first whether it counts from the end,
three instructions in front of every load."""

JIT_IS_ON: Final = not _config.DISABLE_JIT


def _fingerprint() -> str:
    """Return a short hash of all that decides what the compiler makes of the kernels."""
    digest = blake2b(digest_size=8)
    engine = Path(__file__).parent.parent
    shared = [engine.joinpath(name) for name in ("types.py", "commands.py", "events.py")]
    for source in [*shared, *sorted(engine.glob("core/*.py"))]:
        digest.update(source.read_bytes())
    versions = (numba.__version__, np.__version__, _config.BOUNDSCHECK)
    digest.update(repr(versions).encode())
    return digest.hexdigest()


_chosen: Final = str(_config.CACHE_DIR)
_root: Final = Path(_chosen) if _chosen else Path(__file__).with_name("__pycache__")
CACHE_DIRECTORY: Final = _root.joinpath(f"kernels-{_fingerprint()}")


def kernel(function: _F) -> _F:
    """Compile ``function`` into machine code that is cached on disk.

    Two options carry the speed, measured together on a day's flow in batches of 4,096 (README):
    without ``_nrt=False`` each touch of a state array counts references with an atomic add (1,034
    ns a command, 246 without), and without ``forceinline`` the hundred words that a tuple of arrays
    amounts to are pushed at each call (99 ns with it). No kernel may therefore allocate. Division
    by zero cannot happen: divisors are constants or were checked when a market was listed.
    """
    return _compiled(function, forceinline=True)


def rare(function: _F) -> _F:
    """Compile ``function`` as a kernel that is called, not inlined.

    For what few commands need: it keeps the path of all others short in the instruction cache.
    """
    return _compiled(function, forceinline=False)


def _compiled(function: _F, *, forceinline: bool) -> _F:
    before = _config.CACHE_DIR
    _config.CACHE_DIR = str(CACHE_DIRECTORY)
    try:
        decorate = _njit(cache=True, error_model="numpy", _nrt=False, forceinline=forceinline)
        return cast(_F, decorate(function))
    finally:
        _config.CACHE_DIR = before


_COMPLETE: Final = CACHE_DIRECTORY.joinpath("complete")


def cache_is_warm() -> bool:
    """Return whether an earlier process has compiled all kernels of exactly these sources."""
    return _COMPLETE.exists()


def note_warm() -> None:
    """Note that all kernels have been called once, so that their machine code is in the cache."""
    _COMPLETE.parent.mkdir(parents=True, exist_ok=True)
    _COMPLETE.touch()
