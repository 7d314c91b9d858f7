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
from tests.chain.road import AGE_NS, ALICE, BOB, LANE, Road

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
def priced(tmp_path: Path, clock: Clock) -> Iterator[tuple[Road, Priced]]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        road = Road(tmp_path, chain, clock)
        road.fund()
        fees = Priced(chain.chain)
        any_chain: Any = fees
        road.reopen(any_chain)
        yield road, fees
        road.close()


def trade(road: Road, turn: int) -> None:
    road.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE + turn, expires_in_s=9_000)
    road.place(ALICE, Side.BUY, 2_500, 10, nonce=turn, expires_in_s=9_000)


def run(road: Road, clock: Clock, ahead_ns: int) -> list[ActionState]:
    clock.ahead_ns += ahead_ns
    until(lambda: not road.settler.step())
    return [state.state for state in road.settler.batches(9)]


def test_trades_made_while_gas_is_dear_share_a_batch_when_it_is_cheap(
    priced: tuple[Road, Priced], clock: Clock
):
    road, fees = priced
    trade(road, 1)
    assert run(road, clock, AGE_NS) == [ActionState.SEALED], "sealed before the price was known"
    for turn in (2, 3, 4):
        trade(road, turn)
        assert run(road, clock, AGE_NS) == [ActionState.SEALED]

    fees.price = 0
    assert run(road, clock, AGE_NS) == [ActionState.FINAL] * 2
    assert [b.batch.last_trade for b in road.settler.batches(9)] == [4, 1]


def test_patience_ends_well_before_the_horizon(priced: tuple[Road, Priced], clock: Clock):
    road, _ = priced
    trade(road, 1)
    assert run(road, clock, AGE_NS) == [ActionState.SEALED]
    assert run(road, clock, PATIENCE_NS // 2 - AGE_NS) == [ActionState.SEALED]
    assert run(road, clock, 2 * AGE_NS)[0] is not ActionState.SEALED, "sent, at the dear price"
    (action,) = road.outbox.in_state(*ActionState, limit=9)
    assert action.fee_max == Policy(1).fee_cap_wei
