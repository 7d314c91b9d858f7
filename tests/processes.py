"""How does a test start ``tillbook`` in a process of its own without importing it all each time?

A server imports what any command needs, once for a whole run of tests, and forks itself for each
start: imports were four of the seven seconds that a start took. What is forked has done nothing but
import; it is a process like any other, with its own files and sockets, and it can be killed. That
the commands start from nothing too is shown by those tests that run ``python`` themselves.
"""

import atexit
import os
import select
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTEXT = get_context("forkserver")
# Not ``gateway.cli.main``: its console learns when it is imported how wide the terminal is.
CONTEXT.set_forkserver_preload(
    ["tests.processes", "typer.rich_utils", "gateway.sandbox.run", "gateway.sandbox.story"]
)
PIECE = 65_536


def _become(arguments: list[str], output: Connection, environment: dict[str, str]) -> None:
    """Be ``tillbook`` with ``arguments``, in the process that has just been forked."""
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["tillbook", *arguments]
    from gateway.cli.main import main

    try:
        main()
    finally:
        # What is left in the log's buffers, say: a forked process does not do this by itself.
        atexit._run_exitfuncs()


class Tillbook:
    """A ``tillbook`` that runs, with what tests use of ``subprocess.Popen``; it says all of it,
    errors too, on ``stdout``."""

    def __init__(self, *arguments: str) -> None:
        heard, told = CONTEXT.Pipe(duplex=False)
        environment = {**os.environ, "COLUMNS": "200"}
        # A daemon: whom a test has forgotten goes with the tests.
        self._process = CONTEXT.Process(
            target=_become, args=(list(arguments), told, environment), daemon=True
        )
        self._process.start()
        told.close()
        self.stdout = os.fdopen(os.dup(heard.fileno()), errors="replace")
        heard.close()
        self._said = b""

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("tillbook", timeout or 0)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Return what it says to its end; what it has said when the time is over is kept."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not select.select([self.stdout], [], [], left)[0]:
                raise subprocess.TimeoutExpired("tillbook", timeout or 0)
            piece = os.read(self.stdout.fileno(), PIECE)
            if not piece:
                break
            self._said += piece
        self.wait()
        self.stdout.close()
        return self._said.decode(errors="replace"), None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
