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
from tests.chain.road import ALICE, BOB, CAROL, NS, OPERATOR, Road, transact


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
def road(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Road]:
    built = Road(tmp_path, devchain, clock)
    built.fund()
    yield built
    built.close()


@pytest.fixture
def anvil_road(anvil: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Road]:
    """Three confirmations, so that there is time for a reorganisation."""
    built = Road(tmp_path, anvil, clock, confirmations=3)
    built.fund()
    yield built
    built.close()


def finish(road: Road) -> None:
    """Step and mine until nothing moves any more."""
    for _ in range(road.confirmations):
        until(lambda: not road.settler.step())
        road.devchain.mine()
    until(lambda: not road.settler.step())


def states(road: Road) -> list[ActionState]:
    return [state.state for state in road.settler.batches(100)][::-1]


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_power_cut_at_every_single_call_loses_and_doubles_nothing(road: Road, is_after: bool):
    turn, cut = 0, True
    while cut:
        turn += 1
        road.trade(turn)
        # In each turn, so that all runs make the same calls and none is left out.
        road.withdraw(BOB, road.usd, 10**6, nonce=turn)
        cutting = CutChain(road.devchain.chain, turn, is_after)
        road.reopen(cutting)  # type: ignore[arg-type]
        cut = False
        try:
            road.settler.seal_now()
            until(lambda: not road.settler.step())
        except PowerCut:
            cut = True
        calls_of_a_run = cutting.calls
        road.reopen()
        until(lambda: not road.settler.step())
        assert road.next_batch() == turn + 1
        road.assert_books_agree()

    assert turn > calls_of_a_run > 20, "every call was cut"
    assert states(road) == [ActionState.FINAL] * turn
    everything = road.outbox.in_state(*ActionState, limit=1_000)
    assert {action.state for action in everything} == {ActionState.FINAL}
    nonces = [action.nonce for action in everything]
    assert sorted(nonces) == list(range(len(everything))), "no transaction too many"


def test_a_restart_between_seal_and_every_step_changes_nothing(road: Road):
    trade_id = road.trade(1)
    road.reopen()
    assert road.settler.trade_state(trade_id).state == "matched"
    road.settler.seal_now()
    sealed = road.settler.batches(1)[0].batch
    for _ in range(6):
        road.reopen()
        assert not road.settler.seal_now(), "sealed trades are skipped at replay"
        road.settler.step()

    assert road.settler.batches(1)[0].batch == sealed
    assert states(road) == [ActionState.FINAL]
    assert road.next_batch() == 2
    road.assert_books_agree()


def test_a_reorganisation_sends_the_same_bytes_again(anvil_road: Road):
    road = anvil_road
    road.trade(1)
    road.settler.seal_now()
    road.settler.step()
    until(lambda: not road.settler.step())
    assert states(road) == [ActionState.MINED]
    before = road.settler.batches(1)[0]

    road.devchain.rpc("anvil_reorg", [1, []])
    assert road.next_batch() == 1, "the batch is off the chain"
    road.settler.step()
    finish(road)

    after = road.settler.batches(1)[0]
    assert after.state is ActionState.FINAL and after.tx_hash == before.tx_hash
    assert road.next_batch() == 2
    kinds = [change.state for change in road.settler.changes(0)]
    assert kinds.count(ActionState.SIGNED) == 1 and kinds.count(ActionState.BROADCAST) == 2
    road.assert_books_agree()


def test_a_reorganisation_seen_only_after_a_restart(anvil_road: Road):
    road = anvil_road
    for turn in (1, 2):
        road.trade(turn)
        road.settler.seal_now()
    until(lambda: not road.settler.step())
    assert states(road) == [ActionState.MINED] * 2

    road.devchain.rpc("anvil_reorg", [2, []])
    road.reopen()
    finish(road)

    assert states(road) == [ActionState.FINAL] * 2
    assert road.next_batch() == 3
    road.assert_books_agree()


def test_a_dropped_transaction_is_sent_again_at_the_next_block(anvil_road: Road):
    road = anvil_road
    road.devchain.rpc("evm_setAutomine", [False])
    road.trade(1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    assert states(road) == [ActionState.BROADCAST]
    tx_hash = road.settler.batches(1)[0].tx_hash
    assert tx_hash is not None
    assert road.devchain.rpc("anvil_dropTransaction", ["0x" + tx_hash.hex()])

    road.devchain.mine()
    assert road.next_batch() == 1
    finish(road)

    assert states(road) == [ActionState.FINAL]
    assert road.settler.batches(1)[0].tx_hash == tx_hash
    road.assert_books_agree()


def test_a_stuck_transaction_is_outbid_by_thirteen_percent_at_its_nonce(
    anvil_road: Road, clock: Clock
):
    road = anvil_road
    road.devchain.rpc("evm_setAutomine", [False])
    road.trade(1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    (first,) = road.outbox.in_state(ActionState.BROADCAST, limit=9)

    clock.ahead_ns += 25 * NS
    road.reopen()
    road.settler.step()
    (second,) = road.outbox.in_state(ActionState.BROADCAST, limit=9)

    assert first.fee_max is not None and second.fee_max is not None
    assert second.nonce == first.nonce and second.calldata == first.calldata
    assert second.fee_max == first.fee_max + -(-first.fee_max * 13 // 100)
    assert len(road.outbox.tx_hashes(second)) == 2
    finish(road)
    assert states(road) == [ActionState.FINAL]
    assert road.next_batch() == 2
    road.assert_books_agree()


def test_outbidding_stops_at_the_cap(anvil: DevChain, tmp_path: Path, clock: Clock):
    road = Road(tmp_path, anvil, clock)
    road.fund()
    anvil.rpc("evm_setAutomine", [False])
    policy = Policy(confirmations=1, fee_cap_wei=3 * 10**9)
    submitter = Submitter(anvil.chain, road.outbox, OPERATOR, road.domain.contract, policy, clock)
    road.trade(1)
    road.settler.seal_now()
    for _ in range(40):
        submitter.step()
        clock.ahead_ns += 25 * NS

    (waiting,) = road.outbox.in_state(ActionState.BROADCAST, limit=9)
    assert waiting.fee_max is not None and waiting.fee_max <= policy.fee_cap_wei
    assert 1 <= len(road.outbox.tx_hashes(waiting)) < 20
    anvil.mine()
    until(lambda: submitter.step() == Progress(moved=False, is_dear=False))
    assert states(road) == [ActionState.FINAL]
    road.close()


def test_a_nonce_used_by_a_stranger_is_left_to_him(road: Road, clock: Clock):
    class Stranger(CutChain):
        """Spends the operator's nonce just before our first transaction arrives."""

        def send_raw(self, raw: bytes) -> Sent:
            if self.calls == 0:
                self.calls = 1
                transact(self._chain, OPERATOR, CAROL.address, b"", value=1)
            return self._chain.send_raw(raw)  # type: ignore[no-any-return]

    road.trade(1)
    road.settler.seal_now()
    road.trade(2)
    road.settler.seal_now()
    road.reopen(Stranger(road.devchain.chain, -1, False))  # type: ignore[arg-type]
    until(lambda: not road.settler.step())
    for _ in range(4):
        clock.ahead_ns += 25 * NS
        until(lambda: not road.settler.step())

    assert road.settler.halted is None
    assert states(road) == [ActionState.FINAL] * 2
    assert road.next_batch() == 3
    road.assert_books_agree()


def test_a_batch_that_is_refused_whatever_is_in_it_halts_with_the_contracts_error(
    road: Road, clock: Clock
):
    header = (1, bytes(32), 1, bytes(32), 1, 1)
    calldata = encode_call("settle", header, [], [], [])
    batch = Batch(1, 1, 1, 1, 4, bytes(32), b"\x01" * 32, 1, bytes(32), bytes(32))
    call = Call(ActionKind.BATCH, "1", road.domain.contract, calldata, 300_000)
    road.outbox.seal(batch, call, road.clock())

    until(lambda: not road.settler.step())
    assert road.settler.halted is None, "it may only look so to this node"
    clock.ahead_ns += 25 * NS
    until(lambda: not road.settler.step())

    halted = road.settler.halted
    assert isinstance(halted, BatchRejected) and halted.number == 1
    assert "CloseTimeTooEarly" in str(halted), "the contract's error by name"
    road.outbox.enqueue(Call(ActionKind.OTHER, "later", CAROL.address, b"", 50_000), road.clock())
    until(lambda: not road.settler.step())
    later = road.outbox.find(ActionKind.OTHER, "later")
    assert later is not None and later.state is ActionState.FINAL, "nobody else waits for it"
    assert states(road) == [ActionState.FAILED]
    road.reopen()
    road.settler.step()
    assert road.settler.halted == halted


def test_a_head_that_is_not_ours_halts_with_both_heads(road: Road, tmp_path: Path, clock: Clock):
    road.trade(1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    ours = road.settler.batches(1)[0].batch.head
    forgetful = Outbox(tmp_path / "another.sqlite")
    submitter = Submitter(
        road.devchain.chain, forgetful, OPERATOR, road.domain.contract, Policy(1), clock
    )

    assert submitter.step() == HeadMismatch(on_chain=ours, expected=bytes(32))
    assert submitter.halted == HeadMismatch(on_chain=ours, expected=bytes(32))
    assert ours.hex() in str(submitter.halted)
    forgetful.close()


def test_a_chain_that_lost_a_final_batch_halts(road: Road, tmp_path: Path, clock: Clock):
    road.trade(1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    assert states(road) == [ActionState.FINAL]
    with start_devchain(tmp_path / "fresh", "eth-tester", clock) as fresh:
        other = tmp_path / "other"
        other.mkdir()
        twin = Road(other, fresh, clock)
        assert twin.domain.contract == road.domain.contract, "the same plan, the same addresses"
        while fresh.chain.head().number < road.devchain.chain.head().number:
            fresh.mine()
        submitter = Submitter(
            fresh.chain, road.outbox, OPERATOR, road.domain.contract, Policy(1), clock
        )
        halt = submitter.step()
        final = road.settler.batches(1)[0].batch.head
        assert submitter.halted == halt == HeadMismatch(on_chain=bytes(32), expected=final)
        twin.close()


def test_everything_sent_by_the_operator_is_in_the_outbox(road: Road):
    road.deposit(ALICE, road.usd, 10**6)
    road.trade(1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())

    sent = road.devchain.chain.nonce(OPERATOR.address, pending=True)
    assert road.outbox.next_nonce() == sent == 1
