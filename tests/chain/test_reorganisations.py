"""However deep the chain is rewritten, each trade and each deposit counts exactly once."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from settlement.chain.chain import Block, Sending
from settlement.chain.dev.devchain import DevChain, RpcError
from settlement.outbox.actions import ActionKind, ActionState
from settlement.outbox.troubles import NonceMissing
from settlement.protocol.eip712 import keccak256
from tests.chain.conftest import Clock, transfer, until
from tests.chain.test_submitter_faults import finish, states
from tests.chain.venue import ALICE, CAROL, NS, OPERATOR, Venue

CONFIRMATIONS = 2
SCENARIOS = 20
STEPS = 25
ROUNDS_MAX = 64
"""To rest: nonces that were given up are filled one wait after the other."""
OPERATOR_INDEX = 8


@pytest.fixture
def venue(anvil: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, anvil, clock, confirmations=CONFIRMATIONS)
    built.fund()
    built.devchain.mine(16)
    built.credit()
    yield built
    built.close()


def rewrite(venue: Venue, depth: int) -> None:
    """Replace the newest ``depth`` blocks by empty ones; their transactions are gone."""
    venue.devchain.rpc("anvil_reorg", [depth, []])


def settle(venue: Venue) -> None:
    venue.settler.seal_now()
    finish(venue)


@pytest.mark.parametrize("depth", range(1, 13))
def test_batches_come_back_from_under_a_reorganisation(venue: Venue, depth: int):
    """Deeper than the confirmations: what was final is sent again, the same bytes."""
    for turn in (1, 2, 3):
        venue.trade(turn)
        settle(venue)
        venue.devchain.mine(2)
    assert states(venue) == [ActionState.FINAL] * 3
    hashes = [state.tx_hash for state in venue.settler.batches(9)]

    rewrite(venue, depth)
    if depth % 2:
        venue.reopen()
    finish(venue)
    venue.trade(4)
    settle(venue)

    assert states(venue) == [ActionState.FINAL] * 4
    assert [state.tx_hash for state in venue.settler.batches(9)][1:] == hashes
    assert venue.next_batch() == 5 and venue.settler.halted is None
    venue.assert_books_agree()


def give_nonces_up(venue: Venue, clock: Clock, behind: int) -> int:
    """A stranger uses the nonce of a batch, ``behind`` others revert for want of it, and all go at
    other nonces, until they are final; return the stranger's block."""
    venue.trade(1)
    settle(venue)
    venue.devchain.mine(16)
    venue.devchain.rpc("evm_setAutomine", [False])
    for turn in range(2, 3 + behind):
        venue.trade(turn)
        venue.settler.seal_now()
    venue.settler.step()
    out = venue.outbox.in_flight(99)
    assert [action.nonce for action in out] == list(range(1, 1 + len(out)))
    (tx_hash,) = venue.outbox.tx_hashes(out[0])
    venue.devchain.rpc("anvil_dropTransaction", ["0x" + tx_hash.hex()])
    stranger = transfer(venue.devchain.chain, OPERATOR_INDEX, 1)
    assert venue.devchain.chain.send_raw(stranger).sending is Sending.ACCEPTED
    block = venue.devchain.chain.head().number + 1
    venue.devchain.rpc("evm_setAutomine", [True])
    for _ in range(3 + behind):
        venue.devchain.mine()
        until(lambda: not venue.settler.step())
        clock.ahead_ns += 25 * NS
    assert states(venue) == [ActionState.FINAL] * (2 + behind)
    return block


@pytest.mark.parametrize("behind", [1, 17])
def test_found_a_nonce_given_up_came_free_again_and_settlement_stood_still(
    venue: Venue, clock: Clock, behind: int
):
    """Neither the stranger's transaction nor those that reverted are in any block any more."""
    block = give_nonces_up(venue, clock, behind)
    used = venue.chain.nonce(OPERATOR.address, pending=False)
    given_up = list(range(1, used - 1 - behind))
    assert len(given_up) == min(1 + behind, 16)

    rewrite(venue, venue.chain.head().number - block + 1)
    assert venue.chain.nonce(OPERATOR.address, pending=False) == 1
    until(lambda: not venue.settler.step())
    (trouble,) = venue.settler.troubles
    assert isinstance(trouble, NonceMissing) and "nonce 1, at which none" in str(trouble)
    clock.ahead_ns += 25 * NS
    finish(venue)

    assert venue.settler.troubles == [] and venue.settler.halted is None
    assert states(venue) == [ActionState.FINAL] * (2 + behind)
    voids = venue.outbox.names(*ActionState, kind=ActionKind.VOID)
    assert [venue.outbox.action(void).nonce for void, _, _ in voids] == given_up
    assert venue.chain.nonce(OPERATOR.address, pending=False) == used

    # It may take those away too, and what is then free is used up once more.
    rewrite(venue, 2)
    finish(venue)
    assert states(venue) == [ActionState.FINAL] * (2 + behind)
    assert venue.chain.nonce(OPERATOR.address, pending=False) == used
    venue.assert_books_agree()


def test_found_no_start_got_over_a_reorganisation_of_a_batch_final_before_its_predecessor(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    """One step sends a batch again and then finds the receipt of the one behind it."""
    venue = Venue(tmp_path, anvil, clock, confirmations=1)
    venue.fund()
    venue.devchain.mine(16)
    venue.trade(1)
    settle(venue)
    venue.devchain.mine(2)
    venue.devchain.rpc("evm_setAutomine", [False])
    for turn in (2, 3):
        venue.trade(turn)
        venue.settler.seal_now()
    venue.settler.step()
    first, second = venue.outbox.in_flight(9)
    (tx_hash,) = venue.outbox.tx_hashes(first)
    venue.devchain.rpc("anvil_dropTransaction", ["0x" + tx_hash.hex()])
    venue.devchain.mine()
    venue.devchain.rpc("evm_setAutomine", [True])
    before = venue.chain.head().number
    raw = venue.outbox.action(second.id).raw
    assert first.raw is not None and raw is not None
    for again in (first.raw, raw):
        venue.chain.send_raw(again)
    receipt = venue.chain.receipt(keccak256(raw))
    assert receipt is not None
    venue.outbox.mined(second.id, receipt, clock())
    venue.outbox.final(second.id, clock())
    assert states(venue) == [ActionState.FINAL, ActionState.BROADCAST, ActionState.FINAL]

    rewrite(venue, venue.chain.head().number - before)
    venue.reopen()
    finish(venue)
    assert venue.settler.halted is None and states(venue) == [ActionState.FINAL] * 3
    venue.assert_books_agree()
    venue.close()


class OldNonce:
    """A node, or one of several behind an address, that knows the operator's nonce of long ago."""

    def __init__(self, chain: Any) -> None:
        self._chain, self.blocks = chain, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def head(self) -> Block:
        newest = self._chain.head().number
        return self._chain.block(newest - self.blocks)  # type: ignore[no-any-return]

    def nonce(self, address: bytes, *, pending: bool) -> int:
        return 1


@pytest.mark.parametrize("blocks", [0, 4])
def test_a_node_that_lags_makes_no_nonce_missing(venue: Venue, clock: Clock, blocks: int):
    """Not while it is behind what was seen; and beside an answer that is newer, not at once."""
    give_nonces_up(venue, clock, 1)
    venue.devchain.mine()
    venue.devchain.rpc("evm_setAutomine", [False])
    venue.trade(4)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    assert [action.nonce for action in venue.outbox.in_flight(9)] == [5]
    node = OldNonce(venue.devchain.chain)
    venue.reopen(node)  # type: ignore[arg-type]
    venue.settler.step()
    node.blocks = blocks
    for _ in range(3):
        clock.ahead_ns += (25 if blocks else 4) * NS
        venue.settler.step()
    assert venue.outbox.names(*ActionState, kind=ActionKind.VOID) == []

    venue.reopen()
    venue.devchain.rpc("evm_setAutomine", [True])
    finish(venue)
    assert venue.outbox.names(*ActionState, kind=ActionKind.VOID) == []
    assert states(venue) == [ActionState.FINAL] * 4 and venue.settler.troubles == []
    venue.assert_books_agree()


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 12])
def test_a_deposit_that_moves_to_another_block_is_credited_once(venue: Venue, depth: int):
    chain = venue.devchain.chain
    before = venue.engine.available(venue.account(ALICE.address), 0)
    receipt = venue.deposit(ALICE, venue.usd, 5 * 10**6)
    raw = venue.devchain.rpc("eth_getRawTransactionByHash", ["0x" + receipt.tx_hash.hex()])
    venue.devchain.mine(max(depth - 1, CONFIRMATIONS - 1))
    venue.credit()
    booked_early = venue.engine.available(venue.account(ALICE.address), 0) - before
    assert booked_early in (0, 5 * 10**8)

    rewrite(venue, depth)
    # It comes back behind another deposit, so its log has another index too.
    venue.deposit(CAROL, venue.usd, 10**6)
    if chain.receipt(receipt.tx_hash) is None:
        chain.send_raw(bytes.fromhex(raw[2:]))
    venue.devchain.mine(CONFIRMATIONS)
    for _ in range(3):
        venue.credit()
        venue.reopen()

    assert chain.receipt(receipt.tx_hash) is not None
    assert venue.engine.available(venue.account(ALICE.address), 0) == before + 5 * 10**8
    venue.assert_books_agree()


def test_a_deposit_that_is_gone_for_good_shows_as_a_difference(venue: Venue):
    judge = venue.reconciler()
    venue.deposit(ALICE, venue.usd, 5 * 10**6)
    venue.devchain.mine(1)
    venue.credit()
    rewrite(venue, 3)
    venue.devchain.mine(3)
    final = venue.devchain.chain.head().number - CONFIRMATIONS + 1
    judge.compare(judge.cut(), final)
    whats = {difference.what for difference in judge.compare(judge.cut(), final)}

    assert whats == {"custody", f"account 0x{ALICE.address.hex()}"}


class Life:
    """A random life of an exchange on a chain that cannot be relied on."""

    def __init__(self, venue: Venue, clock: Clock, dice: random.Random) -> None:
        self.venue, self.clock, self.dice = venue, clock, dice
        self.turn = 0
        self.rewritten = 0
        self.steps: tuple[Callable[[], None], ...] = (
            self.trade,
            self.trade,
            self.seal,
            self.step,
            self.step,
            self.mine,
            self.rewrite,
            self.drop,
            self.wait,
            self.venue.reopen,
            self.pause,
        )

    def trade(self) -> None:
        self.turn += 1
        self.venue.trade(self.turn)

    def seal(self) -> None:
        self.venue.settler.seal_now()

    def step(self) -> None:
        self.venue.settler.step()

    def mine(self) -> None:
        self.venue.devchain.mine(self.dice.randrange(1, 4))

    def rewrite(self) -> None:
        with suppress(RpcError):  # Now and then anvil cannot.
            rewrite(self.venue, self.dice.randrange(1, 13))
            self.rewritten += 1

    def drop(self) -> None:
        """The node forgets what waits in its pool."""
        for action in self.venue.outbox.in_state(ActionState.BROADCAST, limit=9):
            for tx_hash in self.venue.outbox.tx_hashes(action):
                self.venue.devchain.rpc("anvil_dropTransaction", ["0x" + tx_hash.hex()])

    def wait(self) -> None:
        self.clock.ahead_ns += self.dice.randrange(1, 30) * NS

    def pause(self) -> None:
        self.venue.devchain.rpc("evm_setAutomine", [bool(self.dice.randrange(2))])

    def end(self) -> None:
        """Let the chain come to rest and everything arrive."""
        venue = self.venue
        venue.devchain.rpc("evm_setAutomine", [True])
        for _ in range(ROUNDS_MAX):
            venue.settler.seal_now()
            until(lambda: not venue.settler.step())
            venue.devchain.mine()
            self.clock.ahead_ns += 25 * NS
            if set(states(venue)) <= {ActionState.FINAL}:
                return


def is_sound(venue: Venue) -> bool:
    """Return whether the node has carried out what stands in its own blocks.

    One life in ten finds anvil after ``anvil_reorg`` with the nonce and the storage of an earlier
    block than its newest, or without a block in between, and no rest mends that.
    """
    rpc, operator = venue.devchain.rpc, "0x" + OPERATOR.address.hex()
    numbers = range(venue.devchain.chain.head().number + 1)
    blocks = [rpc("eth_getBlockByNumber", [hex(number), True]) for number in numbers]
    if None in blocks:
        return False
    sent = sum(sent["from"] == operator for block in blocks for sent in block["transactions"])
    nonce: int = venue.devchain.chain.nonce(OPERATOR.address, pending=False)
    return sent == nonce


def live(venue: Venue, clock: Clock, seed: int, steps: int) -> None:
    life = Life(venue, clock, random.Random(seed))
    # What no reorganisation here reaches: by this batch a restart knows that the chain is ours.
    life.trade()
    settle(venue)
    venue.devchain.mine(16)
    for _ in range(steps):
        life.dice.choice(life.steps)()
    life.end()
    if not is_sound(venue):
        pytest.skip("anvil's state is not that of its own blocks")

    assert life.rewritten >= steps // 100, "there were reorganisations"
    assert venue.settler.halted is None, seed
    assert set(states(venue)) <= {ActionState.FINAL}, seed
    assert venue.next_batch() == len(states(venue)) + 1
    trades = [state.batch for state in venue.settler.batches(1_000)]
    assert sum(b.last_trade - b.first_trade + 1 for b in trades) == life.turn
    venue.assert_books_agree()


@pytest.mark.parametrize("seed", range(SCENARIOS))
def test_a_life_on_a_chain_that_forgets_settles_each_trade_once(
    venue: Venue, clock: Clock, seed: int
):
    live(venue, clock, seed, STEPS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000, 1_100))
def test_long_lives_on_a_chain_that_forgets(venue: Venue, clock: Clock, seed: int):
    live(venue, clock, seed, 300)
