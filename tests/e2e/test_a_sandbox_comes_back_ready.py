"""A sandbox that was killed or stopped comes back ready, with all that came by the printed address.

Found: the greeting printed anvil's own address, past the durable log, so that SIGKILL lost what a
wallet had sent and halted the exchange; and after a clean stop anvil had no state for the last
blocks, so that the exchange was not ready until somebody traded.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from engine.types import PIPS_PER_TOKEN, Side
from gateway.sandbox.actors import CUSTOMER, VISITOR
from gateway.sandbox.client import Client
from gateway.sandbox.funding import fill_vault
from gateway.sandbox.wallet import Wallet
from settlement.chain.chain import node_at
from settlement.chain.deploy import Deployment
from settlement.chain.dev.devchain import dev_secret, find_anvil
from settlement.orders.catalog import Market, Token
from tests.e2e.running import Running, ask, until

PIPS = 7 * PIPS_PER_TOKEN


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[], Running]]:
    if find_anvil() is None:
        pytest.skip("anvil is not installed here")
    started: list[Running] = []

    def start() -> Running:
        started.append(Running(tmp_path, "anvil"))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def is_ready(here: Running) -> bool:
    return ask(here.port, "GET", "/readyz")[0] == 200


def printed_rpc(here: Running) -> str:
    """Return the JSON-RPC address of the greeting."""
    for line in here.process.stdout:
        if "JSON-RPC" in line:
            return str(line.split()[-1])
    raise AssertionError("no address was printed")


def listed(record: Deployment) -> dict[str, Token]:
    return {
        one.symbol: Token(number, one.symbol, one.address, one.decimals, one.unit_scale)
        for number, one in enumerate(record.tokens)
    }


def test_what_a_wallet_sent_to_the_printed_address_outlives_sigkill(
    run: Callable[[], Running], tmp_path: Path
):
    first = run()
    chain, record = node_at(printed_rpc(first)), Deployment.load(tmp_path / "deployment.json")
    wallet = Wallet(dev_secret(CUSTOMER), chain, record.domain)
    token = listed(record)["TOKEN"]
    fill_vault(chain, record, wallet, token, PIPS)
    before = chain.head()
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()

    second = run()
    until("it is ready", lambda: is_ready(second))
    again = node_at(printed_rpc(second))
    assert again.block(before.number) == before, "the same chain"
    for _ in range(3):
        assert is_ready(second), ask(second.port, "GET", "/readyz")
    code, output = second.stop()
    assert code == 0 and "halted" not in output, output


def test_a_second_start_is_ready_though_nobody_trades(run: Callable[[], Running]):
    assert run().stop()[0] == 0
    second = run()
    until("it is ready", lambda: is_ready(second))
    assert orjson.loads(ask(second.port, "GET", "/readyz")[2])["missing"] == []
    assert second.stop()[0] == 0


def test_found_a_sandbox_whose_asks_were_bought_never_started_again(
    run: Callable[[], Running], tmp_path: Path
):
    """Found: the makers' bids stood still on their lanes, and their quotes had to be taken."""
    first = run()
    chain, record = node_at(printed_rpc(first)), Deployment.load(tmp_path / "deployment.json")
    client, tokens = Client("127.0.0.1", first.port), listed(record)
    said = client.get("/v1/markets")["markets"][0]
    terms = {name: int(said[name]) for name in ("lot_pips", "tick_pips")}
    fees = {name: said[name] for name in ("maker_fee_ppm", "taker_fee_ppm")}
    market = Market(0, "TOKEN-USD", tokens["TOKEN"], tokens["USD"], **terms, **fees)
    visitor = Wallet(dev_secret(VISITOR), chain, record.domain)
    asks = client.get("/v1/markets/TOKEN-USD/book")["asks"]
    order = visitor.order(
        market,
        Side.BUY,
        sum(level["lots"] for level in asks),
        asks[-1]["price_ticks"],
        nonce=int(client.get(f"/v1/nonces/0x{visitor.address.hex()}")["single_shot"]),
        expiry=int(client.get("/v1/config")["time_ns"]) // 10**9 + 60,
    )
    assert client.place(order)["ended"] == "FILLED"
    assert client.get("/v1/markets/TOKEN-USD/book")["asks"] == []
    client.close()
    assert first.stop()[0] == 0

    second = run()
    until("it is ready", lambda: is_ready(second))
    assert second.stop()[0] == 0
