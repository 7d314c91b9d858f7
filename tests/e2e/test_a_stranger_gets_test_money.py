"""Whoever comes to a sandbox with a wallet of his own can trade, pay in, and take only so much."""

import asyncio
from pathlib import Path

import pytest

from engine.types import Outcome
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox import actors
from gateway.sandbox.demo_wallet import ENOUGH, GAS_WEI, GIFT, WAITING_MAX, Faucet
from gateway.sandbox.funding import vault_pips, wallet_raw
from gateway.sandbox.run import keep_blocks_coming
from gateway.sandbox.wallet import Wallet
from gateway.trading.rejection import Rejection
from settlement.chain.dev.devchain import dev_secret

STRANGER = b"\x5a" * 20


def test_a_stranger_has_money_in_vault_and_wallet_and_gas_to_move_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with Stack(sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")) as stack:
            await stack.serve()
            blocks = asyncio.create_task(keep_blocks_coming(stack))
            chain, exchange = stack.chain, stack.parts.exchange
            giver = Wallet(dev_secret(actors.GIVER), chain, exchange.domain)
            faucet = Faucet(stack, giver)
            await faucet.give(STRANGER)
            assert chain.balance(STRANGER) == GAS_WEI
            for token in stack.parts.catalog.tokens:
                gift = GIFT[token.symbol]
                assert vault_pips(chain, stack.deployment, STRANGER, token.address) == gift
                assert wallet_raw(chain, STRANGER, token.address) == token.raw_of(gift)

            crowd = [asyncio.create_task(faucet.give(STRANGER)) for _ in range(WAITING_MAX + 1)]
            ends = await asyncio.gather(*crowd, return_exceptions=True)
            refused = [end for end in ends if isinstance(end, Rejection)]
            assert [end.outcome for end in refused] == [Outcome.OVERLOADED]
            assert chain.balance(STRANGER) == GAS_WEI, "gas is given once"
            async with asyncio.timeout(60):
                while any(
                    exchange.balance(STRANGER, token.address).available
                    < ENOUGH * GIFT[token.symbol]
                    for token in stack.parts.catalog.tokens
                ):
                    await asyncio.to_thread(stack.devchain.mine)
            with pytest.raises(Rejection) as no:
                await faucet.give(STRANGER)
            assert no.value.outcome is Outcome.FORBIDDEN
            blocks.cancel()

    asyncio.run(story())
