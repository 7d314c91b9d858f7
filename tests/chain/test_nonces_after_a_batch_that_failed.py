"""A batch fails in a block while others are in flight with later nonces: each is mined once."""

from pathlib import Path

from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind, ActionState, Call
from settlement.outbox.outbox import IN_FLIGHT
from tests.chain.conftest import Clock, until
from tests.chain.test_refused_batches import steal, trade_on, undo
from tests.chain.venue import ALICE, BOB, CAROL, NS, OPERATOR, Venue, transact


def test_a_withdrawal_behind_a_batch_that_failed_in_flight_waits_and_is_paid_once(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    venue = Venue(tmp_path, anvil, clock)
    venue.fund()
    venue.deposit(CAROL, venue.usd, 10**12)
    venue.credit()
    steal(venue, CAROL, venue.usd, 10**14)
    anvil.rpc("evm_setAutomine", [False])
    first = trade_on(venue, 1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    bad, good = trade_on(venue, 2, CAROL), trade_on(venue, 3)
    venue.withdraw(BOB, venue.usd, 10**8, nonce=1)
    venue.settler.seal_now()
    venue.outbox.enqueue(Call(ActionKind.OTHER, "later", CAROL.address, b"", 50_000), clock())
    until(lambda: not venue.settler.step())
    out = [(action.kind, action.nonce) for action in venue.outbox.in_flight(9)]
    kinds = [ActionKind.BATCH, ActionKind.BATCH, ActionKind.OTHER]
    assert out == list(zip(kinds, range(3), strict=True)), "the second is signed on trust"
    (payout,) = venue.outbox.in_state(ActionState.SEALED, limit=9)
    assert payout.kind is ActionKind.WITHDRAWAL, "it is not shown to anybody before its time"

    anvil.mine()
    until(lambda: not venue.settler.step())
    # It may have come before its predecessor in that block, so it is tried once more, by a call.
    assert venue.outbox.count(*IN_FLIGHT) == 0
    assert venue.outbox.count(ActionState.SEALED, kind=ActionKind.BATCH) == 1
    anvil.rpc("evm_setAutomine", [True])
    stolen = transact(anvil.chain, ALICE, payout.to, payout.calldata)
    assert not stolen.succeeded, "nor is it of use to whoever has it"
    busted: list[int] = []
    for _ in range(5):
        until(lambda: not venue.settler.step())
        busted += undo(venue)
        until(lambda: not venue.settler.step())
        clock.ahead_ns += 30 * NS
        anvil.mine()

    assert busted == [bad] and venue.settler.halted is None
    assert [venue.settler.trade_state(trade).state for trade in (first, good)] == ["final"] * 2
    assert venue.outbox.action(payout.id).state is ActionState.FINAL
    later = venue.outbox.find(ActionKind.OTHER, "later")
    assert later is not None and later.state is ActionState.FINAL
    sent = anvil.chain.nonce(OPERATOR.address, pending=False)
    assert sent == venue.outbox.next_nonce() == 5, "two batches, one of them twice; two others"
    venue.close()
