"""Whatever happens between outbox and chain, each action happens there exactly once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.chain.chain import Sent
from settlement.chain.dev.devchain import DevChain, start_devchain
from settlement.outbox.actions import ActionKind, ActionState, Batch, Call
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import (
    BatchRejected,
    HeadMismatch,
    Policy,
    Progress,
    Submitter,
)
from settlement.protocol.abi import encode_call
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, BOB, CAROL, NS, OPERATOR, Venue, transact


class PowerCut(BaseException):
    """The process is gone. Not an Exception: nothing may handle it."""


class CutChain:
    """A chain on whose call number ``at`` the power fails, before or after it reaches the node."""

    def __init__(self, chain: Any, at: int, is_after: bool) -> None:
        self._chain, self._at, self._is_after = chain, at, is_after
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._chain, name)
        if not callable(found):
            return found

        def cut_here(*args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self._at and not self._is_after:
                raise PowerCut
            try:
                return found(*args, **options)
            finally:
                # Even behind a refusal: the contract takes no withdrawal before its batch.
                if self.calls == self._at:
                    raise PowerCut

        return cut_here


@pytest.fixture
def venue(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, devchain, clock)
    built.fund()
    yield built
    built.close()


@pytest.fixture
def anvil_road(anvil: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    """Three confirmations, so that there is time for a reorganisation."""
    built = Venue(tmp_path, anvil, clock, confirmations=3)
    built.fund()
    yield built
    built.close()


def finish(venue: Venue) -> None:
    """Step and mine until nothing moves any more."""
    for _ in range(venue.confirmations):
        until(lambda: not venue.settler.step())
        venue.devchain.mine()
    until(lambda: not venue.settler.step())


def states(venue: Venue) -> list[ActionState]:
    return [state.state for state in venue.settler.batches(100)][::-1]


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_power_cut_at_every_single_call_loses_and_doubles_nothing(venue: Venue, is_after: bool):
    turn, cut = 0, True
    while cut:
        turn += 1
        venue.trade(turn)
        # In each turn, so that all runs make the same calls and none is left out.
        venue.withdraw(BOB, venue.usd, 10**6, nonce=turn)
        cutting = CutChain(venue.devchain.chain, turn, is_after)
        venue.reopen(cutting)  # type: ignore[arg-type]
        cut = False
        try:
            venue.settler.seal_now()
            until(lambda: not venue.settler.step())
        except PowerCut:
            cut = True
        calls_of_a_run = cutting.calls
        venue.reopen()
        until(lambda: not venue.settler.step())
        assert venue.next_batch() == turn + 1
        venue.assert_books_agree()

    assert turn > calls_of_a_run > 20, "every call was cut"
    assert states(venue) == [ActionState.FINAL] * turn
    everything = venue.outbox.in_state(*ActionState, limit=1_000)
    assert {action.state for action in everything} == {ActionState.FINAL}
    nonces = [action.nonce for action in everything]
    assert sorted(nonces) == list(range(len(everything))), "no transaction too many"


def test_a_restart_between_seal_and_every_step_changes_nothing(venue: Venue):
    trade_id = venue.trade(1)
    venue.reopen()
    assert venue.settler.trade_state(trade_id).state == "matched"
    venue.settler.seal_now()
    sealed = venue.settler.batches(1)[0].batch
    for _ in range(6):
        venue.reopen()
        assert not venue.settler.seal_now(), "sealed trades are skipped at replay"
        venue.settler.step()

    assert venue.settler.batches(1)[0].batch == sealed
    assert states(venue) == [ActionState.FINAL]
    assert venue.next_batch() == 2
    venue.assert_books_agree()


def test_a_reorganisation_sends_the_same_bytes_again(anvil_road: Venue):
    venue = anvil_road
    venue.trade(1)
    venue.settler.seal_now()
    venue.settler.step()
    until(lambda: not venue.settler.step())
    assert states(venue) == [ActionState.MINED]
    before = venue.settler.batches(1)[0]

    venue.devchain.rpc("anvil_reorg", [1, []])
    assert venue.next_batch() == 1, "the batch is off the chain"
    venue.settler.step()
    finish(venue)

    after = venue.settler.batches(1)[0]
    assert after.state is ActionState.FINAL and after.tx_hash == before.tx_hash
    assert venue.next_batch() == 2
    kinds = [change.state for change in venue.settler.changes(0)]
    assert kinds.count(ActionState.SIGNED) == 1 and kinds.count(ActionState.BROADCAST) == 2
    venue.assert_books_agree()


def test_a_reorganisation_seen_only_after_a_restart(anvil_road: Venue):
    venue = anvil_road
    for turn in (1, 2):
        venue.trade(turn)
        venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    assert states(venue) == [ActionState.MINED] * 2

    venue.devchain.rpc("anvil_reorg", [2, []])
    venue.reopen()
    finish(venue)

    assert states(venue) == [ActionState.FINAL] * 2
    assert venue.next_batch() == 3
    venue.assert_books_agree()


def test_a_dropped_transaction_is_sent_again_at_the_next_block(anvil_road: Venue):
    venue = anvil_road
    venue.devchain.rpc("evm_setAutomine", [False])
    venue.trade(1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    assert states(venue) == [ActionState.BROADCAST]
    tx_hash = venue.settler.batches(1)[0].tx_hash
    assert tx_hash is not None
    assert venue.devchain.rpc("anvil_dropTransaction", ["0x" + tx_hash.hex()])

    venue.devchain.mine()
    assert venue.next_batch() == 1
    finish(venue)

    assert states(venue) == [ActionState.FINAL]
    assert venue.settler.batches(1)[0].tx_hash == tx_hash
    venue.assert_books_agree()


def test_a_stuck_transaction_is_outbid_by_thirteen_percent_at_its_nonce(
    anvil_road: Venue, clock: Clock
):
    venue = anvil_road
    venue.devchain.rpc("evm_setAutomine", [False])
    venue.trade(1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    (first,) = venue.outbox.in_state(ActionState.BROADCAST, limit=9)

    clock.ahead_ns += 25 * NS
    venue.reopen()
    venue.settler.step()
    (second,) = venue.outbox.in_state(ActionState.BROADCAST, limit=9)

    assert first.fee_max is not None and second.fee_max is not None
    assert second.nonce == first.nonce and second.calldata == first.calldata
    assert second.fee_max == first.fee_max + -(-first.fee_max * 13 // 100)
    assert len(venue.outbox.tx_hashes(second)) == 2
    finish(venue)
    assert states(venue) == [ActionState.FINAL]
    assert venue.next_batch() == 2
    venue.assert_books_agree()


def test_outbidding_stops_at_the_cap(anvil: DevChain, tmp_path: Path, clock: Clock):
    venue = Venue(tmp_path, anvil, clock)
    venue.fund()
    anvil.rpc("evm_setAutomine", [False])
    policy = Policy(confirmations=1, fee_cap_wei=3 * 10**9)
    submitter = Submitter(anvil.chain, venue.outbox, OPERATOR, venue.domain.contract, policy, clock)
    venue.trade(1)
    venue.settler.seal_now()
    for _ in range(40):
        submitter.step()
        clock.ahead_ns += 25 * NS

    (waiting,) = venue.outbox.in_state(ActionState.BROADCAST, limit=9)
    assert waiting.fee_max is not None and waiting.fee_max <= policy.fee_cap_wei
    assert 1 <= len(venue.outbox.tx_hashes(waiting)) < 20
    anvil.mine()
    until(lambda: submitter.step() == Progress(moved=False, is_dear=False))
    assert states(venue) == [ActionState.FINAL]
    venue.close()


def test_a_nonce_used_by_a_stranger_is_left_to_him(venue: Venue, clock: Clock):
    class Stranger(CutChain):
        """Spends the operator's nonce just before our first transaction arrives."""

        def send_raw(self, raw: bytes) -> Sent:
            if self.calls == 0:
                self.calls = 1
                transact(self._chain, OPERATOR, CAROL.address, b"", value=1)
            return self._chain.send_raw(raw)  # type: ignore[no-any-return]

    venue.trade(1)
    venue.settler.seal_now()
    venue.trade(2)
    venue.settler.seal_now()
    venue.reopen(Stranger(venue.devchain.chain, -1, False))  # type: ignore[arg-type]
    until(lambda: not venue.settler.step())
    for _ in range(4):
        clock.ahead_ns += 25 * NS
        until(lambda: not venue.settler.step())

    assert venue.settler.halted is None
    assert states(venue) == [ActionState.FINAL] * 2
    assert venue.next_batch() == 3
    venue.assert_books_agree()


def test_a_batch_that_is_refused_whatever_is_in_it_halts_with_the_contracts_error(
    venue: Venue, clock: Clock
):
    header = (1, bytes(32), 1, bytes(32), 1, 1)
    calldata = encode_call("settle", header, [], [])
    batch = Batch(1, 1, 1, 1, 4, bytes(32), b"\x01" * 32, 1, bytes(32), bytes(32))
    call = Call(ActionKind.BATCH, "1", venue.domain.contract, calldata, 300_000)
    venue.outbox.seal(batch, call, venue.clock())

    until(lambda: not venue.settler.step())
    assert venue.settler.halted is None, "it may only look so to this node"
    clock.ahead_ns += 25 * NS
    until(lambda: not venue.settler.step())

    halted = venue.settler.halted
    assert isinstance(halted, BatchRejected) and halted.number == 1
    assert "CloseTimeTooEarly" in str(halted), "the contract's error by name"
    venue.outbox.enqueue(Call(ActionKind.OTHER, "later", CAROL.address, b"", 50_000), venue.clock())
    until(lambda: not venue.settler.step())
    later = venue.outbox.find(ActionKind.OTHER, "later")
    assert later is not None and later.state is ActionState.FINAL, "nobody else waits for it"
    assert states(venue) == [ActionState.FAILED]
    venue.reopen()
    venue.settler.step()
    assert venue.settler.halted == halted


def test_a_head_that_is_not_ours_halts_with_both_heads(venue: Venue, tmp_path: Path, clock: Clock):
    venue.trade(1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    ours = venue.settler.batches(1)[0].batch.head
    forgetful = Outbox(tmp_path / "another.sqlite")
    submitter = Submitter(
        venue.devchain.chain, forgetful, OPERATOR, venue.domain.contract, Policy(1), clock
    )

    for _ in range(2):
        halt = submitter.step()
        assert halt == HeadMismatch(on_chain=ours, expected=bytes(32))
        assert ours.hex() in str(halt)
    forgetful.close()


def test_a_chain_that_lost_a_final_batch_halts(venue: Venue, tmp_path: Path, clock: Clock):
    venue.trade(1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    assert states(venue) == [ActionState.FINAL]
    with start_devchain(tmp_path / "fresh", "eth-tester", clock) as fresh:
        other = tmp_path / "other"
        other.mkdir()
        twin = Venue(other, fresh, clock)
        assert twin.domain.contract == venue.domain.contract, "the same plan, the same addresses"
        while fresh.chain.head().number < venue.devchain.chain.head().number:
            fresh.mine()
        submitter = Submitter(
            fresh.chain, venue.outbox, OPERATOR, venue.domain.contract, Policy(1), clock
        )
        halt = submitter.step()
        final = venue.settler.batches(1)[0].batch.head
        assert halt == HeadMismatch(on_chain=bytes(32), expected=final)
        twin.close()


def test_everything_sent_by_the_operator_is_in_the_outbox(venue: Venue):
    venue.deposit(ALICE, venue.usd, 10**6)
    venue.trade(1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())

    sent = venue.devchain.chain.nonce(OPERATOR.address, pending=True)
    assert venue.outbox.next_nonce() == sent == 1
