"""What the node will not take, and what no block could, is named, and cured when its cause goes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.types import Side
from settlement.batches.sealer import TOO_LARGE_PATIENCE_NS
from settlement.chain.chain import Sending, Sent
from settlement.chain.dev.devchain import DevChain
from settlement.chain.signer import TRANSACTION_GAS_MAX
from settlement.outbox.actions import ActionKind, ActionState, Call
from settlement.outbox.troubles import ClocksDiffer, TooLarge, Unsent
from tests.chain.conftest import Clock, until
from tests.chain.test_refused_batches import undo
from tests.chain.venue import ALICE, BOB, CAROL, LANE, NS, OPERATOR, Venue

SMALL_BLOCK = 1_300_000


@pytest.fixture
def venue(anvil: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, anvil, clock)
    built.fund()
    yield built
    built.close()


class Deaf:
    """A node that takes no transaction."""

    def __init__(self, chain: Any) -> None:
        self._chain = chain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def send_raw(self, raw: bytes) -> Sent:
        return Sent(Sending.REJECTED, "txpool is full")


def many_trades(venue: Venue, count: int) -> None:
    """One trade a command, on a lane each."""
    for turn in range(1, count + 1):
        venue.place(BOB, Side.SELL, 2_500, 1, nonce=1, lane=LANE + turn)
        venue.place(ALICE, Side.BUY, 2_500, 1, nonce=turn)


def limit_blocks(venue: Venue, gas: int) -> None:
    venue.devchain.rpc("evm_setBlockGasLimit", [hex(gas)])
    venue.devchain.mine()


def settle(venue: Venue, clock: Clock, rounds: int = 4) -> list[int]:
    """Step, wait and undo; return the trades that were busted."""
    busted: list[int] = []
    for _ in range(rounds):
        venue.settler.seal_now()
        until(lambda: not venue.settler.step())
        busted += undo(venue)
        clock.ahead_ns += 30 * NS
        venue.devchain.mine()
        until(lambda: not venue.settler.step())
    return busted


def test_an_operator_without_funds_is_named_and_goes_on_when_they_arrive(
    venue: Venue, clock: Clock
):
    venue.devchain.rpc("anvil_setBalance", ["0x" + OPERATOR.address.hex(), "0x0"])
    venue.trade(1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())

    (trouble,) = venue.settler.troubles
    assert isinstance(trouble, Unsent) and trouble.kind is ActionKind.BATCH
    assert "insufficient funds" in str(trouble).lower()
    assert venue.settler.halted is None and venue.settler.figures().troubles == 1
    assert venue.settler.waits_for_blocks()
    (waiting,) = venue.outbox.in_state(ActionState.SIGNED, limit=9)
    for _ in range(3):
        clock.ahead_ns += 60 * NS
        venue.devchain.mine()
        until(lambda: not venue.settler.step())
    (still,) = venue.outbox.in_state(ActionState.SIGNED, limit=9)
    assert still.fee_max == waiting.fee_max, "who cannot pay does not offer more"

    venue.devchain.rpc("anvil_setBalance", ["0x" + OPERATOR.address.hex(), hex(10**20)])
    until(lambda: not venue.settler.step())

    assert venue.settler.troubles == []
    assert [batch.state for batch in venue.settler.batches(9)] == [ActionState.FINAL]
    venue.assert_books_agree()


def test_a_signed_batch_that_no_block_can_carry_gives_its_nonce_back_and_is_cut_smaller(
    venue: Venue, clock: Clock
):
    """Found by an outside trader: the node refused it for ever, and nothing said so."""
    many_trades(venue, 30)
    venue.settler.seal_now()
    venue.reopen(Deaf(venue.devchain.chain))  # type: ignore[arg-type]
    venue.settler.step()
    until(lambda: not venue.settler.step())
    (batch,) = venue.outbox.in_state(ActionState.SIGNED, limit=9)
    assert batch.gas_limit > SMALL_BLOCK
    venue.outbox.enqueue(Call(ActionKind.OTHER, "later", CAROL.address, b"", 50_000), clock())
    venue.settler.step()
    limit_blocks(venue, SMALL_BLOCK)
    venue.reopen()

    assert settle(venue, clock) == []

    assert venue.settler.halted is None and venue.settler.troubles == []
    batches = venue.settler.batches(9)
    assert len(batches) > 1 and {found.state for found in batches} == {ActionState.FINAL}
    void = venue.outbox.find(ActionKind.VOID, str(batch.id))
    later = venue.outbox.find(ActionKind.OTHER, "later")
    assert void is not None and (void.state, void.nonce) == (ActionState.FINAL, batch.nonce)
    assert later is not None and later.state is ActionState.FINAL, "nobody waits behind a gap"
    venue.assert_books_agree()


def test_a_sealed_batch_that_no_block_can_carry_is_never_signed(venue: Venue, clock: Clock):
    many_trades(venue, 30)
    venue.settler.seal_now()
    limit_blocks(venue, SMALL_BLOCK)

    assert settle(venue, clock) == []

    assert {found.state for found in venue.settler.batches(9)} == {ActionState.FINAL}
    assert venue.outbox.names(*ActionState, kind=ActionKind.VOID) == []
    venue.assert_books_agree()


def test_a_command_that_no_transaction_can_carry_is_named_and_busted_beyond_what_fits(
    venue: Venue, clock: Clock
):
    """As an old log can hold one: newer engines end a command sooner."""
    for turn in range(1, 51):
        venue.place(BOB, Side.SELL, 2_500, 1, nonce=1, lane=LANE + turn)
    venue.place(ALICE, Side.BUY, 2_500, 50, nonce=1)
    bystander = venue.trade(51)
    limit_blocks(venue, SMALL_BLOCK)
    until(lambda: not venue.settler.step())
    venue.settler.seal_now()

    (trouble,) = venue.settler.troubles
    assert isinstance(trouble, TooLarge) and trouble.trades == 50
    assert "more than one transaction" in str(trouble)
    assert settle(venue, clock) == [], "a block's limit may come back"
    clock.ahead_ns += TOO_LARGE_PATIENCE_NS
    busted = settle(venue, clock)

    assert busted == list(range(50, trouble.carried, -1))
    assert venue.settler.troubles == [] and venue.settler.halted is None
    assert venue.settler.trade_state(trouble.carried).state == "final"
    assert venue.settler.trade_state(bystander).state == "final"
    venue.assert_books_agree()


def test_a_limit_that_comes_back_in_time_costs_no_trade(venue: Venue, clock: Clock):
    for turn in range(1, 51):
        venue.place(BOB, Side.SELL, 2_500, 1, nonce=1, lane=LANE + turn)
    venue.place(ALICE, Side.BUY, 2_500, 50, nonce=1)
    limit_blocks(venue, SMALL_BLOCK)
    assert settle(venue, clock) == []
    assert venue.settler.troubles != []
    limit_blocks(venue, 2 * TRANSACTION_GAS_MAX)

    assert settle(venue, clock) == []

    assert venue.settler.troubles == []
    assert venue.settler.trade_state(50).state == "final"


@pytest.mark.parametrize("skew_seconds", [-600, 60, 3_000])
def test_a_clock_that_is_off_costs_no_gas_and_no_trade(
    anvil: DevChain, tmp_path: Path, clock: Clock, skew_seconds: int
):
    venue = Venue(tmp_path, anvil, lambda: clock() + skew_seconds * NS)
    venue.fund()
    spent = [venue.trade(turn) for turn in (1, 2)]
    venue.settler.seal_now()
    for _ in range(3):
        until(lambda: not venue.settler.step())
        anvil.mine()
    if skew_seconds > 0:
        assert venue.next_batch() == 1, "nothing is sent to be refused"
        assert isinstance(venue.settler.troubles[0], ClocksDiffer)
        clock.ahead_ns += skew_seconds * NS
        anvil.mine()
    until(lambda: not venue.settler.step())

    assert venue.settler.troubles == [] and venue.settler.halted is None
    assert {venue.settler.trade_state(trade).state for trade in spent} == {"final"}
    assert venue.outbox.names(ActionState.FAILED, ActionState.ABANDONED) == []
    venue.assert_books_agree()
    venue.close()
