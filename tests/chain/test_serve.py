"""An exchange on a chain of others: deployed contracts, a keystore, and no secret in any word."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import structlog
from eth_account import Account
from typer.testing import CliRunner

from engine.types import Side
from gateway.cli.main import app
from gateway.cli.serve import Serving, settings_of
from gateway.node.node import Stack
from gateway.node.secrets import acknowledging_signer
from gateway.node.settings import Remote
from gateway.sandbox.funding import fill_vault
from gateway.sandbox.wallet import Wallet
from settlement.chain.deploy import BondPlan, Delays, DeploymentError, TokenPlan, deploy
from settlement.chain.dev.devchain import DevChain, dev_secret
from settlement.chain.signer import KeystoreError, SecretSigner
from settlement.orders.withdrawals import LEAST_WITHDRAWAL_PIPS

CANARY = bytes.fromhex("c0ffee" * 10 + "c0de")
PASSWORD = "correct horse canary staple"
TURNS_MAX = 400
MARKETS = [
    {
        "symbol": "TOKEN-USD",
        "base": "TOKEN",
        "quote": "USD",
        "lot_pips": 10_000,
        "tick_pips": 100,
        "maker_fee_ppm": -200,
        "taker_fee_ppm": 1_000,
        "least_withdrawal_pips": {"USD": 123_000_000},
    }
]


def served(tmp_path: Path, anvil: DevChain, operator: bytes) -> Serving:
    """Deploy for ``operator`` and write the files that an operator prepares."""
    tokens = (TokenPlan("Dollar", "USD", 6), TokenPlan("Token", "TOKEN", 18))
    record = tmp_path / "contracts.json"
    directory = tmp_path / "data"
    directory.mkdir()
    bond = BondPlan(acknowledging_signer(directory).address, "USD", 10**9)
    deploy(anvil.chain, record, SecretSigner(dev_secret(9)), operator, tokens, Delays(), bond)
    keystore, password = tmp_path / "operator.json", tmp_path / "password"
    keystore.write_text(json.dumps(Account.encrypt(CANARY, PASSWORD, kdf="pbkdf2", iterations=2)))
    password.write_text(PASSWORD + "\n")
    markets = tmp_path / "markets.json"
    markets.write_text(json.dumps(MARKETS))
    remote = Remote((str(anvil.rpc_url),), record)
    files = (keystore, password, markets)
    return Serving(directory, "127.0.0.1", 0, remote, *files, 2, "")


async def until_final(stack: Stack, anvil: DevChain, trade_id: int) -> None:
    for _ in range(TURNS_MAX):
        await stack.parts.chain_loop.turn()
        await asyncio.to_thread(anvil.mine)
        if stack.parts.settler.trade_state(trade_id).state == "final":
            return
    raise AssertionError("the trade did not become final")


async def trade(stack: Stack, anvil: DevChain) -> None:
    wallets = [Wallet(dev_secret(i), stack.chain, stack.parts.exchange.domain) for i in (1, 2)]
    for wallet in wallets:
        for token in stack.parts.catalog.tokens:
            vault = (stack.chain, stack.deployment, wallet, token, 10**14)
            await asyncio.to_thread(fill_vault, *vault)
    for _ in range(TURNS_MAX):
        await stack.parts.chain_loop.turn()
        await asyncio.to_thread(anvil.mine)
        balances = (
            stack.parts.exchange.balance(w.address, t.address)
            for w in wallets
            for t in stack.parts.catalog.tokens
        )
        if all(sum(balance) for balance in balances):
            break
    market, expiry = stack.parts.catalog.markets[0], stack.now_ns() // 10**9 + 3_600
    maker, taker = wallets
    for order in (
        maker.order(market, Side.SELL, 10, 250_000, nonce=1, expiry=expiry, lane=0x8000),
        taker.order(market, Side.BUY, 10, 250_000, nonce=1, expiry=expiry),
    ):
        assert (await stack.parts.exchange.place(order)).accepted


def fund_operator(anvil: DevChain, operator: bytes) -> None:
    anvil.rpc("anvil_setBalance", ["0x" + operator.hex(), hex(10**20)])


def test_it_trades_settles_and_restarts_on_a_chain_it_did_not_make(
    anvil: DevChain, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any
):
    operator = SecretSigner(CANARY).address
    fund_operator(anvil, operator)
    serving = served(tmp_path, anvil, operator)
    words: list[str] = []

    async def story() -> None:
        async with Stack(settings_of(serving)) as stack:
            usd, token = map(stack.parts.catalog.token, ("USD", "TOKEN"))
            assert usd and stack.parts.exchange.least_withdrawal(usd) == 123_000_000, (
                "as it is stated"
            )
            assert token and stack.parts.exchange.least_withdrawal(token) == LEAST_WITHDRAWAL_PIPS
            await trade(stack, anvil)
            await until_final(stack, anvil, 1)
            maker = SecretSigner(dev_secret(1)).address
            (fill,) = stack.views.user_stream.fills(maker, 9)
            assert fill.fee_pips < 0, "a maker has a rebate here"
            assert stack.parts.reconciliation.block > 0 and stack.parts.reconciliation.reasons == []
            assert stack.chain.nonce(operator, pending=False) == 1
            words.extend(map(repr, (stack.settings, stack.parts.settler, vars(stack))))
        async with Stack(settings_of(serving)) as again:
            assert again.parts.settler.trade_state(1).state == "final"
            await again.parts.chain_loop.turn()
            assert again.parts.settler.halted is None

    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logged:
        asyncio.run(story())
    output = capfd.readouterr()
    words += [caplog.text, output.out, output.err, repr(logged)]
    words += [path.read_bytes().hex() for path in serving.directory.rglob("*") if path.is_file()]
    assert len(words) > 10
    for text in words:
        for secret in (CANARY.hex(), PASSWORD, PASSWORD.encode().hex(), str(int(CANARY.hex(), 16))):
            assert secret not in text, "a secret was written down"


def test_the_key_that_a_bond_is_to_answer_for_is_made_once_and_named(tmp_path: Path):
    told = [
        CliRunner().invoke(app, ["acknowledger", "--data", str(tmp_path / "new")]).output
        for _ in range(2)
    ]

    assert told == ["0x" + acknowledging_signer(tmp_path / "new").address.hex() + "\n"] * 2
    assert (tmp_path / "new" / "acknowledgement.key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_the_bond_does_not_answer_for_is_refused(anvil: DevChain, tmp_path: Path):
    serving = served(tmp_path, anvil, SecretSigner(CANARY).address)
    (serving.directory / "acknowledgement.key").write_text("11" * 32)

    async def open_it() -> None:
        async with Stack(settings_of(serving)):
            raise AssertionError("it opened")

    with pytest.raises(DeploymentError, match="the bond answers for the word of 0x"):
        asyncio.run(open_it())


def test_a_wrong_operator_key_or_password_is_refused_before_anything_is_sent(
    anvil: DevChain, tmp_path: Path
):
    serving = served(tmp_path, anvil, SecretSigner(dev_secret(4)).address)

    async def open_it() -> None:
        async with Stack(settings_of(serving)):
            raise AssertionError("it opened")

    with pytest.raises(DeploymentError, match="the exchange takes batches of 0x"):
        asyncio.run(open_it())
    serving.password_file.write_text("wrong canary")
    with pytest.raises(KeystoreError) as refused:
        settings_of(serving)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("least", [{"EUR": 1}, {"USD": 0}, {"USD": 2**62}])
def test_a_least_payout_that_cannot_be_is_refused_at_the_start(
    anvil: DevChain, tmp_path: Path, least: dict[str, int]
):
    serving = served(tmp_path, anvil, SecretSigner(CANARY).address)
    serving.markets.write_text(json.dumps([MARKETS[0] | {"least_withdrawal_pips": least}]))
    with pytest.raises(ValueError, match=r"EUR|least_withdrawal_pips"):
        settings_of(serving)
