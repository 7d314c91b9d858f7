"""Does an orderly stop leave trades behind that a long rest would make impossible to settle?"""

import asyncio
from pathlib import Path

from engine.types import Side
from gateway.node.node import Stack, sandbox_settings
from gateway.sandbox.actors import MAKER_ONE, MAKER_TWO
from gateway.sandbox.funding import fill_vault
from gateway.sandbox.wallet import Wallet
from settlement.chain.dev.devchain import dev_secret
from settlement.outbox.outbox import Outbox

NEVER_NS = 10**18
POLLS_MAX = 2_000


async def funded(stack: Stack, wallet: Wallet) -> None:
    for token in stack.catalog.tokens:
        await asyncio.to_thread(fill_vault, stack.chain, stack.deployment, wallet, token, 10**14)
    for _ in range(POLLS_MAX):
        await asyncio.to_thread(stack.devchain.mine)
        await stack.chain_loop.turn()
        if all(
            sum(stack.exchange.balance(wallet.address, t.address)) for t in stack.catalog.tokens
        ):
            return
    raise AssertionError("the deposits were not credited")


def test_what_was_matched_a_moment_ago_is_on_chain_after_the_stop(tmp_path: Path) -> None:
    async def story() -> None:
        settings = sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")
        # Batches never grow old enough here: only the stop can have sealed one.
        async with Stack(settings._replace(batch_age_ns=NEVER_NS)) as stack:
            market = stack.catalog.markets[0]
            expiry = stack.now_ns() // 10**9 + 3600
            domain = stack.exchange.domain
            maker, taker = (
                Wallet(dev_secret(who), stack.chain, domain) for who in (MAKER_ONE, MAKER_TWO)
            )
            await funded(stack, maker)
            await funded(stack, taker)
            for order in (
                maker.order(market, Side.SELL, 10, 250_000, nonce=1, expiry=expiry, lane=0x8000),
                taker.order(market, Side.BUY, 10, 250_000, nonce=1, expiry=expiry),
            ):
                assert (await stack.exchange.place(order)).accepted
            assert stack.settler.trade_state(1).state == "matched"

    asyncio.run(story())

    outbox = Outbox(tmp_path / "settlement.sqlite")
    (batch,) = outbox.batch_states(limit=10)
    outbox.close()
    assert (batch.batch.first_trade, batch.batch.last_trade) == (1, 1)
    assert batch.block_number is not None, "the chain has it"
