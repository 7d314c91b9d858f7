"""Found by reading: cancels on chain were read before a snapshot was loaded, which put the lanes
back to where they were when it was taken. An order that the contract would refuse was admitted."""

import asyncio
from pathlib import Path

from engine.types import Outcome, Side
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox.actors import MAKER_ONE
from gateway.sandbox.wallet import Wallet
from settlement.chain.dev.devchain import dev_secret
from settlement.protocol.abi import encode_call
from settlement.watching.watcher import REORG_BLOCKS_MAX
from tests.e2e.test_an_orderly_stop_settles_first import funded

LANE, OTHER_LANE = 0x8000, 0x8001


def test_a_cancel_between_the_last_snapshot_and_the_stop_is_known_at_the_start(tmp_path: Path):
    settings = sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")

    def maker_of(stack: Stack) -> Wallet:
        return Wallet(dev_secret(MAKER_ONE), stack.chain, stack.parts.exchange.domain)

    async def placed(stack: Stack, nonce: int, lane: int) -> Outcome:
        order = maker_of(stack).order(
            stack.parts.catalog.markets[0],
            *(Side.SELL, 10, 250_000),
            nonce=nonce,
            expiry=stack.now_ns() // 10**9 + 3_600,
            lane=lane,
        )
        return (await stack.parts.exchange.place(order)).outcome

    async def first() -> None:
        async with Stack(settings) as stack:
            await funded(stack, maker_of(stack))
            stack.snapshotter.begin()
            assert (await stack.parts.exchange.tick()).accepted
            for lane in (LANE, 0):
                call = encode_call("requestCancel", lane, False, 1_000)
                maker_of(stack).transact(stack.deployment.exchange, call)
            # Deeper than what a start reads again by itself.
            stack.devchain.mine(REORG_BLOCKS_MAX + 8)
            await stack.parts.chain_loop.turn()
            assert await placed(stack, 1_000, LANE) == Outcome.NONCE_USED
            cursor = stack.parts.watcher.cursor
            assert cursor > stack.chain.head().number - 4

    async def second() -> None:
        async with Stack(settings) as stack:
            assert stack.parts.sequencer.resumed_at > 0, "it went on from a snapshot"
            assert await placed(stack, 1_000, LANE) == Outcome.NONCE_USED
            assert stack.parts.admission.next_nonce(maker_of(stack).address) == 1_001
            assert await placed(stack, 1_001, LANE) == Outcome.ACCEPTED
            assert await placed(stack, 1, OTHER_LANE) == Outcome.ACCEPTED

    asyncio.run(first())
    asyncio.run(second())
