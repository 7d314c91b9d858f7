"""Does the bridge sign for its owner alone, and does the session key never leave it?"""

import time
from urllib.parse import urlencode

import orjson
import pytest

from gateway.api.binance.signing import signature_of
from tests.clients.fixtures import SYMBOL
from tests.e2e.running import ask
from tests.processes import Tillbook

ORDER = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def place(bridge, key, secret, **changes):
    params = {**ORDER, "quantity": "0.1", "price": "2000", "timestamp": int(time.time() * 1000)}
    body = urlencode(params | changes)
    body += f"&signature={signature_of(secret, body)}"
    headers = {**FORM, "x-mbx-apikey": key}
    status, _, said = ask(bridge.port, "POST", "/api/v3/order", body.encode(), headers)
    return status, orjson.loads(said)


def test_nobody_else_on_the_machine_can_trade_by_it(bridge):
    key, secret = bridge.api_key
    assert place(bridge, key, "0" * 64)[1]["code"] == -1022
    assert place(bridge, "another", secret)[1]["code"] == -2015
    assert place(bridge, key, secret, timestamp=1)[1]["code"] == -1021
    assert ask(bridge.port, "POST", "/api/v3/order", b"", FORM)[0] == 401


def test_what_the_client_wants_wrong_is_refused_before_it_is_signed(bridge):
    for change, code in (
        ({"price": "2000.001"}, -1013),
        ({"symbol": "NOSUCH"}, -1121),
        ({"type": "TAKE_PROFIT"}, -2010),
    ):
        assert place(bridge, *bridge.api_key, **change)[1]["code"] == code


def test_orders_in_a_row_stand_on_lanes_of_their_own(bridge):
    placed = [place(bridge, *bridge.api_key)[1] for _ in range(40)]
    assert {order["status"] for order in placed} == {"NEW"}
    query = urlencode({"symbol": SYMBOL, "timestamp": int(time.time() * 1000)})
    key, secret = bridge.api_key
    query += f"&signature={signature_of(secret, query)}"
    headers = {"x-mbx-apikey": key}
    status, _, said = ask(bridge.port, "DELETE", f"/api/v3/openOrders?{query}", None, headers)
    cancelled = {order["orderId"] for order in orjson.loads(said)}
    assert status == 200 and {order["orderId"] for order in placed} <= cancelled


def test_the_api_key_is_renewed_and_the_session_key_stays(bridge):
    before = orjson.loads(bridge.path.read_bytes())
    renewed = bridge.make_key()
    after = orjson.loads(bridge.path.read_bytes())
    assert renewed.key != before["apiKey"]
    assert after["sessionKey"] == before["sessionKey"]
    # The one that the bridge began with is good until its day is over.
    assert place(bridge, *bridge.api_key)[0] == 200


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("{}", 0o600, "missing"),
        ("nonsense", 0o600, "malformed"),
        ("{}", 0o644, "chmod 600"),
    ],
)
def test_a_key_file_that_is_none_is_told_in_a_line(tmp_path, content, mode, words):
    path = tmp_path / "bridge.json"
    path.write_text(content)
    path.chmod(mode)
    process = Tillbook("bridge", "--exchange", "http://127.0.0.1:1", "--key-file", str(path))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in output
    assert words in output.lower() or words in output


def test_an_exchange_that_is_not_there_is_told_in_a_line(tmp_path, bridge):
    process = Tillbook(
        *("bridge", "--exchange", "http://127.0.0.1:1", "--key-file", str(bridge.path))
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "does not answer" in output
