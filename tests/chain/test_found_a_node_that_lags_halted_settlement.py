"""Found: behind one address there are many nodes, and what one of them had not seen yet was
believed for good: a batch that had landed was sent again, refused, and settlement stood still."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from settlement.batches.encode import encode_call
from settlement.chain.chain import Block, BlockTag, ChainUnavailableError, Receipt
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind, ActionState
from settlement.protocol.eip712 import KeyGrant, grant_digest, keccak256
from tests.chain.conftest import Clock, until
from tests.chain.road import ALICE, BOB, CAROL, NS, OPERATOR, Road, transact


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
        self,
        to: bytes,
        calldata: bytes,
        block: BlockTag = "latest",
        sender: bytes = bytes(20),
        gas: int | None = None,
    ) -> bytes:
        if self.behind_at is not None and block == "latest":
            block = self.behind_at
        if self.calls_at is not None and block == "latest":
            block = self.calls_at
        if self.behind_at is not None and isinstance(block, int) and block > self.behind_at:
            raise ChainUnavailableError("header not found")
        return self._chain.call(to, calldata, block, sender, gas)  # type: ignore[no-any-return]


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


def kept_trying(road: Road, clock: Clock) -> None:
    """Step for longer than a refusal has to last; nodes that say they are behind are waited for."""
    for _ in range(3):
        with suppress(ChainUnavailableError):
            until(lambda: not road.settler.step())
        clock.ahead_ns += 25 * NS


def test_found_a_withdrawal_was_given_back_because_a_node_had_not_seen_the_deposit(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    road = Road(tmp_path, anvil, clock)
    nodes = Mixed(anvil.chain)
    nodes.calls_at = anvil.chain.head().number
    road.fund()
    road.reopen(nodes)  # type: ignore[arg-type]
    road.withdraw(ALICE, road.usd, 10**8, nonce=1, expires_in_s=3_000)
    kept_trying(road, clock)

    assert road.settler.reversals_due() == []
    assert road.outbox.count(ActionState.FINAL, kind=ActionKind.WITHDRAWAL) == 1
    road.assert_books_agree()
    road.close()


def test_found_a_node_that_lags_refused_a_sweep(road: Road, clock: Clock):
    nodes = Mixed(road.devchain.chain)
    nodes.calls_at = road.devchain.chain.head().number
    road.reopen(nodes)  # type: ignore[arg-type]
    ref = keccak256(b"invoice")
    transfer = encode_call(
        "transfer", road.settler.deposit_address(BOB.address, ref), 10**18, contract="TestToken"
    )
    road.mint(BOB, road.token, 10**18)
    assert transact(road.devchain.chain, BOB, road.token, transfer).succeeded
    road.settler.enqueue_sweep(BOB.address, ref, road.token)
    kept_trying(road, clock)

    assert road.outbox.count(ActionState.FAILED) == 0
    assert road.outbox.count(ActionState.FINAL, kind=ActionKind.SWEEP) == 1


def test_found_a_node_that_lags_had_gas_spent_on_what_is_swept_already(road: Road, clock: Clock):
    ref = keccak256(b"invoice")
    address = road.settler.deposit_address(BOB.address, ref)
    transfer = encode_call("transfer", address, 10**18, contract="TestToken")
    road.mint(BOB, road.token, 10**18)
    assert transact(road.devchain.chain, BOB, road.token, transfer).succeeded
    nodes = Mixed(road.devchain.chain)
    nodes.calls_at = road.devchain.chain.head().number
    road.reopen(nodes)  # type: ignore[arg-type]
    road.settler.enqueue_sweep(BOB.address, ref, road.token)
    until(lambda: not road.settler.step())
    spent = road.devchain.chain.nonce(OPERATOR.address, pending=True)
    road.settler.enqueue_sweep(BOB.address, ref, road.token)
    kept_trying(road, clock)

    assert road.devchain.chain.nonce(OPERATOR.address, pending=True) == spent


def test_a_grant_waits_for_a_node_that_is_not_behind(road: Road, clock: Clock):
    """The same question, answered by a node that says that it has no such block: asked again."""
    old = road.devchain.chain.head().number
    nodes = Mixed(road.devchain.chain)
    road.reopen(nodes)  # type: ignore[arg-type]
    road.devchain.mine()
    until(lambda: not road.settler.step())
    nodes.behind_at = old
    expiry = clock() // NS + 3_600
    grant = KeyGrant(BOB.address, CAROL.address, road.token, road.usd, 2, expiry, 10**14, 1, 1)
    road.settler.enqueue_grant(grant, BOB.sign_digest(grant_digest(road.domain, grant)))
    with pytest.raises(ChainUnavailableError, match="header not found"):
        road.settler.step()
    assert road.outbox.count(ActionState.SEALED, kind=ActionKind.GRANT) == 1

    nodes.behind_at = None
    until(lambda: not road.settler.step())
    assert road.outbox.count(ActionState.FINAL, kind=ActionKind.GRANT) == 1


def test_found_a_node_that_lags_hid_an_exit_from_what_is_countersigned(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    road = Road(tmp_path, anvil, clock)
    road.fund()
    nodes = Mixed(anvil.chain)
    nodes.calls_at = anvil.chain.head().number
    road.reopen(nodes)  # type: ignore[arg-type]
    ask = encode_call("requestExit", road.usd, 10**12)
    assert transact(anvil.chain, ALICE, road.domain.contract, ask).succeeded
    road.withdraw(ALICE, road.usd, 100, nonce=1, expires_in_s=600)
    until(lambda: not road.settler.step())

    assert [due.reason for due in road.settler.reversals_due()] == [
        "an exit of the same money is open"
    ]
    road.close()
