"""A batch fails in a block while others are in flight with later nonces: each is mined once."""

from pathlib import Path

from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind, ActionState, Call
from settlement.outbox.outbox import IN_FLIGHT
from tests.chain.conftest import Clock, until
from tests.chain.road import ALICE, BOB, CAROL, NS, OPERATOR, Road, transact
from tests.chain.test_refused_batches import steal, trade_on, undo


def test_a_withdrawal_behind_a_batch_that_failed_in_flight_waits_and_is_paid_once(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    road = Road(tmp_path, anvil, clock)
    road.fund()
    road.deposit(CAROL, road.usd, 10**12)
    road.credit()
    steal(road, CAROL, road.usd, 10**14)
    anvil.rpc("evm_setAutomine", [False])
    first = trade_on(road, 1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    bad, good = trade_on(road, 2, CAROL), trade_on(road, 3)
    road.withdraw(BOB, road.usd, 10**8, nonce=1)
    road.settler.seal_now()
    road.outbox.enqueue(Call(ActionKind.OTHER, "later", CAROL.address, b"", 50_000), clock())
    until(lambda: not road.settler.step())
    out = [(action.kind, action.nonce) for action in road.outbox.in_flight(9)]
    kinds = [ActionKind.BATCH, ActionKind.BATCH, ActionKind.OTHER]
    assert out == list(zip(kinds, range(3), strict=True)), "the second is signed on trust"
    (payout,) = road.outbox.in_state(ActionState.SEALED, limit=9)
    assert payout.kind is ActionKind.WITHDRAWAL, "it is not shown to anybody before its time"

    anvil.mine()
    until(lambda: not road.settler.step())
    # It may have come before its predecessor in that block, so it is tried once more, by a call.
    assert road.outbox.count(*IN_FLIGHT) == 0
    assert road.outbox.count(ActionState.SEALED, kind=ActionKind.BATCH) == 1
    anvil.rpc("evm_setAutomine", [True])
    stolen = transact(anvil.chain, ALICE, payout.to, payout.calldata)
    assert not stolen.succeeded, "nor is it of use to whoever has it"
    busted: list[int] = []
    for _ in range(5):
        until(lambda: not road.settler.step())
        busted += undo(road)
        until(lambda: not road.settler.step())
        clock.ahead_ns += 30 * NS
        anvil.mine()

    assert busted == [bad] and road.settler.halted is None
    assert [road.settler.trade_state(trade).state for trade in (first, good)] == ["final"] * 2
    assert road.outbox.action(payout.id).state is ActionState.FINAL
    later = road.outbox.find(ActionKind.OTHER, "later")
    assert later is not None and later.state is ActionState.FINAL
    sent = anvil.chain.nonce(OPERATOR.address, pending=False)
    assert sent == road.outbox.next_nonce() == 5, "two batches, one of them twice; two others"
    road.close()
