"""How is the shared library made, and can it be made here?

``python -m benchmarks.challenge.build`` compiles the C files of this folder with the machine's own
compiler into ``build/challenge``; nothing is compiled again while the sources stay as they are.
"""

import shutil
import subprocess
import sys
import sysconfig
from hashlib import blake2b
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
BUILD: Final = ROOT / "build" / "challenge"
FLAGS: Final = ("-std=gnu11", "-O3", "-march=native", "-Wall", "-Wextra", "-Werror", "-pthread")
LIBRARY_SOURCES: Final = (HERE / "shim.c", HERE / "queue.c")


def compiler() -> str | None:
    """Return the C compiler of this machine, or None."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def python_library() -> Path | None:
    """Return the shared library of this Python, or None when it was built without one."""
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return None
    folder, name = (sysconfig.get_config_var(key) for key in ("LIBDIR", "INSTSONAME"))
    candidates = [Path(folder) / name, Path(sys.base_prefix) / "lib" / name]
    return next((path for path in candidates if path.exists()), None)


def missing() -> str | None:
    """Return what this machine lacks for building, in words, or None."""
    if compiler() is None:
        return "a C compiler"
    if python_library() is None:
        return "Python as a shared library"
    return None


def build_library(kernel: str = "PLAY") -> Path:
    """Return the library with the engine's C interface, compiled if it is not there yet.

    ``kernel`` names the entry point in ``entry.py`` that is given the messages.
    """
    definitions = {
        "PLAY_KERNEL": kernel,
        "PYTHON_LIBRARY": str(python_library()),
        "PYTHON_PROGRAM": sys.executable,
        "PROJECT_ROOT": str(ROOT),
    }
    defined = [f'-D{name}="{value}"' for name, value in definitions.items()]
    shared = ["-shared", "-fPIC", "-fvisibility=hidden"]
    return _compiled("engine.so", LIBRARY_SOURCES, [*shared, *defined])


def build_player() -> Path:
    """Return the program that plays messages to any such library."""
    return build_program("player", HERE / "player.c")


def build_program(name: str, *sources: Path) -> Path:
    """Return a program made of ``sources``; they find this folder's headers."""
    return _compiled(name, sources, [f"-I{HERE}"])


def _compiled(name: str, sources: tuple[Path, ...], flags: list[str]) -> Path:
    command = [str(compiler()), *FLAGS, *flags, *(str(source) for source in sources), "-ldl"]
    digest = blake2b(repr(command).encode(), digest_size=8)
    for source in [*sorted(HERE.glob("*.[ch]")), *sources]:
        digest.update(source.read_bytes())
    target = BUILD / digest.hexdigest() / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".unfinished")
        subprocess.run([*command, "-o", str(unfinished)], check=True)
        unfinished.replace(target)
    return target


if __name__ == "__main__":
    lack = missing()
    if lack is not None:
        sys.exit(f"The challenge library needs {lack}, which is not here.")
    print(build_library())
    print(build_player())
