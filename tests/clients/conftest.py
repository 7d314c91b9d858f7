"""One exchange and one bridge for all clients: each of them starts a process of its own."""

import pytest

from tests.clients.fixtures import (
    GUARD,
    TRADER_SECRET,
    ApiKey,
    Bridge,
    Door,
    has_key,
    has_money,
    log_in,
)
from tests.e2e.running import Running, ask, until


@pytest.fixture(autouse=True)
def nobody_leaves():
    """Refuse whatever is not on this machine, and say so if a client wanted it."""
    GUARD.is_up, GUARD.refused = True, []
    yield
    GUARD.is_up = False
    assert GUARD.refused == []


@pytest.fixture(scope="session")
def exchange(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exchange") / "data"
    running = Running(directory, more_options=("--demo-trades", "0"))
    bearer = log_in(running.port, TRADER_SECRET)
    until("the demo wallet's session key is live", lambda: has_key(running.port, bearer))
    until("it has money", lambda: has_money(running.port, bearer))
    yield running
    code, output = running.stop()
    assert code == 0, output


@pytest.fixture(scope="session")
def api_key(exchange):
    return ApiKey(exchange.port)


@pytest.fixture(scope="session")
def bridge(exchange, tmp_path_factory):
    bridge = Bridge(tmp_path_factory.mktemp("bridge"), exchange.port)
    yield bridge
    code, output = bridge.stop()
    assert code == 0, output


@pytest.fixture(params=["managed", "bridge"])
def door(request, exchange, api_key):
    if request.param == "managed":
        return Door(exchange.port, api_key)
    bridge = request.getfixturevalue("bridge")
    return Door(bridge.port, bridge.api_key)


@pytest.fixture
def ask_exchange(exchange):
    def asked(method, path, body=None, headers=None):
        return ask(exchange.port, method, path, body, headers)

    return asked
