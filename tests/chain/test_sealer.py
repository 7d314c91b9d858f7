"""Batches are cut on command boundaries, by rule, and the same after a restart."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.commands import Kind, command
from engine.types import Outcome, Phase, Side
from settlement.batches.encode import gas_bound
from settlement.batches.log_leaves import leaf_of
from settlement.batches.sealer import EXPIRED, HEARTBEAT_NS, Sealed, Unsealable
from settlement.batches.trade_queue import TradeQueue
from settlement.chain.dev.devchain import DevChain, start_devchain
from settlement.outbox.actions import ActionKind, ActionState, Batch
from settlement.protocol import merkle
from tests.chain.conftest import Clock, until
from tests.chain.venue import AGE_NS, ALICE, BOB, LANE, NS, Venue


@pytest.fixture
def quiet_chain(tmp_path: Path, clock: Clock) -> Iterator[DevChain]:
    """These tests settle little; one node is enough."""
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        yield chain


@pytest.fixture
def venue(quiet_chain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, quiet_chain, clock)
    built.fund()
    yield built
    built.close()


def sealed(venue: Venue) -> list[Batch]:
    return [state.batch for state in venue.settler.batches(100)][::-1]


def settle(venue: Venue) -> None:
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    assert venue.settler.halted is None
    venue.assert_books_agree()


def settle_due(venue: Venue) -> None:
    until(lambda: not venue.settler.step())
    assert venue.settler.halted is None


def test_trades_wait_until_the_oldest_is_old_enough(venue: Venue):
    venue.trade(1)
    first_ns = venue.engine.time_ns

    assert not venue.sealer.seal_due(first_ns + AGE_NS - 1)
    assert sealed(venue) == []
    assert venue.sealer.seal_due(first_ns + AGE_NS)

    (batch,) = sealed(venue)
    assert (batch.number, batch.first_trade, batch.last_trade) == (1, 1, 1)
    assert batch.close_time == first_ns // NS


def test_a_batch_names_every_command_and_its_events(venue: Venue):
    venue.trade(1)
    venue.settler.seal_now()
    venue.trade(2)
    venue.settler.seal_now()

    first, second = sealed(venue)
    assert (first.first_sequence, first.last_sequence) == (1, second.first_sequence - 1)
    assert second.last_sequence == venue.sequencer.sequence
    assert second.prev_head == first.head
    items = [leaf_of(entry) for committed in venue.history() for entry in committed.entries]
    for batch in (first, second):
        own = items[batch.first_sequence - 1 : batch.last_sequence]
        assert batch.log_root == merkle.root(own)
        place = len(own) // 2
        path = merkle.path(own, place)
        assert merkle.verify(own[place], place, len(own), path, batch.log_root)


def test_all_fills_of_one_command_stay_together(venue: Venue):
    for i in range(5):
        venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE + i)
    venue.place(ALICE, Side.BUY, 2_500, 50, nonce=1)

    settle(venue)

    (batch,) = sealed(venue)
    assert (batch.first_trade, batch.last_trade) == (1, 5)


def test_who_uses_one_lane_again_and_again_ends_no_batch(venue: Venue):
    for turn in range(1, 5):
        venue.trade(turn)
    assert not venue.sealer.seal_due(venue.engine.time_ns), "nothing is full"

    settle(venue)

    (batch,) = sealed(venue)
    assert (batch.first_trade, batch.last_trade) == (1, 4)
    assert venue.outbox.batch(1).state is ActionState.FINAL


def test_a_rest_and_what_replaces_it_settle_in_one_batch(venue: Venue):
    """Partly filled before, then filled, and the lane used again: the chain counts each apart."""
    venue.place(BOB, Side.SELL, 2_500, 30, nonce=1, lane=LANE)
    venue.place(ALICE, Side.BUY, 2_500, 10, nonce=1)
    settle(venue)
    venue.place(ALICE, Side.BUY, 2_500, 20, nonce=2)
    venue.place(BOB, Side.SELL, 2_500, 10, nonce=2, lane=LANE)
    venue.place(ALICE, Side.BUY, 2_500, 10, nonce=3)
    settle(venue)

    assert [(b.first_trade, b.last_trade) for b in sealed(venue)] == [(1, 1), (2, 3)]
    assert venue.outbox.batch(2).state is ActionState.FINAL


def test_a_resting_order_fills_in_many_batches_under_one_nonce(venue: Venue):
    venue.place(BOB, Side.SELL, 2_500, 30, nonce=1, lane=LANE)
    for turn in (1, 2, 3):
        venue.place(ALICE, Side.BUY, 2_500, 10, nonce=turn)
        settle(venue)

    assert len(sealed(venue)) == 3


def test_gas_closes_a_batch(quiet_chain: DevChain, tmp_path: Path, clock: Clock):
    two_trades = gas_bound(orders=4, trades=2, words=6)
    venue = Venue(tmp_path, quiet_chain, clock, gas_max=two_trades)
    venue.fund()
    for i in range(5):
        venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE + i)
        venue.place(ALICE, Side.BUY, 2_500, 10, nonce=i + 1)

    settle(venue)

    assert [b.last_trade - b.first_trade + 1 for b in sealed(venue)] == [2, 2, 1]
    actions = venue.outbox.in_state(ActionState.FINAL, limit=10)
    assert all(action.gas_limit <= two_trades for action in actions)
    venue.close()


def test_a_command_above_the_gas_limit_is_a_batch_of_its_own(
    quiet_chain: DevChain, tmp_path: Path, clock: Clock
):
    venue = Venue(tmp_path, quiet_chain, clock, gas_max=1)
    venue.fund()
    for i in range(2):
        venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE + i)
        venue.place(ALICE, Side.BUY, 2_500, 10, nonce=i + 1)

    settle(venue)

    assert [b.last_trade - b.first_trade + 1 for b in sealed(venue)] == [1, 1]
    venue.close()


def test_close_time_never_passes_an_orders_expiry(venue: Venue, clock: Clock):
    venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE)
    venue.place(ALICE, Side.BUY, 2_500, 10, nonce=1, expires_in_s=5)
    clock.ahead_ns += 60 * NS
    venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE + 1)
    venue.place(ALICE, Side.BUY, 2_500, 10, nonce=2)

    settle(venue)

    first, second = sealed(venue)
    assert second.close_time - first.close_time >= 60
    assert (first.last_trade, second.last_trade) == (1, 2)


def test_a_withdrawal_cuts_and_is_queued_once(venue: Venue):
    venue.trade(1)
    venue.withdraw(BOB, venue.usd, 10**8, nonce=1)
    for _ in range(3):
        venue.sealer.seal_due(venue.engine.time_ns)
        venue.reopen()
        venue.sealer.seal_due(venue.engine.time_ns)

    kinds = [action.kind for action in venue.outbox.in_state(ActionState.SEALED, limit=10)]
    assert kinds == [ActionKind.BATCH, ActionKind.WITHDRAWAL]


def test_a_withdrawal_waits_for_the_newest_trade_also_after_a_start_from_a_snapshot(venue: Venue):
    venue.withdraw(ALICE, venue.usd, 10**8, nonce=1)
    venue.trade(1)
    traded = venue.history()[-1].last_sequence
    venue.place(BOB, Side.SELL, 2_600, 10, nonce=1, lane=LANE + 9)  # No trade comes of it.
    restarted = TradeQueue(venue.outbox)
    restarted.load(venue.queue.save())
    venue.consumers = (*venue.consumers, restarted)
    venue.withdraw(ALICE, venue.usd, 10**8, nonce=2)

    for queue in (venue.queue, restarted):
        pending = queue.unsettled()[1]
        assert [item.after_sequence for item in pending] == [0, traded]


def orders_kept(venue: Venue) -> int:
    """Return how many signed orders are kept because they may still trade."""
    return len(msgspec.msgpack.decode(venue.queue.save())["orders"])


def test_closed_orders_are_forgotten_and_open_ones_kept(venue: Venue):
    venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE)
    venue.place(BOB, Side.SELL, 2_600, 10, nonce=1, lane=LANE + 1)
    venue.place(ALICE, Side.BUY, 2_500, 4, nonce=1)
    assert orders_kept(venue) == 2
    venue.place(ALICE, Side.BUY, 2_500, 20, nonce=2)
    assert orders_kept(venue) == 1, "one filled, one never rested"
    venue.reopen()
    assert orders_kept(venue) == 1


def test_what_no_batch_can_carry_any_more_is_returned_behind_what_was_sealed(venue: Venue):
    venue.withdraw(ALICE, venue.usd, 10**8, nonce=1)
    venue.trade(1)
    late_ns = venue.clock() + 5_000 * NS  # The horizon has passed the expiry of both orders.
    done = venue.sealer.seal(late_ns)

    assert isinstance(done, Unsealable) and done.sealed_count == 1, "the withdrawal"
    assert [(bust.trade.trade_id, bust.reason) for bust in done.busts] == [(1, EXPIRED)]
    assert venue.sealer.seal(late_ns) == Unsealable(0, done.busts), "until they are busted"
    assert sealed(venue) == []


def test_a_step_says_how_much_was_sealed(venue: Venue):
    assert venue.sealer.seal(venue.clock()) == Sealed(0)
    venue.withdraw(ALICE, venue.usd, 10**8, nonce=1)
    venue.trade(1)
    assert venue.sealer.seal(venue.clock()) == Sealed(2), "a withdrawal and a batch"


def test_the_same_trades_give_the_same_batch_after_a_restart(venue: Venue):
    for turn in (1, 2, 3):
        venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE + turn)
        venue.place(ALICE, Side.BUY, 2_500, 10, nonce=turn)
    calldata = []
    for _ in range(2):
        venue.reopen()
        venue.sealer.seal(venue.clock())
        (action,) = venue.outbox.in_state(ActionState.SEALED, limit=9)
        calldata.append(action.calldata)
        venue.close()
        for path in venue.directory.glob("outbox.sqlite*"):
            path.unlink()
        venue._open(venue.devchain.chain)

    assert calldata[0] == calldata[1]
    settle(venue)


def test_an_exchange_without_trades_shows_that_it_is_alive(venue: Venue):
    venue.trade(1)
    settle(venue)
    quiet_ns = venue.engine.time_ns + HEARTBEAT_NS - NS

    assert not venue.sealer.seal_due(quiet_ns), "not before its time"
    assert venue.sealer.seal_due(quiet_ns + 2 * NS)
    assert not venue.sealer.seal_due(quiet_ns + 3 * NS), "once is enough"

    first, beat = sealed(venue)
    assert (beat.first_trade, beat.last_trade) == (first.last_trade + 1, first.last_trade)
    assert beat.last_sequence == venue.sequencer.sequence


def test_a_heartbeat_is_taken_by_the_contract_and_trading_goes_on(venue: Venue, clock: Clock):
    venue.trade(1)
    settle(venue)
    clock.ahead_ns += HEARTBEAT_NS + NS
    venue.devchain.mine()  # A batch waits for the chain's time to come near its own.
    settle_due(venue)
    venue.trade(2)
    settle(venue)

    beat_and_trade = sealed(venue)[1:]
    assert [b.last_trade - b.first_trade + 1 for b in beat_and_trade] == [0, 1]
    assert {state.state for state in venue.settler.batches(10)} == {ActionState.FINAL}


def test_in_an_auction_both_sides_are_settled_with_the_makers_fee(venue: Venue):
    venue.commit(command(Kind.SET_PHASE, amount=Phase.AUCTION))
    venue.place(BOB, Side.SELL, 100, 5, nonce=1, lane=LANE)
    venue.place(ALICE, Side.BUY, 103, 5, nonce=1, lane=LANE)
    events = venue.commit(command(Kind.SET_PHASE, amount=Phase.OPEN))
    assert events[0]["outcome"] == Outcome.AUCTION
    assert events[0]["fee_pips"] == events[0]["maker_fee_pips"] > 0

    settle(venue)
