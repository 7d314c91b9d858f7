"""A token that is not listed at a block holds nothing there; any other refusal is a warning."""

import asyncio
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
from tests.chain.venue import ALICE, DELAYS, Venue


@pytest.fixture
def venue(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, devchain, clock)
    built.account(ALICE.address)
    yield built
    built.close()


def reconciler(venue: Venue, exchange: bytes) -> Reconciler:
    deployment = venue.deployment._replace(exchange=exchange)
    return venue.reconciler(deployment=deployment)


def words_about(venue: Venue, exchange: bytes) -> tuple[list[str], int]:
    """Check every block from the first; return what was logged, and the last block compared."""
    blocks = venue.chain.head().number + 1

    async def check_all() -> int:
        driver = Exchange(
            Pipeline(venue.sequencer, lambda error: None),
            lambda: venue.engine,
            venue.catalog,
            venue.admission,
            venue.domain,
            venue.clock,
            Withdrawals(frozenset(), {}, venue.settler.reversals, DELAYS.exit),
        )
        reconciliation = Reconciliation(reconciler(venue, exchange), driver)
        for block in range(1, blocks):
            await reconciliation.check(block)
        assert reconciliation.reasons == []
        return reconciliation.block

    with structlog.testing.capture_logs() as logged:
        last = asyncio.run(check_all())
    return [f"{line['event']}: {line['why']}" for line in logged], last


def test_before_its_tokens_are_listed_vault_and_ledger_agree_on_nothing(venue: Venue):
    exchange, head = venue.deployment.exchange, venue.chain.head().number
    call = encode_call("feesOf", venue.token)
    blocks = range(1, head + 1)
    refusals = {revert_reason(venue.chain, exchange, call, bytes(20), 10**6, n) for n in blocks}
    assert f"UnknownToken(0x{venue.token.hex()})" in refusals, "there are such blocks"

    assert words_about(venue, exchange) == ([], head)


def test_money_of_a_token_that_is_not_listed_there_is_a_difference(venue: Venue):
    judge = reconciler(venue, venue.deployment.exchange)
    venue.engine.state.ledger.bring_in(venue.account(ALICE.address), 1, 7)
    judge.compare(judge.cut(), 1)
    whats = {difference.what for difference in judge.compare(judge.cut(), 1)}
    assert whats == {"custody", f"account 0x{ALICE.address.hex()}"}


def test_a_contract_that_is_not_the_exchange_is_a_warning(venue: Venue):
    logged, last = words_about(venue, venue.deployment.custodian)

    assert logged and last == 0
    assert all(line.startswith("vault and ledger not compared: ") for line in logged)
