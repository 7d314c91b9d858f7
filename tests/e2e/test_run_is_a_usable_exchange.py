"""Does ``tillbook run`` give a newcomer an exchange to use, and come back as it was left?

A real process and its public doors: the market, the shop, a purchase paid from the demo wallet.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from sqlite3 import connect

import orjson
import pytest

from tests.e2e.running import Running, ask, begun, ended, until


def rpc(port, body, headers=None):
    return ask(
        port, "POST", "/sandbox/rpc", body, {"Content-Type": "application/json"} | (headers or {})
    )


@pytest.fixture
def running(tmp_path):
    started = []

    def start(chain="eth-tester"):
        started.append(Running(tmp_path, chain, start=begun))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def test_a_newcomer_buys_something_and_finds_it_settled_after_a_restart(running, tmp_path):
    first = running()
    until("the shop is open", lambda: ask(first.port, "GET", "/shop")[0] == 200)
    _, headers, _ = until(
        "the shop sells",
        lambda: (sold := ask(first.port, "POST", "/sandbox/buy/book"))[0] == 303 and sold,
    )
    invoice = headers["location"].rpartition("/")[2]
    assert first.phase_of(invoice) == "waiting"

    with ThreadPoolExecutor(3) as clicks:
        pays = [clicks.submit(ask, first.port, "POST", f"/sandbox/pay/{invoice}") for _ in "123"]
    assert [pay.result()[0] for pay in pays] == [303] * 3
    until("the sale is settled", lambda: first.phase_of(invoice) == "settled")
    with closing(connect(tmp_path / "merchants.sqlite")) as database:
        (paid,) = database.execute("SELECT COUNT(*) FROM payments").fetchone()
    assert paid == 1, "three quick clicks are one payment"
    code, output = first.stop()
    assert code == 0, output
    assert f"http://127.0.0.1:{first.port}/shop" in output, "the pages' addresses are printed"

    second = running()
    assert second.phase_of(invoice) == "settled"
    halt = ("POST", "/markets/TOKEN-USD/phase", {"phase": "HALTED", "reason": "a look at it"})
    assert second.admin(*halt, token=None)[0] == 401
    assert second.admin(*halt)[0] == 200

    def is_open():
        body = {"phase": "OPEN", "reason": "all is well"}
        return second.admin("POST", "/markets/TOKEN-USD/phase", body)[0] == 200

    until("vault and ledger were compared, and the market is open", is_open)
    code, output = second.stop()
    assert code == 0, output

    with closing(connect(tmp_path / "merchants.sqlite")) as database, database:
        database.execute("UPDATE cursor SET sequence = sequence + 100000")
    code, output = ended(tmp_path)
    assert code == 1 and "Traceback" not in output
    assert "merchants.sqlite has seen commands up to 10" in output
    assert 'see "A file of another log" in docs/RUNBOOK.md' in output


def test_the_chain_answers_a_browser_wallet(running):
    here = running()
    asked = orjson.dumps({"jsonrpc": "2.0", "id": 7, "method": "eth_chainId"})
    said = {"jsonrpc": "2.0", "id": 7, "result": hex(31337)}
    _, _, body = until(
        "the sandbox is open",
        lambda: (said := rpc(here.port, asked))[0] == 200 and said,
    )
    assert orjson.loads(body) == said
    assert rpc(here.port, b"{")[0] == 400
    together = b"[" + asked + b"," + asked.replace(b"eth_chainId", b"net_version") + b"]"
    _, _, body = rpc(here.port, together)
    assert orjson.loads(body) == [said, said | {"result": "31337"}]

    for method in ("anvil_reset", "hardhat_reset", "evm_revert", "eth_sendTransaction"):
        _, _, body = rpc(here.port, asked.replace(b"eth_chainId", method.encode()))
        assert orjson.loads(body)["error"]["code"] == -32601, method
    assert rpc(here.port, asked, {"Content-Type": "text/plain"})[0] == 415, (
        "no preflight, no answer"
    )
    assert rpc(here.port, asked, {"Origin": "https://elsewhere.example"})[0] == 403
    assert rpc(here.port, asked, {"Origin": "chrome-extension://abc"})[0] == 200
    assert ask(here.port, "POST", "/sandbox/buy/nothing")[0] == 404
    assert ask(here.port, "GET", "/checkout/nobody")[0] == 404
    assert here.stop()[0] == 0
