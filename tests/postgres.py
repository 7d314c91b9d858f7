"""A real Postgres server of the tests' own: its rows in memory, reached over a socket.

One server a test run. Each test gets a database of its own, copied from one that was made once.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pg8000.dbapi

DEBIAN = Path("/usr/lib/postgresql")
OWNER = "postgres"
"""As whom it runs where the tests run as root, which Postgres refuses."""


def program(name):
    """Return where a program of Postgres is; None where there is none."""
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    found = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return found[-1] if found else None


def _end_with_parent():
    """Let the kernel stop this process when the thread that began it dies (Linux:
    PR_SET_PDEATHSIG is 1): start it on the main one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


class Server:
    """A server that runs until it is stopped, and can be stopped and started."""

    def __init__(self, directory):
        self.directory = directory
        self._as = {"user": OWNER, "group": OWNER, "extra_groups": []} if os.geteuid() == 0 else {}
        self._names = 0
        self._options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={directory}")
        # A commit is on its disk when it returns, as anywhere; but that disk is memory.
        self._options += ("-c", "max_connections=200", "-c", "autovacuum=off")

    def make(self):
        """Make an empty cluster."""
        if self._as:
            shutil.chown(self.directory, OWNER, OWNER)
        options = ("-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._run("initdb", "-D", str(self.directory / "rows"), *options)

    def _run(self, name, *options):
        done = subprocess.run(
            [program(name), *options],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self):
        """Start it, and wait until it takes connections. It ends with the tests, even killed."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", str(self.directory / "rows"), *self._options],
                cwd=self.directory,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 -- one system call, no lock
                **self._as,
            )
        until = time.monotonic() + 60
        while True:
            try:
                self.said("SELECT 1")
                return
            except (pg8000.dbapi.Error, OSError):
                assert self._process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < until, "the server does not come up"

    def stop(self, mode="fast"):
        """Stop it; ``immediate`` is a crash."""
        self._process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        self._process.wait(60)

    def url(self, name):
        """Return the URL of the database ``name``."""
        return f"postgresql://{OWNER}@/{name}?host={self.directory}"

    def said(self, statement, name=OWNER):
        """Carry out one statement by its own; return its rows."""
        socket = f"{self.directory}/.s.PGSQL.5432"
        connection = pg8000.dbapi.connect(OWNER, database=name, unix_sock=socket)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows

    def fresh(self, template="template0"):
        """Return the name of a new database, a copy of ``template``."""
        self._names += 1
        name = f"test_{self._names}"
        self.said(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop(self, name):
        """Drop the database ``name``, whoever is in it."""
        self.said(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running():
    """Give a server with a database ``shops``, empty but for its tables."""
    # Only here: what asks for a program alone needs none of the product.
    from merchants.records.database import open_database

    memory = Path("/dev/shm")
    where = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="tillbook-pg-", dir=where))
    server = Server(directory)
    try:
        server.make()
        server.start()
        try:
            server.said("CREATE DATABASE shops TEMPLATE template0")
            open_database(server.url("shops")).dispose()
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
