"""An exchange in a process of its own, as ``tillbook run`` starts it."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Event

import orjson

from tests.processes import Tillbook

ROOT = Path(__file__).parents[2]
RUN = "import sys; from gateway.cli.main import main; sys.argv[0] = 'tillbook'; main()"
POLL_SECONDS = 0.05
POLLS_MAX = 4_800
"""Four minutes: who waits for an exchange beside ten other processes waits that much longer, and
what never comes is found all the same, before pytest gives up the whole test."""
ADMIN_TOKEN = "an operator's token in a test: 0123456789".replace(" ", "_")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def ask(port, method, path, body=None, headers=None):
    """Return (status, headers, body); status 0 while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    except ConnectionError:
        return 0, {}, b""
    finally:
        connection.close()


def until(what, is_so):
    pause = Event()
    for _ in range(POLLS_MAX):
        found = is_so()
        if found:
            return found
        pause.wait(POLL_SECONDS)
    raise AssertionError(f"waited long enough, and not: {what}")


def options_of(directory, port, chain="eth-tester", options=(), demo_trades=0):
    return (
        *("run", "--data", str(directory), "--chain", chain, "--port", str(port)),
        *("--demo-trades", str(demo_trades), *options),
    )


def begun(*arguments):
    """Start as a user does, from nothing."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *options_of(*arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def forked(*arguments):
    """Start with everything imported."""
    return Tillbook(*options_of(*arguments))


def ended(directory):
    """Return exit code and output of a start that ends by itself."""
    process = begun(directory, free_port())
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


class Running:
    """A ``tillbook run`` in a process of its own; ``lines`` is what it prints."""

    def __init__(self, directory, chain="eth-tester", more_options=(), demo_trades=0, start=forked):
        self.port, self.admin_port, self.directory = free_port(), free_port(), directory
        directory.mkdir(exist_ok=True)
        tokens = directory / "operators"
        tokens.write_text(f"# Who may do what he likes.\nalice {ADMIN_TOKEN}\n")
        options = ("--admin-tokens", str(tokens), "--admin-port", str(self.admin_port))
        options = (*options, *more_options)
        self.process = start(directory, self.port, chain, options, demo_trades)
        until("both sides are quoted", self.is_quoted)

    def is_quoted(self):
        status, _, body = ask(self.port, "GET", "/v1/markets/TOKEN-USD/book?levels=1")
        assert self.process.poll() is None, self.process.stdout.read()
        return status == 200 and (book := orjson.loads(body))["bids"] and book["asks"] and book

    def admin(self, method, path, body=None, token=ADMIN_TOKEN):
        """Ask the operators' port; return status and what was answered."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        raw = None if body is None else orjson.dumps(body)
        status, _, said = ask(self.admin_port, method, f"/admin/v1{path}", raw, headers)
        return status, orjson.loads(said) if said else None

    def phase_of(self, invoice):
        return orjson.loads(ask(self.port, "GET", f"/checkout/{invoice}/state")[2])["phase"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output
