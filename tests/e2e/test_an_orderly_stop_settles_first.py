"""Does an orderly stop leave trades behind that a long rest would make impossible to settle?

It does not, whatever goes wrong on the way; and whatever was opened is closed.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, Request

from engine.journal import DirectoryStorage
from engine.types import Side
from gateway.node.node import Stack
from gateway.node.settings import Settings, sandbox_settings
from gateway.sandbox.actors import MAKER_ONE, MAKER_TWO
from gateway.sandbox.funding import fill_vault
from gateway.sandbox.wallet import Wallet
from settlement.chain.dev.devchain import dev_secret
from settlement.outbox.outbox import Outbox

NEVER_NS = 10**18
POLLS_MAX = 2_000


async def funded(stack: Stack, wallet: Wallet) -> None:
    for token in stack.parts.catalog.tokens:
        await asyncio.to_thread(fill_vault, stack.chain, stack.deployment, wallet, token, 10**14)
    for _ in range(POLLS_MAX):
        await asyncio.to_thread(stack.devchain.mine)
        await stack.parts.chain_loop.turn()
        if all(
            sum(stack.parts.exchange.balance(wallet.address, t.address))
            for t in stack.parts.catalog.tokens
        ):
            return
    raise AssertionError("the deposits were not credited")


async def matched(stack: Stack) -> None:
    """Let one trade happen that nothing has settled."""
    market = stack.parts.catalog.markets[0]
    expiry = stack.now_ns() // 10**9 + 3600
    domain = stack.parts.exchange.domain
    maker, taker = (Wallet(dev_secret(who), stack.chain, domain) for who in (MAKER_ONE, MAKER_TWO))
    await funded(stack, maker)
    await funded(stack, taker)
    for order in (
        maker.order(market, Side.SELL, 10, 250_000, nonce=1, expiry=expiry, lane=0x8000),
        taker.order(market, Side.BUY, 10, 250_000, nonce=1, expiry=expiry),
    ):
        assert (await stack.parts.exchange.place(order)).accepted
    assert stack.parts.settler.trade_state(1).state == "matched"


def settings_at(directory: Path) -> Settings:
    """Return settings with which batches never grow old enough: only a stop can have sealed one."""
    return sandbox_settings(directory, "127.0.0.1", 0, "eth-tester")._replace(batch_age_ns=NEVER_NS)


def assert_settled(directory: Path) -> None:
    outbox = Outbox(directory / "settlement.sqlite")
    (batch,) = outbox.batch_states(limit=10)
    outbox.close()
    assert (batch.batch.first_trade, batch.batch.last_trade) == (1, 1)
    assert batch.block_number is not None, "the chain has it"


def test_what_was_matched_a_moment_ago_is_on_chain_after_the_stop(tmp_path: Path) -> None:
    async def story() -> None:
        async with Stack(settings_at(tmp_path)) as stack:
            await matched(stack)

    asyncio.run(story())
    assert_settled(tmp_path)


class Unclosable:
    """A connection that raises when it is told to close."""

    def close(self, code: int, close_message: Mapping[str, object]) -> None:
        raise RuntimeError("no")

    async def closed(self) -> None:
        raise AssertionError("it was not told")


def test_found_a_door_that_would_not_close_left_everything_behind_it_open(tmp_path: Path) -> None:
    router = APIRouter()

    @router.get("/joins")
    async def joins(request: Request) -> None:
        request.app.state.lifecycle.joined(Unclosable())

    async def story() -> None:
        async with Stack(settings_at(tmp_path)) as stack:
            stack.routers.append(router)
            await matched(stack)
            async with httpx.AsyncClient() as http:
                url = f"http://127.0.0.1:{await stack.serve()}/joins"
                assert (await http.get(url)).status_code == 200

    with pytest.raises(RuntimeError, match="no"):
        asyncio.run(story())
    assert_settled(tmp_path)
    DirectoryStorage(tmp_path / "journal").close()


def test_found_an_opening_that_fails_half_way_left_open_what_it_had_opened(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    market = settings.markets[0]._replace(lot_pips=-1)

    async def story() -> None:
        with pytest.raises(AssertionError, match="TOKEN-USD"):
            async with Stack(settings._replace(markets=(market,))):
                pass

    asyncio.run(story())
    DirectoryStorage(tmp_path / "journal").close()
