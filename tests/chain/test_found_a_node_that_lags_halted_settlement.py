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
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import KeyGrant, grant_digest, keccak256
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, BOB, CAROL, NS, OPERATOR, Venue, transact


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
def venue(anvil: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, anvil, clock)
    built.fund()
    yield built
    built.close()


def states(venue: Venue) -> list[ActionState]:
    return [state.state for state in venue.settler.batches(100)][::-1]


def test_a_batch_whose_receipt_came_late_has_landed_all_the_same(venue: Venue, clock: Clock):
    nodes = Mixed(venue.devchain.chain)
    venue.trade(1)
    venue.settler.seal_now()
    venue.reopen(nodes)  # type: ignore[arg-type]
    nodes.shows_receipts = False
    for _ in range(3):
        until(lambda: not venue.settler.step())
        clock.ahead_ns += 25 * NS
    assert venue.next_batch() == 2, "it has landed, and nobody shows it"

    nodes.shows_receipts = True
    venue.devchain.mine()
    venue.trade(2)
    venue.settler.seal_now()
    for _ in range(3):
        until(lambda: not venue.settler.step())
        clock.ahead_ns += 25 * NS

    assert venue.settler.halted is None
    assert states(venue) == [ActionState.FINAL] * 2
    assert venue.next_batch() == 3
    venue.assert_books_agree()


def test_what_landed_at_a_nonce_given_up_is_sent_anew_after_a_reorganisation(
    venue: Venue, clock: Clock
):
    nodes = Mixed(venue.devchain.chain)
    venue.trade(1)
    venue.settler.seal_now()
    venue.reopen(nodes)  # type: ignore[arg-type]
    nodes.shows_receipts = False
    for _ in range(2):
        until(lambda: not venue.settler.step())
        clock.ahead_ns += 25 * NS
    nodes.catches_up = True
    until(lambda: not venue.settler.step())
    assert states(venue) == [ActionState.FINAL]
    landed = venue.outbox.in_state(ActionState.FINAL, limit=9)[0]
    assert landed.raw is None, "there are no bytes of it any more"

    depth = venue.devchain.chain.head().number - (landed.block_number or 0) + 1
    venue.devchain.rpc("anvil_reorg", [depth, []])
    assert venue.next_batch() == 1
    until(lambda: not venue.settler.step())

    assert states(venue) == [ActionState.FINAL]
    assert venue.next_batch() == 2
    venue.assert_books_agree()


def test_a_trade_is_not_busted_because_a_node_has_not_seen_the_deposit(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    venue = Venue(tmp_path, anvil, clock)
    nodes = Mixed(anvil.chain)
    nodes.calls_at = anvil.chain.head().number
    venue.fund()
    venue.reopen(nodes)  # type: ignore[arg-type]
    venue.trade(1)
    venue.settler.seal_now()
    for _ in range(3):
        until(lambda: not venue.settler.step())
        clock.ahead_ns += 25 * NS

    assert venue.settler.halted is None and venue.settler.busts_due() == []
    assert states(venue) == [ActionState.FINAL]
    venue.assert_books_agree()
    venue.close()


def test_at_a_start_a_node_that_is_behind_is_waited_for(venue: Venue, clock: Clock):
    before = venue.devchain.chain.head().number
    venue.trade(1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    assert states(venue) == [ActionState.FINAL]
    nodes = Mixed(venue.devchain.chain)
    nodes.behind_at = before
    venue.reopen(nodes)  # type: ignore[arg-type]

    with pytest.raises(ChainUnavailableError, match="behind"):
        venue.settler.step()
    assert venue.settler.halted is None

    nodes.behind_at = None
    venue.trade(2)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    assert states(venue) == [ActionState.FINAL] * 2


def kept_trying(venue: Venue, clock: Clock) -> None:
    """Step for longer than a refusal has to last; nodes that say they are behind are waited for."""
    for _ in range(3):
        with suppress(ChainUnavailableError):
            until(lambda: not venue.settler.step())
        clock.ahead_ns += 25 * NS


def test_found_a_withdrawal_was_given_back_because_a_node_had_not_seen_the_deposit(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    venue = Venue(tmp_path, anvil, clock)
    nodes = Mixed(anvil.chain)
    nodes.calls_at = anvil.chain.head().number
    venue.fund()
    venue.reopen(nodes)  # type: ignore[arg-type]
    venue.withdraw(ALICE, venue.usd, 10**8, nonce=1, expires_in_s=3_000)
    kept_trying(venue, clock)

    assert venue.settler.reversals_due() == []
    assert venue.outbox.count(ActionState.FINAL, kind=ActionKind.WITHDRAWAL) == 1
    venue.assert_books_agree()
    venue.close()


def test_found_a_node_that_lags_refused_a_sweep(venue: Venue, clock: Clock):
    nodes = Mixed(venue.devchain.chain)
    nodes.calls_at = venue.devchain.chain.head().number
    venue.reopen(nodes)  # type: ignore[arg-type]
    ref = keccak256(b"invoice")
    transfer = encode_call(
        "transfer", venue.settler.deposit_address(BOB.address, ref), 10**18, contract="TestToken"
    )
    venue.mint(BOB, venue.token, 10**18)
    assert transact(venue.devchain.chain, BOB, venue.token, transfer).succeeded
    venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref, venue.token)])
    kept_trying(venue, clock)

    assert venue.outbox.count(ActionState.FAILED) == 0
    assert venue.outbox.count(ActionState.FINAL, kind=ActionKind.SWEEP) == 1


def test_found_a_node_that_lags_had_gas_spent_on_what_is_swept_already(venue: Venue, clock: Clock):
    ref = keccak256(b"invoice")
    address = venue.settler.deposit_address(BOB.address, ref)
    transfer = encode_call("transfer", address, 10**18, contract="TestToken")
    venue.mint(BOB, venue.token, 10**18)
    assert transact(venue.devchain.chain, BOB, venue.token, transfer).succeeded
    nodes = Mixed(venue.devchain.chain)
    nodes.calls_at = venue.devchain.chain.head().number
    venue.reopen(nodes)  # type: ignore[arg-type]
    venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref, venue.token)])
    until(lambda: not venue.settler.step())
    spent = venue.devchain.chain.nonce(OPERATOR.address, pending=True)
    venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref, venue.token)])
    kept_trying(venue, clock)

    assert venue.devchain.chain.nonce(OPERATOR.address, pending=True) == spent


def test_a_grant_waits_for_a_node_that_is_not_behind(venue: Venue, clock: Clock):
    """The same question, answered by a node that says that it has no such block: asked again."""
    old = venue.devchain.chain.head().number
    nodes = Mixed(venue.devchain.chain)
    venue.reopen(nodes)  # type: ignore[arg-type]
    venue.devchain.mine()
    until(lambda: not venue.settler.step())
    nodes.behind_at = old
    expiry = clock() // NS + 3_600
    grant = KeyGrant(BOB.address, CAROL.address, venue.token, venue.usd, 2, expiry, 10**14, 1, 1)
    venue.settler.enqueue_grant(grant, BOB.sign_digest(grant_digest(venue.domain, grant)))
    with pytest.raises(ChainUnavailableError, match="header not found"):
        venue.settler.step()
    assert venue.outbox.count(ActionState.SEALED, kind=ActionKind.GRANT) == 1

    nodes.behind_at = None
    until(lambda: not venue.settler.step())
    assert venue.outbox.count(ActionState.FINAL, kind=ActionKind.GRANT) == 1


def test_found_a_node_that_lags_hid_an_exit_from_what_is_countersigned(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    venue = Venue(tmp_path, anvil, clock)
    venue.fund()
    nodes = Mixed(anvil.chain)
    nodes.calls_at = anvil.chain.head().number
    venue.reopen(nodes)  # type: ignore[arg-type]
    ask = encode_call("requestExit", venue.usd, 10**12)
    assert transact(anvil.chain, ALICE, venue.domain.contract, ask).succeeded
    venue.withdraw(ALICE, venue.usd, 100, nonce=1, expires_in_s=600)
    until(lambda: not venue.settler.step())

    assert [due.reason for due in venue.settler.reversals_due()] == [
        "an exit of the same money is open"
    ]
    venue.close()
