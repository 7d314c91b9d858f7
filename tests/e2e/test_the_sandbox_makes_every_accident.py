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
    "other-token": ("settled", "none"),
    "native-coin": ("expired", "none"),
    "price-falls": ("settled", "none"),
    "empty-book": ("settled", "none"),
}

MOVES_THE_BOOK = ("price-falls", "empty-book")


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


def begun(port, names):
    """Press the buttons; return the invoice of each."""
    invoices = {}
    for name in names:
        press = partial(ask, port, "POST", f"/sandbox/exceptions/{name}")
        _, headers, _ = until(
            f"{name} begins", lambda press=press: (made := press())[0] == 303 and made
        )
        invoices[name] = headers["location"].rpartition("/")[2]
    return invoices


def all_end(rows, invoices, ends):
    for name, end in ends.items():
        until(
            f"{name} ends as {end}",
            lambda name=name, end=end: ends_of(rows)[invoices[name]] == end,
        )


@pytest.mark.timeout(500)
def test_each_button_ends_as_it_says(here, tmp_path):
    rows = tmp_path / "merchants.sqlite"
    until("the shop is open", lambda: ask(here.port, "GET", "/shop")[0] == 200)
    status, _, page = ask(here.port, "GET", "/sandbox/exceptions")
    assert status == 200 and all(name.encode() in page for name in ENDS)
    assert b"/sandbox/exceptions" in ask(here.port, "GET", "/shop")[2]
    assert ask(here.port, "POST", "/sandbox/exceptions/nothing")[0] == 404
    calm = {name: end for name, end in ENDS.items() if name not in MOVES_THE_BOOK}
    invoices = begun(here.port, calm)
    all_end(rows, invoices, calm)
    # What is late is weighed at the price of its moment: that is left alone until then.
    moving = {name: ENDS[name] for name in MOVES_THE_BOOK}
    invoices |= begun(here.port, moving)
    all_end(rows, invoices, moving)
    for name in MOVES_THE_BOOK:
        until(
            f"{name} is sold when somebody bids",
            lambda name=name: "conversion.filled" in heard_of(rows, invoices[name]),
        )
        assert "conversion.waiting" in heard_of(rows, invoices[name])
    assert "invoice.other_token" in heard_of(rows, invoices["other-token"])
    assert here.stop()[0] == 0
