"""Loops look seldom while nothing happens, and at once when something does."""

import asyncio
from pathlib import Path

import httpx

from gateway.node.node import Stack
from gateway.node.pace import LIVELY_NS, Pace, Rhythm
from gateway.node.settings import sandbox_settings

NEVER = Rhythm(3_600, 7_200)


class Steady:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 10**9

    def __call__(self) -> int:
        return self.now_ns


def test_a_word_wakes_whoever_sleeps_and_an_end_wakes_all() -> None:
    clock = Steady()

    async def story() -> None:
        pace = Pace(clock)
        assert pace.is_lively, "a process that has just begun looks around"
        clock.now_ns += LIVELY_NS
        assert not pace.is_lively
        sleeping = [asyncio.create_task(pace.wait(NEVER)) for _ in range(3)]
        await asyncio.wait(sleeping, timeout=0)
        pace.happened()
        assert pace.is_lively
        await asyncio.gather(*sleeping)

        awake = asyncio.create_task(pace.wait(NEVER))
        await asyncio.wait([awake], timeout=0)
        pace.happened()
        done, _ = await asyncio.wait([awake], timeout=0)
        assert not done, "who looks soon anyway is not driven"
        pace.end()
        await awake
        clock.now_ns += LIVELY_NS
        pace.happened()
        await pace.wait(NEVER)
        assert pace.is_over

    asyncio.run(story())


def test_a_command_is_heard_and_what_is_only_read_is_not(tmp_path: Path) -> None:
    clock = Steady()
    settings = sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")

    async def story() -> None:
        async with Stack(settings, steady_ns=clock) as stack:
            await stack.serve()
            clock.now_ns += LIVELY_NS
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stack.port}") as http:
                assert (await http.get("/v1/markets")).status_code == 200
                assert not stack.pace.is_lively
            assert (await stack.parts.exchange.tick()).accepted
            assert stack.pace.is_lively, "a command is"

    asyncio.run(story())
