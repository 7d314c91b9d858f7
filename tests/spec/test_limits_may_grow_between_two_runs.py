"""E7: a saved state goes on under larger limits, all but the generations of a slot."""

import numpy as np
import pytest

from engine import core, reference
from engine.commands import Kind, batch_of, command, list_market
from engine.events import EventKind, Events
from engine.types import Limits, Side

SMALL = Limits(tokens=2, markets=1, accounts=4, orders=4, ladder_ticks=64, generations=2)
LARGER = [
    SMALL._replace(tokens=5),
    SMALL._replace(markets=3),
    SMALL._replace(accounts=9),
    SMALL._replace(orders=9),
    SMALL._replace(ladder_ticks=256),
]
FAR_NS = 10**18


class Run:
    """An engine and its next sequence."""

    def __init__(self, engine, sequence=0):
        self.engine, self.sequence = engine, sequence

    def send(self, row) -> Events:
        self.sequence += 1
        row["sequence"], row["time_ns"] = self.sequence, self.sequence
        return self.engine.apply(batch_of([row]))

    def place(self, account=0):
        events = self.send(
            command(
                Kind.PLACE,
                account=account,
                side=Side.SELL,
                price_ticks=5,
                amount=1,
                expiry_ns=FAR_NS,
            )
        )
        return events[0]

    def retire_a_slot(self):
        """Use up the generations of the first slot, which then belongs to no list."""
        for row in (
            command(Kind.LIST_TOKEN, token=0),
            command(Kind.LIST_TOKEN, token=1),
            list_market(0, 0, 1, lot_pips=1, tick_pips=1, maker_fee_ppm=0, taker_fee_ppm=0),
            command(Kind.OPEN_ACCOUNT, account=0),
            command(Kind.DEPOSIT, account=0, token=0, amount=100),
        ):
            assert self.send(row)[0]["kind"] != EventKind.REJECTED
        slots = []
        for _ in range(SMALL.generations + 1):
            placed = self.place()
            assert placed["kind"] == EventKind.ACCEPTED
            slots.append(int(placed["order_id"]) & 0xFFFFFFFF)
            self.send(command(Kind.CANCEL, account=0, order_id=int(placed["order_id"])))
        assert len(set(slots)) == 2, "the first slot was used up"
        return self


@pytest.fixture
def saved():
    return Run(core.Engine(SMALL)).retire_a_slot()


@pytest.mark.parametrize("larger", LARGER, ids=str)
def test_a_saved_state_goes_on_under_larger_limits(saved, larger):
    again = Run(core.Engine.restore(larger, saved.engine.image()), saved.sequence)
    oracle = Run(reference.Engine(SMALL)).retire_a_slot()

    again.engine.check()
    assert again.engine.state_hash() == saved.engine.state_hash() == oracle.engine.state_hash()
    assert np.array_equal(again.place(), oracle.place())
    again.engine.check()
    assert again.engine.state_hash() == oracle.engine.state_hash()


def test_more_generations_are_found_because_a_retired_slot_would_be_on_no_list(saved):
    """The hash does not hold them, so ``check`` is what knows: see the engine's README."""
    larger = SMALL._replace(generations=9)
    again = core.Engine.restore(larger, saved.engine.image())

    assert again.state_hash() == saved.engine.state_hash()
    with pytest.raises(AssertionError, match="I5: slots"):
        again.check()
