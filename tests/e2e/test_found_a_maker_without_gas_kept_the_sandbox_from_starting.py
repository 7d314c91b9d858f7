"""The makers' keys are public. Found: whoever took the native coin of one that had nothing in the
vault made each start end in a traceback."""

import asyncio
from pathlib import Path

import pytest
import structlog
from eth_account import Account

from engine.types import Side
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox import actors
from gateway.sandbox.run import keep_blocks_coming, open_market
from gateway.sandbox.wallet import TransactionLost, Wallet
from settlement.chain.dev.devchain import dev_secret

GAS, GWEI = 21_000, 10**9
FEE = 100 * GWEI


def emptied(stack: Stack, who: int, to: bytes) -> None:
    """Send all native coin of one of the accounts away."""
    chain, account = stack.chain, Account.from_key(dev_secret(who))
    address = bytes.fromhex(account.address[2:])
    plain = {
        "chainId": stack.deployment.chain_id,
        "nonce": chain.nonce(address, pending=True),
        "to": to,
        "value": chain.balance(address) - GAS * FEE,
        "gas": GAS,
        "maxFeePerGas": FEE,
        "maxPriorityFeePerGas": FEE,
        "data": b"",
    }
    chain.send_raw(bytes(account.sign_transaction(plain).raw_transaction))
    stack.devchain.mine()
    assert chain.balance(address) < 10**16, "too little for anything"


def test_a_sandbox_opens_with_the_quotes_of_who_can_still_pay(tmp_path: Path) -> None:
    async def story() -> list[str]:
        async with Stack(sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")) as stack:
            domain = stack.parts.exchange.domain
            everybody = range(actors.GIVER + 1)
            wallets = {who: Wallet(dev_secret(who), stack.chain, domain) for who in everybody}
            poor = wallets[actors.MAKER_ONE]
            emptied(stack, actors.MAKER_ONE, wallets[actors.CUSTOMER].address)
            with pytest.raises(TransactionLost, match=r"nsufficient|afford"):
                poor.transact(poor.address, b"")
            await stack.serve()
            blocks = asyncio.create_task(keep_blocks_coming(stack))
            with structlog.testing.capture_logs() as said:
                await open_market(stack, wallets)
            blocks.cancel()
            market = stack.parts.catalog.markets[0]
            for side in (Side.BUY, Side.SELL):
                assert stack.parts.exchange.depth(market, side, 1), "the other maker quotes"
            return [line["event"] for line in said]

    said = asyncio.run(story())
    assert said.count("not funded") == 3, "three tokens"
    assert "quotes refused" in said
