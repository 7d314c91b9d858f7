"""Found: the watcher's node was a few blocks behind the submitter's, and markets were halted for
good; and one answer of such a node made final batches unsettled, which no start got over."""

from collections import Counter
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
from tests.chain.road import Road
from tests.chain.test_submitter_faults import states

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
def road(tmp_path: Path, clock: Clock) -> Iterator[Road]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        built = Road(tmp_path, chain, clock, confirmations=CONFIRMATIONS)
        built.fund()
        yield built
        built.close()


def judge_of(road: Road) -> Reconciler:
    return Reconciler(
        road.devchain.chain,
        road.outbox,
        road.settler.queue,
        road.settler.reversals,
        road.catalog,
        road.deployment,
        lambda: road.engine,
        Counter,
    )


def settle(road: Road, turn: int) -> None:
    road.trade(turn)
    road.settler.seal_now()
    for _ in range(CONFIRMATIONS):
        until(lambda: not road.settler.step())
        road.devchain.mine()
    until(lambda: not road.settler.step())


def test_vault_and_ledger_are_compared_where_the_watcher_is(road: Road):
    road.devchain.mine(10)
    road.credit()
    slow: Any = Behind(road.devchain.chain, CONFIRMATIONS)
    watcher = Watcher(slow, road.outbox, road.domain.contract, 0, CONFIRMATIONS)
    judge = judge_of(road)
    road.trade(1)
    road.settler.seal_now()
    for _ in range(4 * CONFIRMATIONS):
        road.settler.step()
        poll = watcher.poll()
        watcher.done(poll)
        if poll.upto - 1 > judge.block:
            assert judge.compare(judge.cut(), poll.upto - 1) == []
        road.devchain.mine()
    assert states(road) == [ActionState.FINAL]
    assert judge.block == road.devchain.chain.head().number - 2 * CONFIRMATIONS


def test_trades_are_forgotten_in_the_end_and_nothing_is_compared_before_them(road: Road):
    judge = judge_of(road)
    before = road.devchain.chain.head().number
    settle(road, 1)
    road.devchain.mine(REORG_BLOCKS_MAX)
    road.settler.step()
    road.settler.step()
    assert road.queue.kept() == ([], []) and road.queue.forgotten == 1

    for _ in range(2):
        with pytest.raises(ChainUnavailableError, match="at batch 0, before 1"):
            judge.compare(judge.cut(), before)
    assert judge.block == 0, "it is not compared by then"
    for _ in range(2):
        assert judge.compare(judge.cut(), road.devchain.chain.head().number) == []


def test_what_is_final_stays_so_when_a_node_has_not_seen_it_yet(road: Road):
    node = Behind(road.devchain.chain)
    road.reopen(node)  # type: ignore[arg-type]
    settle(road, 1)
    settle(road, 2)
    kept = {consumer.checkpoint_name: consumer.save() for consumer in road.settler.consumers}
    changes = road.settler.changes(0)
    assert states(road) == [ActionState.FINAL] * 2

    node.by = 2 * CONFIRMATIONS
    for _ in range(2):
        road.settler.step()
        road.devchain.mine()
    assert states(road) == [ActionState.FINAL] * 2
    assert road.settler.changes(0) == changes

    # The process is killed right then and goes on from its snapshot.
    restart(road, kept, node)
    node.by = 0
    settle(road, 3)
    assert states(road) == [ActionState.FINAL] * 3
    assert road.settler.halted is None
    road.assert_books_agree()


def test_found_a_start_beside_a_node_that_lags_took_the_chain_for_another_one(road: Road):
    settle(road, 1)
    at_first = road.outbox.in_state(ActionState.FINAL, limit=1)[0].block_number
    settle(road, 2)

    class OldCalls(Behind):
        """Calls are answered at the first batch, and no blocks are shown."""

        def call(self, to: bytes, calldata: bytes, block: Any = "latest", *rest: Any) -> Any:
            return self._chain.call(to, calldata, at_first if self.blocks_hidden else block, *rest)

    node = OldCalls(road.devchain.chain)
    node.blocks_hidden = True
    road.reopen(node)  # type: ignore[arg-type]
    node.head = road.devchain.chain.head  # type: ignore[method-assign]
    with pytest.raises(ChainUnavailableError, match="no block"):
        road.settler.step()

    node.blocks_hidden = False
    settle(road, 3)
    assert states(road) == [ActionState.FINAL] * 3


def restart(road: Road, memories: dict[str, bytes], chain: Any) -> None:
    """Start again from a snapshot: the settler's consumers are not shown what is past."""
    road.reopen(chain)
    fresh = road.new_settler(chain)
    for consumer in fresh.consumers:
        consumer.load(memories[consumer.checkpoint_name])
    road.consumers = (*road.consumers[: -len(fresh.consumers)], *fresh.consumers)
    road.settler, road.queue, road.sealer = fresh, fresh.queue, fresh.sealer


@pytest.mark.parametrize("depth", [6, 12])
def test_a_start_gets_over_a_reorganisation_of_what_was_final_at_the_snapshot(
    anvil: DevChain, tmp_path: Path, clock: Clock, depth: int
):
    road = Road(tmp_path, anvil, clock, confirmations=2)
    road.fund()
    road.devchain.mine(16)
    road.credit()
    for turn in (1, 2, 3):
        settle(road, turn)
    assert states(road) == [ActionState.FINAL] * 3
    kept = {consumer.checkpoint_name: consumer.save() for consumer in road.settler.consumers}
    road.devchain.rpc("evm_setAutomine", [False])
    road.devchain.rpc("anvil_reorg", [depth, []])
    road.settler.step()
    assert ActionState.BROADCAST in states(road), "it is on its way again"

    restart(road, kept, anvil.chain)
    assert [trade.trade_id for trade in road.queue.kept()[0]] == [1, 2, 3]
    assert len(road.queue.unsettled()[0]) == states(road).count(ActionState.BROADCAST)
    road.devchain.rpc("evm_setAutomine", [True])
    road.devchain.mine(2)
    settle(road, 4)
    assert states(road) == [ActionState.FINAL] * 4
    road.assert_books_agree()
    road.close()
