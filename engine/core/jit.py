"""How does a plain function become a kernel, and when is its cached machine code still valid?

Numba judges a cached kernel by the file it stands in, not by the files of the functions it calls:
after an edit of ``match.py`` the cached ``run`` of ``run.py`` would go on with the old matching.
Therefore all kernels share one cache directory that is named after the text of *every* source file
that can end up in machine code, the versions in use and the bounds-check switch.
"""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numba import njit

_F = TypeVar("_F", bound=Callable[..., Any])

JIT_IS_ON: Final = not numba.config.DISABLE_JIT


def _fingerprint() -> str:
    """Return a short hash of all that decides what the compiler makes of the kernels."""
    digest = blake2b(digest_size=8)
    engine = Path(__file__).parent.parent
    for source in sorted([*engine.glob("*.py"), *engine.glob("core/*.py")]):
        digest.update(source.read_bytes())
    versions = (numba.__version__, np.__version__, numba.config.BOUNDSCHECK)
    digest.update(repr(versions).encode())
    return digest.hexdigest()


_chosen: Final = str(numba.config.CACHE_DIR)
_root: Final = Path(_chosen) if _chosen else Path(__file__).parent / "__pycache__"
CACHE_DIRECTORY: Final = _root / f"kernels-{_fingerprint()}"


def kernel(function: _F) -> _F:
    """Compile ``function`` with a cache on disk; division never raises inside (checked before)."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(CACHE_DIRECTORY)
    try:
        return cast(_F, njit(cache=True, error_model="numpy")(function))
    finally:
        numba.config.CACHE_DIR = before


def cache_is_warm() -> bool:
    """Return whether an earlier process has left compiled kernels for exactly these sources."""
    return any(CACHE_DIRECTORY.glob("**/*.nbi"))
