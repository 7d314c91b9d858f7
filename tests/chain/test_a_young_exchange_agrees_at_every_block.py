"""A token that is not listed at a block holds nothing there; any other refusal is a warning."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from engine.sequencer.pipeline import Pipeline
from settlement.audit.reconcile import Reconciler
from settlement.chain.dev.devchain import DevChain
from settlement.chain.reverts import revert_reason
from settlement.exchange import Exchange
from settlement.halts import Reconciliation
from settlement.orders.withdrawals import Withdrawals
from settlement.protocol.abi import encode_call
from tests.chain.conftest import Clock
from tests.chain.road import ALICE, DELAYS, Road


@pytest.fixture
def road(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Road]:
    built = Road(tmp_path, devchain, clock)
    built.account(ALICE.address)
    yield built
    built.close()


def reconciler(road: Road, exchange: bytes) -> Reconciler:
    deployment = road.deployment._replace(exchange=exchange)
    return Reconciler(
        road.chain,
        road.outbox,
        road.settler.queue,
        road.settler.reversals,
        road.catalog,
        deployment,
        lambda: road.engine,
        Counter,
    )


def words_about(road: Road, exchange: bytes) -> tuple[list[str], int]:
    """Check every block from the first; return what was logged, and the last block compared."""
    blocks = road.chain.head().number + 1

    async def check_all() -> int:
        desk = Exchange(
            Pipeline(road.sequencer, lambda error: None),
            lambda: road.engine,
            road.catalog,
            road.admission,
            road.domain,
            road.clock,
            Withdrawals(frozenset(), {}, road.settler.reversals, DELAYS.exit),
        )
        reconciliation = Reconciliation(reconciler(road, exchange), desk)
        for block in range(1, blocks):
            await reconciliation.check(block)
        assert reconciliation.reasons == []
        return reconciliation.block

    with structlog.testing.capture_logs() as logged:
        last = asyncio.run(check_all())
    return [f"{line['event']}: {line['why']}" for line in logged], last


def test_before_its_tokens_are_listed_vault_and_ledger_agree_on_nothing(road: Road):
    exchange, head = road.deployment.exchange, road.chain.head().number
    call = encode_call("feesOf", road.token)
    blocks = range(1, head + 1)
    refusals = {revert_reason(road.chain, exchange, call, bytes(20), 10**6, n) for n in blocks}
    assert f"UnknownToken(0x{road.token.hex()})" in refusals, "there are such blocks"

    assert words_about(road, exchange) == ([], head)


def test_money_of_a_token_that_is_not_listed_there_is_a_difference(road: Road):
    judge = reconciler(road, road.deployment.exchange)
    road.engine.state.ledger.bring_in(road.account(ALICE.address), 1, 7)
    judge.compare(judge.cut(), 1)
    whats = {difference.what for difference in judge.compare(judge.cut(), 1)}
    assert whats == {"custody", f"account 0x{ALICE.address.hex()}"}


def test_a_contract_that_is_not_the_exchange_is_a_warning(road: Road):
    logged, last = words_about(road, road.deployment.custodian)

    assert logged and last == 0
    assert all(line.startswith("vault and ledger not compared: ") for line in logged)
