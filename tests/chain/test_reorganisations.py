"""However deep the chain is rewritten, each trade and each deposit counts exactly once."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.audit.reconcile import Reconciler
from settlement.chain.chain import Block, Sending
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind, ActionState
from settlement.outbox.troubles import NonceMissing
from settlement.protocol.eip712 import keccak256
from tests.chain.conftest import Clock, transfer, until
from tests.chain.road import ALICE, CAROL, NS, OPERATOR, Road
from tests.chain.test_submitter_faults import finish, states

CONFIRMATIONS = 2
SCENARIOS = 20
STEPS = 25
OPERATOR_INDEX = 8


@pytest.fixture
def road(anvil: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Road]:
    built = Road(tmp_path, anvil, clock, confirmations=CONFIRMATIONS)
    built.fund()
    built.devchain.mine(16)
    built.credit()
    yield built
    built.close()


def rewrite(road: Road, depth: int) -> None:
    """Replace the newest ``depth`` blocks by empty ones; their transactions are gone."""
    road.devchain.rpc("anvil_reorg", [depth, []])


def settle(road: Road) -> None:
    road.settler.seal_now()
    finish(road)


@pytest.mark.parametrize("depth", range(1, 13))
def test_batches_come_back_from_under_a_reorganisation(road: Road, depth: int):
    """Deeper than the confirmations: what was final is sent again, the same bytes."""
    for turn in (1, 2, 3):
        road.trade(turn)
        settle(road)
        road.devchain.mine(2)
    assert states(road) == [ActionState.FINAL] * 3
    hashes = [state.tx_hash for state in road.settler.batches(9)]

    rewrite(road, depth)
    if depth % 2:
        road.reopen()
    finish(road)
    road.trade(4)
    settle(road)

    assert states(road) == [ActionState.FINAL] * 4
    assert [state.tx_hash for state in road.settler.batches(9)][1:] == hashes
    assert road.next_batch() == 5 and road.settler.halted is None
    road.assert_books_agree()


def give_nonces_up(road: Road, clock: Clock, behind: int) -> int:
    """A stranger uses the nonce of a batch, ``behind`` others revert for want of it, and all go at
    other nonces, until they are final; return the stranger's block."""
    road.trade(1)
    settle(road)
    road.devchain.mine(16)
    road.devchain.rpc("evm_setAutomine", [False])
    for turn in range(2, 3 + behind):
        road.trade(turn)
        road.settler.seal_now()
    road.settler.step()
    out = road.outbox.in_flight(99)
    assert [action.nonce for action in out] == list(range(1, 1 + len(out)))
    (tx_hash,) = road.outbox.tx_hashes(out[0])
    road.devchain.rpc("anvil_dropTransaction", ["0x" + tx_hash.hex()])
    stranger = transfer(road.devchain.chain, OPERATOR_INDEX, 1)
    assert road.devchain.chain.send_raw(stranger).sending is Sending.ACCEPTED
    block = road.devchain.chain.head().number + 1
    road.devchain.rpc("evm_setAutomine", [True])
    for _ in range(3 + behind):
        road.devchain.mine()
        until(lambda: not road.settler.step())
        clock.ahead_ns += 25 * NS
    assert states(road) == [ActionState.FINAL] * (2 + behind)
    return block


@pytest.mark.parametrize("behind", [1, 17])
def test_found_a_nonce_given_up_came_free_again_and_settlement_stood_still(
    road: Road, clock: Clock, behind: int
):
    """Neither the stranger's transaction nor those that reverted are in any block any more."""
    block = give_nonces_up(road, clock, behind)
    used = road.chain.nonce(OPERATOR.address, pending=False)
    given_up = list(range(1, used - 1 - behind))
    assert len(given_up) == min(1 + behind, 16)

    rewrite(road, road.chain.head().number - block + 1)
    assert road.chain.nonce(OPERATOR.address, pending=False) == 1
    until(lambda: not road.settler.step())
    (trouble,) = road.settler.troubles
    assert isinstance(trouble, NonceMissing) and "nonce 1, at which none" in str(trouble)
    clock.ahead_ns += 25 * NS
    finish(road)

    assert road.settler.troubles == [] and road.settler.halted is None
    assert states(road) == [ActionState.FINAL] * (2 + behind)
    voids = road.outbox.names(*ActionState, kind=ActionKind.VOID)
    assert [road.outbox.action(void).nonce for void, _, _ in voids] == given_up
    assert road.chain.nonce(OPERATOR.address, pending=False) == used

    # It may take those away too, and what is then free is used up once more.
    rewrite(road, 2)
    finish(road)
    assert states(road) == [ActionState.FINAL] * (2 + behind)
    assert road.chain.nonce(OPERATOR.address, pending=False) == used
    road.assert_books_agree()


def test_found_no_start_got_over_a_reorganisation_of_a_batch_final_before_its_predecessor(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    """One step sends a batch again and then finds the receipt of the one behind it."""
    road = Road(tmp_path, anvil, clock, confirmations=1)
    road.fund()
    road.devchain.mine(16)
    road.trade(1)
    settle(road)
    road.devchain.mine(2)
    road.devchain.rpc("evm_setAutomine", [False])
    for turn in (2, 3):
        road.trade(turn)
        road.settler.seal_now()
    road.settler.step()
    first, second = road.outbox.in_flight(9)
    (tx_hash,) = road.outbox.tx_hashes(first)
    road.devchain.rpc("anvil_dropTransaction", ["0x" + tx_hash.hex()])
    road.devchain.mine()
    road.devchain.rpc("evm_setAutomine", [True])
    before = road.chain.head().number
    raw = road.outbox.action(second.id).raw
    assert first.raw is not None and raw is not None
    for again in (first.raw, raw):
        road.chain.send_raw(again)
    receipt = road.chain.receipt(keccak256(raw))
    assert receipt is not None
    road.outbox.mined(second.id, receipt, clock())
    road.outbox.final(second.id, clock())
    assert states(road) == [ActionState.FINAL, ActionState.BROADCAST, ActionState.FINAL]

    rewrite(road, road.chain.head().number - before)
    road.reopen()
    finish(road)
    assert road.settler.halted is None and states(road) == [ActionState.FINAL] * 3
    road.assert_books_agree()
    road.close()


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
def test_a_node_that_lags_makes_no_nonce_missing(road: Road, clock: Clock, blocks: int):
    """Not while it is behind what was seen; and beside an answer that is newer, not at once."""
    give_nonces_up(road, clock, 1)
    road.devchain.mine()
    road.devchain.rpc("evm_setAutomine", [False])
    road.trade(4)
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    assert [action.nonce for action in road.outbox.in_flight(9)] == [5]
    node = OldNonce(road.devchain.chain)
    road.reopen(node)  # type: ignore[arg-type]
    road.settler.step()
    node.blocks = blocks
    for _ in range(3):
        clock.ahead_ns += (25 if blocks else 4) * NS
        road.settler.step()
    assert road.outbox.names(*ActionState, kind=ActionKind.VOID) == []

    road.reopen()
    road.devchain.rpc("evm_setAutomine", [True])
    finish(road)
    assert road.outbox.names(*ActionState, kind=ActionKind.VOID) == []
    assert states(road) == [ActionState.FINAL] * 4 and road.settler.troubles == []
    road.assert_books_agree()


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 12])
def test_a_deposit_that_moves_to_another_block_is_credited_once(road: Road, depth: int):
    chain = road.devchain.chain
    before = road.engine.available(road.account(ALICE.address), 0)
    receipt = road.deposit(ALICE, road.usd, 5 * 10**6)
    raw = road.devchain.rpc("eth_getRawTransactionByHash", ["0x" + receipt.tx_hash.hex()])
    road.devchain.mine(max(depth - 1, CONFIRMATIONS - 1))
    road.credit()
    booked_early = road.engine.available(road.account(ALICE.address), 0) - before
    assert booked_early in (0, 5 * 10**8)

    rewrite(road, depth)
    # It comes back behind another deposit, so its log has another index too.
    road.deposit(CAROL, road.usd, 10**6)
    if chain.receipt(receipt.tx_hash) is None:
        chain.send_raw(bytes.fromhex(raw[2:]))
    road.devchain.mine(CONFIRMATIONS)
    for _ in range(3):
        road.credit()
        road.reopen()

    assert chain.receipt(receipt.tx_hash) is not None
    assert road.engine.available(road.account(ALICE.address), 0) == before + 5 * 10**8
    road.assert_books_agree()


def test_a_deposit_that_is_gone_for_good_shows_as_a_difference(road: Road):
    judge = Reconciler(
        road.chain,
        road.outbox,
        road.settler.queue,
        road.settler.reversals,
        road.catalog,
        road.deployment,
        lambda: road.engine,
        Counter,
    )
    road.deposit(ALICE, road.usd, 5 * 10**6)
    road.devchain.mine(1)
    road.credit()
    rewrite(road, 3)
    road.devchain.mine(3)
    final = road.devchain.chain.head().number - CONFIRMATIONS + 1
    judge.compare(judge.cut(), final)
    whats = {difference.what for difference in judge.compare(judge.cut(), final)}

    assert whats == {"custody", f"account 0x{ALICE.address.hex()}"}


class Life:
    """A random life of an exchange on a chain that cannot be relied on."""

    def __init__(self, road: Road, clock: Clock, dice: random.Random) -> None:
        self.road, self.clock, self.dice = road, clock, dice
        self.turn = 0
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
            self.road.reopen,
            self.pause,
        )

    def trade(self) -> None:
        self.turn += 1
        self.road.trade(self.turn)

    def seal(self) -> None:
        self.road.settler.seal_now()

    def step(self) -> None:
        self.road.settler.step()

    def mine(self) -> None:
        self.road.devchain.mine(self.dice.randrange(1, 4))

    def rewrite(self) -> None:
        rewrite(self.road, self.dice.randrange(1, 13))

    def drop(self) -> None:
        """The node forgets what waits in its pool."""
        for action in self.road.outbox.in_state(ActionState.BROADCAST, limit=9):
            for tx_hash in self.road.outbox.tx_hashes(action):
                self.road.devchain.rpc("anvil_dropTransaction", ["0x" + tx_hash.hex()])

    def wait(self) -> None:
        self.clock.ahead_ns += self.dice.randrange(1, 30) * NS

    def pause(self) -> None:
        self.road.devchain.rpc("evm_setAutomine", [bool(self.dice.randrange(2))])

    def end(self) -> None:
        """Let the chain come to rest and everything arrive."""
        road = self.road
        road.devchain.rpc("evm_setAutomine", [True])
        for _ in range(12):
            road.settler.seal_now()
            until(lambda: not road.settler.step())
            road.devchain.mine()
            self.clock.ahead_ns += 25 * NS


def live(road: Road, clock: Clock, seed: int, steps: int) -> None:
    life = Life(road, clock, random.Random(seed))
    # What no reorganisation here reaches: by this batch a restart knows that the chain is ours.
    life.trade()
    settle(road)
    road.devchain.mine(16)
    for _ in range(steps):
        life.dice.choice(life.steps)()
    life.end()

    assert road.settler.halted is None, seed
    assert set(states(road)) <= {ActionState.FINAL}, seed
    assert road.next_batch() == len(states(road)) + 1
    trades = [state.batch for state in road.settler.batches(1_000)]
    assert sum(b.last_trade - b.first_trade + 1 for b in trades) == life.turn
    road.assert_books_agree()


@pytest.mark.parametrize("seed", range(SCENARIOS))
def test_a_life_on_a_chain_that_forgets_settles_each_trade_once(
    road: Road, clock: Clock, seed: int
):
    live(road, clock, seed, STEPS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000, 1_100))
def test_long_lives_on_a_chain_that_forgets(road: Road, clock: Clock, seed: int):
    live(road, clock, seed, 300)
