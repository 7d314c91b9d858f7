"""Does each button of the sandbox's page of accidents do what it says, on the embedded chain?

A real process and its public doors; the ends are those of ``test_every_exception_ends_well.py``.
"""

from contextlib import closing
from functools import partial
from sqlite3 import connect

import pytest

from tests.e2e.running import Running, ask, until

ENDS = {
    "short": ("expired", "paid_partial"),
    "over": ("settled", "paid_over"),
    "parts": ("settled", "none"),
    "twice": ("settled", "paid_over"),
    "late": ("settled", "paid_late"),
    "never": ("expired", "none"),
    "other-token": ("expired", "none"),
    "native-coin": ("expired", "none"),
    "price-falls": ("settled", "none"),
    "empty-book": ("settled", "none"),
}


@pytest.fixture
def here(tmp_path):
    running = Running(tmp_path, "eth-tester")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.communicate()


def ends_of(path):
    with closing(connect(path)) as database:
        rows = database.execute("SELECT id, state, exception FROM invoices").fetchall()
    return {name: tuple(end) for name, *end in rows}


def heard_of(path, invoice):
    with closing(connect(path)) as database:
        query = "SELECT type FROM events WHERE invoice_id = ? ORDER BY sequence"
        return [kind for (kind,) in database.execute(query, (invoice,))]


@pytest.mark.timeout(500)
def test_each_button_ends_as_it_says(here, tmp_path):
    rows = tmp_path / "merchants.sqlite"
    until("the shop is open", lambda: ask(here.port, "GET", "/shop")[0] == 200)
    status, _, page = ask(here.port, "GET", "/sandbox/exceptions")
    assert status == 200 and all(name.encode() in page for name in ENDS)
    assert b"/sandbox/exceptions" in ask(here.port, "GET", "/shop")[2]
    assert ask(here.port, "POST", "/sandbox/exceptions/nothing")[0] == 404
    invoices = {}
    for name in ENDS:
        _, headers, _ = until(
            f"{name} begins",
            lambda name=name: (
                (made := ask(here.port, "POST", f"/sandbox/exceptions/{name}"))[0] == 303 and made
            ),
        )
        invoices[name] = headers["location"].rpartition("/")[2]
    for name, end in ENDS.items():
        ended = partial(lambda name, end: ends_of(rows)[invoices[name]] == end, name, end)
        until(f"{name} ends as {end}", ended)
    for name in ("price-falls", "empty-book"):
        until(
            f"{name} is sold when somebody bids",
            lambda name=name: "conversion.filled" in heard_of(rows, invoices[name]),
        )
        assert "conversion.waiting" in heard_of(rows, invoices[name])
    assert "invoice.other_token" in heard_of(rows, invoices["other-token"])
    assert here.stop()[0] == 0
