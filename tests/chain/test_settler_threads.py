"""The pipeline's thread trades and asks while the worker's thread seals and sends."""

import threading
from pathlib import Path

from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionState
from tests.chain.conftest import Clock
from tests.chain.road import BOB, Road

STEPS_MAX = 100_000
TURNS = 25


def test_trading_and_settling_at_the_same_time(devchain: DevChain, tmp_path: Path, clock: Clock):
    road = Road(tmp_path, devchain, clock)
    road.fund()
    told = threading.Event()
    steps: list[int] = []

    def work() -> None:
        for step in range(STEPS_MAX):
            is_over = told.is_set()
            if not road.settler.step() and is_over and not road.settler.seal_now():
                steps.append(step)
                return

    worker = threading.Thread(target=work)
    worker.start()
    last, seen = 0, set()
    for turn in range(1, TURNS + 1):
        last = road.trade(turn)
        if turn % 5 == 0:
            road.withdraw(BOB, road.usd, 10**8, nonce=turn)
        seen.add(road.settler.trade_state(1).state)
        road.settler.changes(0)
    told.set()
    worker.join()

    assert steps, "the worker came to rest by itself"
    assert road.settler.halted is None
    assert road.settler.trade_state(last).state == "final"
    everything = road.outbox.in_state(*ActionState, limit=1_000)
    assert {action.state for action in everything} == {ActionState.FINAL}
    assert len(everything) == TURNS + TURNS // 5
    assert seen <= {"matched", "batched", "submitted", "mined", "final"}
    road.assert_books_agree()
    road.close()


def test_a_changed_state_is_told_once_and_in_order(
    devchain: DevChain, tmp_path: Path, clock: Clock
):
    road = Road(tmp_path, devchain, clock)
    road.fund()
    since, told = 0, []
    for turn in (1, 2, 3):
        road.trade(turn)
        road.settler.seal_now()
        while road.settler.step():
            changes = road.settler.changes(since, limit=2)
            told += [(change.key, change.state) for change in changes]
            since = changes[-1].id if changes else since
        road.reopen()
    told += [(change.key, change.state) for change in road.settler.changes(since)]

    for number in ("1", "2", "3"):
        states = [state for key, state in told if key == number]
        assert states == ["sealed", "signed", "broadcast", "mined", "final"]
    road.close()
