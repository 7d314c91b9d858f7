"""Found: the watcher's node was a few blocks behind the submitter's, and markets were halted for
good; and one answer of such a node made final batches unsettled, which no start got over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.audit.reconcile import Reconciler
from settlement.chain.chain import Block, ChainUnavailableError, Receipt
from settlement.chain.dev.devchain import DevChain, start_devchain
from settlement.outbox.actions import ActionState
from settlement.outbox.submitter import REORG_BLOCKS_MAX
from settlement.watching.watcher import Watcher
from tests.chain.conftest import Clock, until
from tests.chain.test_submitter_faults import states
from tests.chain.venue import Venue

CONFIRMATIONS = 3


class Behind:
    """A node on the real chain that is ``by`` blocks behind the others."""

    def __init__(self, chain: Any, by: int = 0) -> None:
        self._chain, self.by = chain, by
        self.blocks_hidden = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def _newest(self) -> int:
        return self._chain.head().number - self.by  # type: ignore[no-any-return]

    def head(self) -> Block:
        return self._chain.block(self._newest())  # type: ignore[no-any-return]

    def block(self, number: int) -> Block | None:
        if self.blocks_hidden or number > self._newest():
            return None
        return self._chain.block(number)  # type: ignore[no-any-return]

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        found = self._chain.receipt(tx_hash)
        return found if found is None or found.block_number <= self._newest() else None


@pytest.fixture
def venue(tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        built = Venue(tmp_path, chain, clock, confirmations=CONFIRMATIONS)
        built.fund()
        yield built
        built.close()


def judge_of(venue: Venue) -> Reconciler:
    return venue.reconciler(venue.devchain.chain)


def settle(venue: Venue, turn: int) -> None:
    venue.trade(turn)
    venue.settler.seal_now()
    for _ in range(CONFIRMATIONS):
        until(lambda: not venue.settler.step())
        venue.devchain.mine()
    until(lambda: not venue.settler.step())


def test_vault_and_ledger_are_compared_where_the_watcher_is(venue: Venue):
    venue.devchain.mine(10)
    venue.credit()
    slow: Any = Behind(venue.devchain.chain, CONFIRMATIONS)
    watcher = Watcher(slow, venue.outbox, venue.domain.contract, 0, CONFIRMATIONS)
    judge = judge_of(venue)
    venue.trade(1)
    venue.settler.seal_now()
    for _ in range(4 * CONFIRMATIONS):
        venue.settler.step()
        poll = watcher.poll()
        watcher.done(poll)
        if poll.upto - 1 > judge.block:
            assert judge.compare(judge.cut(), poll.upto - 1) == []
        venue.devchain.mine()
    assert states(venue) == [ActionState.FINAL]
    assert judge.block == venue.devchain.chain.head().number - 2 * CONFIRMATIONS


def test_trades_are_forgotten_in_the_end_and_nothing_is_compared_before_them(venue: Venue):
    judge = judge_of(venue)
    before = venue.devchain.chain.head().number
    settle(venue, 1)
    venue.devchain.mine(REORG_BLOCKS_MAX)
    venue.settler.step()
    venue.settler.step()
    assert venue.queue.kept() == ([], []) and venue.queue.forgotten == 1

    for _ in range(2):
        with pytest.raises(ChainUnavailableError, match="at batch 0, before 1"):
            judge.compare(judge.cut(), before)
    assert judge.block == 0, "it is not compared by then"
    for _ in range(2):
        assert judge.compare(judge.cut(), venue.devchain.chain.head().number) == []


def test_what_is_final_stays_so_when_a_node_has_not_seen_it_yet(venue: Venue):
    node = Behind(venue.devchain.chain)
    venue.reopen(node)  # type: ignore[arg-type]
    settle(venue, 1)
    settle(venue, 2)
    kept = {consumer.checkpoint_name: consumer.save() for consumer in venue.settler.consumers}
    changes = venue.settler.changes(0)
    assert states(venue) == [ActionState.FINAL] * 2

    node.by = 2 * CONFIRMATIONS
    for _ in range(2):
        venue.settler.step()
        venue.devchain.mine()
    assert states(venue) == [ActionState.FINAL] * 2
    assert venue.settler.changes(0) == changes

    # The process is killed right then and goes on from its snapshot.
    restart(venue, kept, node)
    node.by = 0
    settle(venue, 3)
    assert states(venue) == [ActionState.FINAL] * 3
    assert venue.settler.halted is None
    venue.assert_books_agree()


def test_found_a_start_beside_a_node_that_lags_took_the_chain_for_another_one(venue: Venue):
    settle(venue, 1)
    at_first = venue.outbox.in_state(ActionState.FINAL, limit=1)[0].block_number
    settle(venue, 2)

    class OldCalls(Behind):
        """Calls are answered at the first batch, and no blocks are shown."""

        def call(self, to: bytes, calldata: bytes, block: Any = "latest", *rest: Any) -> Any:
            return self._chain.call(to, calldata, at_first if self.blocks_hidden else block, *rest)

    node = OldCalls(venue.devchain.chain)
    node.blocks_hidden = True
    venue.reopen(node)  # type: ignore[arg-type]
    node.head = venue.devchain.chain.head  # type: ignore[method-assign]
    with pytest.raises(ChainUnavailableError, match="no block"):
        venue.settler.step()

    node.blocks_hidden = False
    settle(venue, 3)
    assert states(venue) == [ActionState.FINAL] * 3


def restart(venue: Venue, memories: dict[str, bytes], chain: Any) -> None:
    """Start again from a snapshot: the settler's consumers are not shown what is past."""
    venue.reopen(chain)
    fresh = venue.new_settler(chain)
    for consumer in fresh.consumers:
        consumer.load(memories[consumer.checkpoint_name])
    venue.consumers = (*venue.consumers[: -len(fresh.consumers)], *fresh.consumers)
    venue.settler, venue.queue, venue.sealer = fresh, fresh.queue, fresh.sealer


@pytest.mark.parametrize("depth", [6, 12])
def test_a_start_gets_over_a_reorganisation_of_what_was_final_at_the_snapshot(
    anvil: DevChain, tmp_path: Path, clock: Clock, depth: int
):
    venue = Venue(tmp_path, anvil, clock, confirmations=2)
    venue.fund()
    venue.devchain.mine(16)
    venue.credit()
    for turn in (1, 2, 3):
        settle(venue, turn)
    assert states(venue) == [ActionState.FINAL] * 3
    kept = {consumer.checkpoint_name: consumer.save() for consumer in venue.settler.consumers}
    venue.devchain.rpc("evm_setAutomine", [False])
    venue.devchain.rpc("anvil_reorg", [depth, []])
    venue.settler.step()
    assert ActionState.BROADCAST in states(venue), "it is on its way again"

    restart(venue, kept, anvil.chain)
    assert [trade.trade_id for trade in venue.queue.kept()[0]] == [1, 2, 3]
    assert len(venue.queue.unsettled()[0]) == states(venue).count(ActionState.BROADCAST)
    venue.devchain.rpc("evm_setAutomine", [True])
    venue.devchain.mine(2)
    settle(venue, 4)
    assert states(venue) == [ActionState.FINAL] * 4
    venue.assert_books_agree()
    venue.close()
