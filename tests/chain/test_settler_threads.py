"""The pipeline's thread trades and asks while the worker's thread seals and sends."""

import threading
from pathlib import Path

from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionState
from tests.chain.conftest import Clock
from tests.chain.venue import BOB, Venue

STEPS_MAX = 100_000
TURNS = 25


def test_trading_and_settling_at_the_same_time(devchain: DevChain, tmp_path: Path, clock: Clock):
    venue = Venue(tmp_path, devchain, clock, gas_max=1)  # A batch a trade.
    venue.fund()
    told = threading.Event()
    steps: list[int] = []

    def work() -> None:
        for step in range(STEPS_MAX):
            is_over = told.is_set()
            if not venue.settler.step() and is_over and not venue.settler.seal_now():
                steps.append(step)
                return

    worker = threading.Thread(target=work)
    worker.start()
    last, seen = 0, set()
    for turn in range(1, TURNS + 1):
        last = venue.trade(turn)
        if turn % 5 == 0:
            venue.withdraw(BOB, venue.usd, 10**8, nonce=turn)
        seen.add(venue.settler.trade_state(1).state)
        venue.settler.changes(0)
    told.set()
    worker.join()

    assert steps, "the worker came to rest by itself"
    assert venue.settler.halted is None
    assert venue.settler.trade_state(last).state == "final"
    everything = venue.outbox.in_state(*ActionState, limit=1_000)
    assert {action.state for action in everything} == {ActionState.FINAL}
    assert len(everything) == TURNS + TURNS // 5
    assert seen <= {"matched", "batched", "submitted", "mined", "final"}
    venue.assert_books_agree()
    venue.close()


def test_a_changed_state_is_told_once_and_in_order(
    devchain: DevChain, tmp_path: Path, clock: Clock
):
    venue = Venue(tmp_path, devchain, clock)
    venue.fund()
    since, told = 0, []
    for turn in (1, 2, 3):
        venue.trade(turn)
        venue.settler.seal_now()
        while venue.settler.step():
            changes = venue.settler.changes(since, limit=2)
            told += [(change.key, change.state) for change in changes]
            since = changes[-1].id if changes else since
        venue.reopen()
    told += [(change.key, change.state) for change in venue.settler.changes(since)]

    for number in ("1", "2", "3"):
        states = [state for key, state in told if key == number]
        assert states == ["sealed", "signed", "broadcast", "mined", "final"]
    venue.close()
