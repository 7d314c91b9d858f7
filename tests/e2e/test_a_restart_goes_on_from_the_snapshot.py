"""The whole exchange is forked, stopped and started again: it goes on where the child kept it."""

import asyncio
from pathlib import Path

from engine.types import Side
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox.actors import MAKER_ONE
from gateway.sandbox.wallet import Wallet
from settlement.chain.dev.devchain import dev_secret
from tests.e2e.test_an_orderly_stop_settles_first import funded


def test_a_restart_goes_on_from_the_snapshot_and_knows_everything(tmp_path: Path) -> None:
    settings = sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")

    async def first() -> tuple[int, bytes, dict[str, bytes]]:
        async with Stack(settings) as stack:
            market = stack.parts.catalog.markets[0]
            maker = Wallet(dev_secret(MAKER_ONE), stack.chain, stack.parts.exchange.domain)
            await funded(stack, maker)
            expiry = stack.now_ns() // 10**9 + 3600
            for lane in range(0x8000, 0x8004):
                order = maker.order(
                    market, Side.SELL, 10, 250_000, nonce=1, expiry=expiry, lane=lane
                )
                assert (await stack.parts.exchange.place(order)).accepted
            kept = stack.parts.sequencer.applied
            stack.snapshotter.begin()
            assert (await stack.parts.exchange.tick()).accepted, "nobody waits for the child"
            return kept, stack.engine.state_hash(), stack.parts.pipeline.checkpoints()

    async def second() -> tuple[int, bytes, dict[str, bytes], list[str]]:
        async with Stack(settings) as stack:
            return (
                stack.parts.sequencer.resumed_at,
                stack.engine.state_hash(),
                stack.parts.pipeline.checkpoints(),
                stack.keeper.restrictions(),
            )

    kept, state, memories = asyncio.run(first())
    resumed_at, state_again, memories_again, restrictions = asyncio.run(second())

    assert resumed_at == kept > 0
    assert state_again == state
    assert memories_again == memories
    assert restrictions == []
