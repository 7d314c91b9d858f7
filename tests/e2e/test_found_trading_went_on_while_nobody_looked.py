"""Found: where the chain was not seen for as long as an exit takes, trading went on; whoever had
asked for an exit took on chain what he had sold here."""

import asyncio
from pathlib import Path

from engine.commands import Kind
from engine.types import Outcome
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from tests.e2e.test_a_busted_trade_is_undone_everywhere import NS, Clock


def test_only_cancels_are_taken_until_the_chain_is_seen_again(tmp_path: Path) -> None:
    clock = Clock()
    settings = sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")
    half_ns = (settings.delays.exit - settings.delays.horizon) * NS // 2

    async def first() -> None:
        async with Stack(settings, clock, clock) as stack:
            await stack.parts.chain_loop.turn()
            clock.ahead_ns += half_ns - 60 * NS
            assert stack.parts.pipeline.rejection(Kind.PLACE) is None
            clock.ahead_ns += 120 * NS

            refused = stack.parts.pipeline.rejection(Kind.PLACE)
            assert refused is not None and refused.outcome is Outcome.UNDER_REVIEW
            (why,) = stack._restrictions()
            assert why.startswith("the chain was not seen for ")
            assert stack.parts.pipeline.rejection(Kind.CANCEL) is None
            assert stack.parts.pipeline.rejection(Kind.WITHDRAW) is None
            await stack.parts.chain_loop.turn()
            assert stack._restrictions() == []
            assert stack.parts.pipeline.rejection(Kind.PLACE) is None

    async def after_a_rest() -> None:
        clock.ahead_ns += 2 * half_ns
        async with Stack(settings, clock, clock) as stack:
            (why,) = stack._restrictions()
            assert why.startswith("the chain was not seen for "), "nor while we were stopped"
            await stack.parts.chain_loop.turn()
            assert stack._restrictions() == []

    asyncio.run(first())
    asyncio.run(after_a_rest())
