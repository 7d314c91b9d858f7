"""Found: behind one address there are many nodes, and what one of them had not seen yet was
believed for good: a batch that had landed was sent again, refused, and settlement stood still."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.chain.chain import Block, BlockTag, ChainUnavailableError, Receipt
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionState
from tests.chain.conftest import Clock, until
from tests.chain.road import NS, Road


class Mixed:
    """A chain behind nodes of which some lag."""

    def __init__(self, chain: Any) -> None:
        self._chain = chain
        self.shows_receipts = True
        self.catches_up = False
        self.calls_at: int | None = None
        """The newest block of the node that is asked to call contracts."""
        self.behind_at: int | None = None
        """The newest block of the node that is asked for blocks and calls."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        found: Receipt | None = self._chain.receipt(tx_hash)
        return found if self.shows_receipts else None

    def base_fee(self) -> int:
        """What is asked before something is signed."""
        self.shows_receipts = self.shows_receipts or self.catches_up
        return self._chain.base_fee()  # type: ignore[no-any-return]

    def head(self) -> Block:
        if self.behind_at is None:
            return self._chain.head()  # type: ignore[no-any-return]
        return self._chain.block(self.behind_at)  # type: ignore[no-any-return]

    def call(
        self, to: bytes, calldata: bytes, block: BlockTag = "latest", sender: bytes = bytes(20)
    ) -> bytes:
        if self.behind_at is not None and block == "latest":
            block = self.behind_at
        if self.calls_at is not None and block == "latest":
            block = self.calls_at
        if self.behind_at is not None and isinstance(block, int) and block > self.behind_at:
            raise ChainUnavailableError("header not found")
        return self._chain.call(to, calldata, block, sender)  # type: ignore[no-any-return]


@pytest.fixture
def road(anvil: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Road]:
    built = Road(tmp_path, anvil, clock)
    built.fund()
    yield built
    built.close()


def states(road: Road) -> list[ActionState]:
    return [state.state for state in road.settler.batches(100)][::-1]


def test_a_batch_whose_receipt_came_late_has_landed_all_the_same(road: Road, clock: Clock):
    nodes = Mixed(road.devchain.chain)
    road.trade(1)
    road.settler.seal_now()
    road.reopen(nodes)  # type: ignore[arg-type]
    nodes.shows_receipts = False
    for _ in range(3):
        until(lambda: not road.settler.step())
        clock.ahead_ns += 25 * NS
    assert road.next_batch() == 2, "it has landed, and nobody shows it"

    nodes.shows_receipts = True
    road.devchain.mine()
    road.trade(2)
    road.settler.seal_now()
    for _ in range(3):
        until(lambda: not road.settler.step())
        clock.ahead_ns += 25 * NS

    assert road.settler.halted is None
    assert states(road) == [ActionState.FINAL] * 2
    assert road.next_batch() == 3
    road.assert_books_agree()


def test_what_landed_at_a_nonce_given_up_is_sent_anew_after_a_reorganisation(
    road: Road, clock: Clock
):
    nodes = Mixed(road.devchain.chain)
    road.trade(1)
    road.settler.seal_now()
    road.reopen(nodes)  # type: ignore[arg-type]
    nodes.shows_receipts = False
    for _ in range(2):
        until(lambda: not road.settler.step())
        clock.ahead_ns += 25 * NS
    nodes.catches_up = True
    until(lambda: not road.settler.step())
    assert states(road) == [ActionState.FINAL]
    landed = road.outbox.in_state(ActionState.FINAL, limit=9)[0]
    assert landed.raw is None, "there are no bytes of it any more"

    depth = road.devchain.chain.head().number - (landed.block_number or 0) + 1
    road.devchain.rpc("anvil_reorg", [depth, []])
    assert road.next_batch() == 1
    until(lambda: not road.settler.step())

    assert states(road) == [ActionState.FINAL]
    assert road.next_batch() == 2
    road.assert_books_agree()


def test_a_trade_is_not_busted_because_a_node_has_not_seen_the_deposit(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    road = Road(tmp_path, anvil, clock)
    nodes = Mixed(anvil.chain)
    nodes.calls_at = anvil.chain.head().number
    road.fund()
    road.reopen(nodes)  # type: ignore[arg-type]
    road.trade(1)
    road.settler.seal_now()
    for _ in range(3):
        until(lambda: not road.settler.step())
        clock.ahead_ns += 25 * NS

    assert road.settler.halted is None and road.settler.busts_due() == []
    assert states(road) == [ActionState.FINAL]
    road.assert_books_agree()
    road.close()


def test_at_a_start_a_node_that_is_behind_is_waited_for(road: Road, clock: Clock):
    before = road.devchain.chain.head().number
    road.trade(1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    assert states(road) == [ActionState.FINAL]
    nodes = Mixed(road.devchain.chain)
    nodes.behind_at = before
    road.reopen(nodes)  # type: ignore[arg-type]

    with pytest.raises(ChainUnavailableError, match="behind"):
        road.settler.step()
    assert road.settler.halted is None

    nodes.behind_at = None
    road.trade(2)
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    assert states(road) == [ActionState.FINAL] * 2
