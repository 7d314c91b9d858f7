"""While gas is dear trades gather and wait, but never for longer than they can."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.types import Side
from settlement.chain.dev.devchain import start_devchain
from settlement.outbox.actions import ActionState
from settlement.outbox.submitter import Policy
from tests.chain.conftest import Clock, until
from tests.chain.venue import AGE_NS, ALICE, BOB, LANE, Venue

DEAR = 10**12
PATIENCE_NS = Policy(1).patience_ns


class Priced:
    """The real chain at another price."""

    def __init__(self, chain: Any) -> None:
        self.chain, self.price = chain, DEAR

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chain, name)

    def base_fee(self) -> int:
        return self.price or int(self.chain.base_fee())


@pytest.fixture
def priced(tmp_path: Path, clock: Clock) -> Iterator[tuple[Venue, Priced]]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        venue = Venue(tmp_path, chain, clock)
        venue.fund()
        fees = Priced(chain.chain)
        any_chain: Any = fees
        venue.reopen(any_chain)
        yield venue, fees
        venue.close()


def trade(venue: Venue, turn: int) -> None:
    venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE + turn, expires_in_s=9_000)
    venue.place(ALICE, Side.BUY, 2_500, 10, nonce=turn, expires_in_s=9_000)


def run(venue: Venue, clock: Clock, ahead_ns: int) -> list[ActionState]:
    clock.ahead_ns += ahead_ns
    until(lambda: not venue.settler.step())
    return [state.state for state in venue.settler.batches(9)]


def test_trades_made_while_gas_is_dear_share_a_batch_when_it_is_cheap(
    priced: tuple[Venue, Priced], clock: Clock
):
    venue, fees = priced
    trade(venue, 1)
    assert run(venue, clock, AGE_NS) == [ActionState.SEALED], "sealed before the price was known"
    for turn in (2, 3, 4):
        trade(venue, turn)
        assert run(venue, clock, AGE_NS) == [ActionState.SEALED]

    fees.price = 0
    assert run(venue, clock, AGE_NS) == [ActionState.FINAL] * 2
    assert [b.batch.last_trade for b in venue.settler.batches(9)] == [4, 1]


def test_patience_ends_well_before_the_horizon(priced: tuple[Venue, Priced], clock: Clock):
    venue, _ = priced
    trade(venue, 1)
    assert run(venue, clock, AGE_NS) == [ActionState.SEALED]
    assert run(venue, clock, PATIENCE_NS // 2 - AGE_NS) == [ActionState.SEALED]
    assert run(venue, clock, 2 * AGE_NS)[0] is not ActionState.SEALED, "sent, at the dear price"
    (action,) = venue.outbox.in_state(*ActionState, limit=9)
    assert action.fee_max == Policy(1).fee_cap_wei
