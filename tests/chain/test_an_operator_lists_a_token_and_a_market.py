"""A token and a market come to a running exchange by two commands, and stay over restarts."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
from eth_account import Account
from typer.testing import CliRunner

from gateway.cli.main import app
from settlement.chain.deploy import DEPLOY_GAS, Deployment, created_address
from settlement.chain.dev.devchain import DevChain, dev_secret
from settlement.chain.signer import SecretSigner, Transaction
from settlement.protocol.abi import encode_call, encode_deployment
from tests.chain.test_deploy_command import Desk, mine
from tests.chain.venue import transact
from tests.e2e.running import free_port, until
from tests.processes import Tillbook

TOKEN = "an_operator's_token_0123456789_0123456789"
MARKET = {
    "symbol": "TOKEN-USD",
    "base": "TOKEN",
    "quote": "USD",
    "lot_pips": 10_000,
    "tick_pips": 100,
    "maker_fee_ppm": 0,
    "taker_fee_ppm": 1_000,
}
SOMEBODY = SecretSigner(dev_secret(5))
REASON = ("--reason", "our users asked for it")


class Shop:
    """An operator's machine: files, a server, and commands."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.anvil = desk, desk.anvil
        here = desk.directory
        self.data, self.tokens, self.markets = here / "data", here / "tokens", here / "markets.json"
        self.keystore, self.password = here / "keystore", here / "password"
        self.data.mkdir()
        (self.data / "acknowledgement.key").write_text(dev_secret(6).hex())
        encrypted = Account.encrypt(dev_secret(0), "open", kdf="pbkdf2", iterations=2)
        self.keystore.write_text(json.dumps(encrypted))
        self.password.write_text("open")
        self.markets.write_text(json.dumps([MARKET]))
        self.tokens.write_text(f"alice {TOKEN}\n")
        self.port, self.admin_port = free_port(), free_port()
        self.process: Tillbook | None = None

    def start(self) -> None:
        self.process = Tillbook(
            *("serve", "--rpc", str(self.anvil.rpc_url)),
            *("--deployment", str(self.desk.record), "--keystore", str(self.keystore)),
            *("--password-file", str(self.password), "--markets", str(self.markets)),
            *("--data", str(self.data), "--port", str(self.port), "--confirmations", "1"),
            *("--admin-tokens", str(self.tokens), "--admin-port", str(self.admin_port)),
            "--compile",
        )
        until("it is ready", lambda: self.get("/readyz") == 200)

    def get(self, path: str) -> int:
        assert self.process is not None and self.process.poll() is None, self.output()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10).status_code
        except httpx.TransportError:
            return 0

    def sequence(self) -> int:
        """Return how many commands the log has."""
        url = f"http://127.0.0.1:{self.admin_port}/admin/v1/state"
        state = httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10).json()
        return int(state["sequence"])

    def output(self) -> str:
        return self.process.communicate()[0] if self.process else ""

    def stop(self, number: int = signal.SIGTERM) -> str:
        assert self.process is not None
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == (0 if number == signal.SIGTERM else -number), output
        return output

    def tillbook(self, *words: str, code: int = 0) -> str:
        ended = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
        assert ended.exit_code == code, ended.output
        return ended.output

    def operate(self, *words: str, code: int = 0) -> str:
        where = ("--admin-port", str(self.admin_port), "--admin-tokens", str(self.tokens))
        return self.tillbook(*words, *where, code=code)

    def in_the_contract(self) -> tuple[str, ...]:
        return (
            *("--key-file", str(self.desk.key), "--rpc", str(self.anvil.rpc_url)),
            *("--deployment", str(self.desk.record), "--confirmations", "1"),
        )


@pytest.fixture
def shop(tmp_path: Path, anvil: DevChain):
    directory = tmp_path / "desk"
    directory.mkdir()
    made = Shop(Desk(directory, anvil))
    made.desk.deploying().run(lambda _: None)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


def new_token(anvil: DevChain) -> bytes:
    """Deploy a token of somebody else's; return its address."""
    chain, nonce = anvil.chain, anvil.chain.nonce(SOMEBODY.address, pending=True)
    code = encode_deployment("TestToken", "New", "NEW", 8)
    raw = SOMEBODY.sign_transaction(
        Transaction(chain.chain_id, nonce, None, code, DEPLOY_GAS, 10**11, 10**9)
    )
    chain.send_raw(raw)
    address = created_address(SOMEBODY.address, nonce)
    until("the token is there", lambda: chain.code(address))
    return address


def deposit(shop: Shop, token: bytes, raw: int) -> None:
    exchange = Deployment.load(shop.desk.record).exchange
    calls: tuple[tuple[bytes, bytes], ...] = (
        (token, encode_call("mint", SOMEBODY.address, raw, contract="TestToken")),
        (token, encode_call("approve", exchange, raw, contract="TestToken")),
        (exchange, encode_call("deposit", token, raw, SOMEBODY.address, bytes(32))),
    )
    for to, calldata in calls:
        assert transact(shop.anvil.chain, SOMEBODY, to, calldata).succeeded


def mined_while(anvil: DevChain, work: Callable[[], None]) -> None:
    """Let blocks come while ``work`` is done."""
    over = Event()

    def keep_mining() -> None:
        while not over.wait(0.1):
            mine(anvil)

    miner = Thread(target=keep_mining)
    miner.start()
    try:
        work()
    finally:
        over.set()
        miner.join()


def test_a_token_and_a_market_come_to_a_running_exchange_and_stay(shop: Shop):
    mined_while(shop.anvil, lambda: the_whole_story(shop))


def the_whole_story(shop: Shop) -> None:
    shop.start()
    address = new_token(shop.anvil)
    add = ("token", "add", "NEW", "0x" + address.hex(), "--decimals", "8", *REASON)
    assert "its admin lists it first" in shop.operate(*add, code=1)
    told = shop.operate(*add, *shop.in_the_contract())
    assert "Token 2 of the contract is NEW." in told and "listed by command" in told
    for again in (add, (*add, *shop.in_the_contract())):
        assert "was listed already" in shop.operate(*again)
    wrong = ("token", "add", "OLD", "0x" + address.hex(), "--decimals", "8", *REASON)
    assert "BAD_LISTING" in shop.operate(*wrong, code=1)

    terms = ("--lot-pips", "10000", "--tick-pips", "100", "--maker-fee-ppm", "-100")
    market = ("market", "add", "NEW-USD", *terms, "--taker-fee-ppm", "500", *REASON)
    assert "NEW-USD listed by command" in shop.operate(*market)
    # Killed at once: what was answered is in the log, and nothing else has to be.
    shop.stop(signal.SIGKILL)
    shop.start()
    assert "NEW-USD was listed already" in shop.operate(*market)
    assert "symbol=NEW-USD" in shop.operate("market", "list")
    assert len(shop.operate("token", "list").splitlines()) == 3
    record = Deployment.load(shop.data / "deployment.json")
    assert [token.symbol for token in record.tokens] == ["USD", "TOKEN", "NEW"]

    before = shop.sequence()
    deposit(shop, address, 10**10)
    until("an account is opened and has its deposit", lambda: shop.sequence() >= before + 2)
    assert shop.get("/v1/markets/NEW-USD/book?levels=1") == 200
    shop.stop()
    exported = shop.desk.directory / "log"
    shop.tillbook("export", "--data", str(shop.data), "--to", str(exported))
    said = shop.tillbook("verify", "--rpc", str(shop.anvil.rpc_url), "--log", str(exported))
    assert "1 LIST_TOKEN by alice: our users asked for it" in said
    assert "1 LIST_MARKET by alice: our users asked for it" in said
    assert "DEPOSIT" in shop.tillbook("journal", "dump", "--data", str(shop.data))


def test_a_wrong_token_or_no_server_is_one_line(shop: Shop):
    told = shop.operate("market", "list", code=1)
    assert told.count("\n") == 1 and "No answer from 127.0.0.1" in told
    for text in ("", "# nobody\n"):
        shop.tokens.write_text(text)
        assert "has no token" in shop.operate("token", "list", code=1)
