"""A whole exchange, its traders' cancels and those that the chain brings about: all are lawful."""

import asyncio
from pathlib import Path

from engine.commands import Kind
from engine.types import Side
from gateway.cli.serve import settings_of
from gateway.node.node import Stack
from gateway.sandbox.wallet import Wallet
from settlement.audit.verify import verify
from settlement.chain.dev.devchain import DevChain, dev_secret
from settlement.chain.signer import SecretSigner
from settlement.ports import awaited
from settlement.protocol.abi import encode_call
from tests.asked import login_of
from tests.chain.test_serve import CANARY, TURNS_MAX, fund_operator, served, trade
from tests.chain.venue import transact

LANES = range(0x8001, 0x8006)


async def ask_for_everything(stack: Stack, anvil: DevChain) -> None:
    """Leave nothing of five orders: four by their owner, one by its cancel on chain."""
    exchange, secret = stack.parts.exchange, dev_secret(1)
    wallet = Wallet(secret, stack.chain, exchange.domain)
    now_s = stack.now_ns() // 10**9
    proof, market = login_of(exchange.domain, secret, now_s), stack.parts.catalog.markets[0]
    ids = []
    for lane in LANES:
        order = wallet.order(
            market, Side.SELL, 10, 260_000, nonce=1, expiry=now_s + 3_600, lane=lane
        )
        ids.append((await exchange.place(order)).order_id)
    me = proof.account
    assert (await exchange.cancel(me, ids[0], proof)).accepted
    assert (await awaited(exchange.offer_amend(me, ids[1], 4, proof))).accepted
    wish = encode_call("requestCancel", LANES[2], False, 1)
    signer, contract = SecretSigner(secret), exchange.domain.contract
    receipt = await asyncio.to_thread(transact, anvil.chain, signer, contract, wish)
    assert receipt.succeeded
    for _ in range(TURNS_MAX):
        await stack.parts.chain_loop.turn()
        if stack.parts.admission.standing.of(ids[2]) is None:
            break
        await asyncio.to_thread(anvil.mine)
    soon_ns = stack.now_ns() + 3_600 * 10**9
    assert (await awaited(exchange.offer_cancel_after(me, soon_ns, proof))).accepted
    swept = await awaited(exchange.offer_cancel_all(me, market, proof))
    assert swept.detail == {"cancelled": "3", "left": "0"}


def test_all_that_traders_and_the_chain_have_cancelled_is_found_lawful(
    anvil: DevChain, tmp_path: Path
) -> None:
    operator = SecretSigner(CANARY).address
    fund_operator(anvil, operator)
    serving = served(tmp_path, anvil, operator)
    said: list[str] = []

    async def story() -> None:
        async with Stack(settings_of(serving)) as stack:
            await trade(stack, anvil)
            await ask_for_everything(stack, anvil)

    asyncio.run(story())
    where = serving.directory / "journal", str(anvil.rpc_url), tmp_path / "contracts.json"
    verdict = verify(*where, None, said.append)
    assert verdict.faults == []
    notes = " ".join(said)
    for kind in (Kind.CANCEL, Kind.AMEND, Kind.CANCEL_ALL, Kind.CANCEL_AFTER):
        assert f" {kind.name}" not in notes, "each has somebody who wanted it"
