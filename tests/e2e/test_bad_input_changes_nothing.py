"""Does the whole exchange answer bad input with a clear problem, and is nothing different after?

A real stack on an in-process chain, asked through its own door by the demo's client. What was
refused before it got a sequence leaves the engine's ``state_hash`` as it was; what the engine
refused has moved the sequence by one and nothing else.
"""

import asyncio
import http.client
import threading

import orjson
import pytest

from engine.types import Outcome, Side
from gateway.http.body import BODY_MAX
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox.actors import MAKER_ONE, MAKER_TWO
from gateway.sandbox.client import Client, RequestRejected, order_document
from gateway.sandbox.funding import fill_vault
from gateway.sandbox.wallet import Wallet
from settlement.chain.dev.devchain import dev_secret

LONG_SECONDS = 60
LANE = 0x8000
DEPOSITS = {"TOKEN": 10 * 10**8, "USD": 50_000 * 10**8}


class Running:
    """A stack on a loop of its own thread, so that the test asks it from outside."""

    def __init__(self, directory, **changes):
        """``changes`` are made to the sandbox's settings."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stack", daemon=True)
        self._thread.start()
        settings = sandbox_settings(directory, "127.0.0.1", 0, "eth-tester")
        self.stack = Stack(settings._replace(**changes))
        self.on_loop(self.stack.__aenter__())
        self.on_loop(self.stack.serve())
        self.market = self.stack.parts.catalog.markets[0]
        self.client = Client("127.0.0.1", self.stack.port)
        self.wallets = {
            who: Wallet(dev_secret(who), self.stack.chain, self.stack.parts.exchange.domain)
            for who in (MAKER_ONE, MAKER_TWO)
        }
        self._nonce = 0

    def on_loop(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(LONG_SECONDS)

    def fund(self):
        """Deposit for the first maker and wait for the chain loop to credit it."""
        wallet = self.wallets[MAKER_ONE]
        for symbol, pips in DEPOSITS.items():
            token = self.stack.parts.catalog.token(symbol)
            fill_vault(self.stack.chain, self.stack.deployment, wallet, token, pips)
            self.on_loop(self._credited(wallet.address, token.address, pips))

    async def _credited(self, account, token, pips):
        async with asyncio.timeout(LONG_SECONDS):
            while self.stack.parts.exchange.balance(account, token).available != pips:
                await asyncio.to_thread(self.stack.devchain.mine)

    def close(self):
        self.client.close()
        self.on_loop(self.stack.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LONG_SECONDS)
        self._loop.close()

    def order(self, lots=100, ticks=250_000, *, who=MAKER_ONE, **changes):
        """Return a fresh signed order on a lane; ``changes`` are made after signing."""
        self._nonce += 1
        order = self.wallets[who].order(
            self.market,
            Side.BUY,
            lots,
            ticks,
            nonce=self._nonce,
            expiry=changes.pop("expiry", self.stack.now_ns() // 10**9 + 600),
            lane=LANE,
        )
        return order_document(order) | changes

    def resigned(self, document, **changes):
        """Return ``document`` with ``changes``, signed anew by the first maker."""
        found = document | changes
        wallet = self.wallets[MAKER_ONE]
        answer = self.client.post(
            "/v1/orders/digest", {key: value for key, value in found.items() if key != "signature"}
        )
        digest = bytes.fromhex(answer["digest"][2:])
        return found | {"signature": "0x" + wallet.sign_digest(digest).hex()}

    def state(self):
        """Return the engine's state hash, its sequence and the maker's balances."""

        async def read():
            engine, exchange = self.stack.engine, self.stack.parts.exchange
            address = self.wallets[MAKER_ONE].address
            balances = [
                exchange.balance(address, t.address) for t in self.stack.parts.catalog.tokens
            ]
            return engine.state_hash(), engine.sequence, balances

        return self.on_loop(read())

    def refused(self, document):
        """Place ``document``; return the problem of its rejection."""
        with pytest.raises(RequestRejected) as refused:
            self.client.post("/v1/orders", document)
        problem = refused.value.problem
        assert problem["status"] == refused.value.status
        assert problem["type"] == f"urn:tillbook:outcome:{problem['outcome']}"
        assert problem["detail"] and problem["title"]
        return problem


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    built = Running(tmp_path_factory.mktemp("stack"))
    try:
        built.fund()
        yield built
    finally:
        built.close()


@pytest.fixture
def unchanged(running):
    """Hold everything equal before and after the test."""
    before = running.state()
    yield
    assert running.state() == before


@pytest.mark.usefixtures("unchanged")
def test_a_wrong_signature_shows_what_we_checked_it_against(running):
    signed = running.order(lots=100)
    other = signed | {"maxFeePpm": signed["maxFeePpm"] + 1}

    problem = running.refused(other)

    assert problem["status"] in (401, 403)
    assert problem["outcome"] in (Outcome.BAD_SIGNATURE.name, Outcome.UNKNOWN_KEY.name)
    dry = {key: value for key, value in other.items() if key != "signature"}
    expected = running.client.post("/v1/orders/digest", dry)
    assert problem["digest"] == expected["digest"]
    domain = running.stack.parts.exchange.domain
    assert problem["domain"]["chainId"] == domain.chain_id
    assert problem["domain"]["verifyingContract"] == "0x" + domain.contract.hex()
    assert len(problem["recovered"]) == 42 and problem["recovered"] != signed["account"]


@pytest.mark.usefixtures("unchanged")
def test_somebody_elses_signature_is_named(running):
    theirs = running.order(who=MAKER_TWO)
    mine = "0x" + running.wallets[MAKER_ONE].address.hex()
    wallet = running.wallets[MAKER_TWO]
    dry = {key: value for key, value in theirs.items() if key != "signature"} | {"account": mine}
    digest = running.client.post("/v1/orders/digest", dry)["digest"]
    signature = wallet.sign_digest(bytes.fromhex(digest[2:]))

    problem = running.refused(dry | {"signature": "0x" + signature.hex()})

    assert problem["recovered"] == "0x" + wallet.address.hex()
    assert problem["recovered"] in problem["detail"]
    assert problem["digest"] == digest


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("signature", ["0x" + "00" * 65, "0x" + "ff" * 65])
def test_a_signature_that_no_key_can_have_made_is_refused(running, signature):
    problem = running.refused(running.order(signature=signature))

    assert (problem["outcome"], problem["recovered"]) == (Outcome.BAD_SIGNATURE.name, None)


@pytest.mark.usefixtures("unchanged")
def test_an_expired_order_is_refused(running):
    now = running.stack.now_ns() // 10**9

    problem = running.refused(running.order(expiry=now - 1))

    assert problem["outcome"] == Outcome.ORDER_EXPIRED.name
    assert problem["expiry"] == str(now - 1) and int(problem["now"]) >= now


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"base": "0x" + "99" * 20}, Outcome.UNKNOWN_MARKET),
        ({"quoteAmount": "2500000001"}, Outcome.OFF_TICK),
        ({"baseAmount": "1000001"}, Outcome.OFF_LOT),
        ({"baseAmount": "0"}, Outcome.AMOUNT_OUT_OF_RANGE),
        ({"nonce": "0"}, Outcome.BAD_NONCE),
        ({"lane": 5}, Outcome.BAD_LANE),
    ],
)
def test_terms_that_no_market_takes_are_refused(running, changes, outcome):
    document = running.order()
    if outcome not in (Outcome.BAD_LANE, Outcome.AMOUNT_OUT_OF_RANGE):
        document = running.resigned(document, **changes)

    assert running.refused(document | changes)["outcome"] == outcome.name


def test_an_order_without_the_money_moves_the_sequence_and_nothing_else(running):
    before = running.state()
    document = running.order(lots=10_000_000)

    problem = running.refused(document)

    assert problem["outcome"] == Outcome.INSUFFICIENT_BALANCE.name
    after = running.state()
    assert (problem["sequence"], after[1]) == (before[1] + 1, before[1] + 1)
    assert after[2] == before[2]
    again = running.refused(document)
    assert again["sequence"] == after[1] + 1, "sent again it is tried again"
    assert running.state()[2] == before[2]
    book = running.client.get("/v1/markets/TOKEN-USD/book?levels=5")
    assert (book["bids"], book["asks"]) == ([], [])


@pytest.mark.usefixtures("unchanged")
def test_an_account_that_never_had_a_deposit_is_refused(running):
    problem = running.refused(running.order(who=MAKER_TWO))

    assert problem["outcome"] == Outcome.INSUFFICIENT_BALANCE.name
    assert "sequence" not in problem


def post_raw(running, body):
    """Post bytes as they are; return (status, problem)."""
    connection = http.client.HTTPConnection("127.0.0.1", running.stack.port, timeout=LONG_SECONDS)
    connection.request("POST", "/v1/orders", body, {"content-type": "application/json"})
    response = connection.getresponse()
    problem = orjson.loads(response.read())
    connection.close()
    assert response.headers["content-type"] == "application/problem+json"
    return response.status, problem


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"order"',
        b"\xff\xfe",
        b"[" * 20_000,
        b'{"account": 1}',
        b"{account: 1}",
    ],
    ids=range(9),
)
def test_malformed_json_is_refused(running, body):
    status, problem = post_raw(running, body)

    assert (status, problem["outcome"]) == (400, Outcome.MALFORMED.name)
    assert problem["detail"]


@pytest.mark.usefixtures("unchanged")
def test_an_oversized_body_is_refused(running):
    status, problem = post_raw(running, b" " * (BODY_MAX + 1))

    assert (status, problem["outcome"]) == (413, Outcome.BODY_TOO_LARGE.name)
    assert problem["limit_bytes"] == str(BODY_MAX)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "changes",
    [
        {"postOnly": True},
        {"nonce": 5},
        {"nonce": "-1"},
        {"nonce": str(2**64)},
        {"baseAmount": "1.5"},
        {"expiry": 2**32},
        {"flags": 2048},
        {"account": "0x12"},
        {"signature": "0x12"},
        {"client_id": "x" * 200},
    ],
    ids=str,
)
def test_a_field_that_is_unknown_or_out_of_bounds_is_named(running, changes):
    problem = running.refused(running.order() | changes)

    assert problem["outcome"] == Outcome.MALFORMED.name
    assert next(iter(changes)) in problem["detail"]


def test_after_all_that_a_good_order_is_taken(running):
    """The comparison above can fail: an order that is taken changes what it looks at."""
    before = running.state()
    placed = running.client.post("/v1/orders", running.order())

    assert placed["resting_lots"] == 100
    assert running.state() != before
