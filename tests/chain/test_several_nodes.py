"""One node that lies, lags or is down changes nothing; without a quorum nothing happens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.chain.chain import CallRevertedError, ChainUnavailableError
from settlement.chain.dev.devchain import start_devchain
from settlement.chain.quorum import NodesDisagreeError, QuorumChain
from settlement.outbox.actions import ActionState
from settlement.protocol.abi import encode_call
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, Venue


class Node:
    """A node on the real chain with a fault: what is in ``lies`` is answered instead."""

    def __init__(self, chain: Any, **lies: Any) -> None:
        self.chain, self.lies, self.is_down = chain, lies, False

    def __getattr__(self, name: str) -> Any:
        if self.is_down:
            raise ChainUnavailableError("down")
        lie = self.lies.get(name)
        true = getattr(self.chain, name)
        return true if lie is None else lambda *args, **options: lie(true(*args, **options))


@pytest.fixture
def venue(tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        built = Venue(tmp_path, chain, clock)
        yield built
        built.close()


def quorum(venue: Venue, **lies: Any) -> tuple[Any, Node, Node]:
    chain = venue.devchain.chain
    liar, honest = Node(chain, **lies), Node(chain)
    nodes: Any = [chain, liar, honest]
    return QuorumChain(nodes, 2), liar, honest


LIES = {
    "head": lambda block: block._replace(number=block.number + 50, hash=b"\x01" * 32),
    "block": lambda block: block and block._replace(hash=b"\x02" * 32),
    "logs": lambda logs: [],
    "logs_of": lambda logs: [],
    "positions": lambda places: [place + 1 for place in places],
    "receipt": lambda receipt: receipt and receipt._replace(succeeded=not receipt.succeeded),
    "call": lambda answer: b"\x03" * 32,
    "nonce": lambda nonce: 1_000,
    "code": lambda code: b"",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_node_is_outvoted(venue: Venue, lie: str):
    chain, _, _ = quorum(venue, **{lie: LIES[lie]})
    venue.reopen(chain)
    venue.fund()
    for turn in (1, 2):
        venue.trade(turn)
        venue.settler.seal_now()
        until(lambda: not venue.settler.step())

    assert [state.state for state in venue.settler.batches(9)] == [ActionState.FINAL] * 2
    assert venue.settler.halted is None
    venue.assert_books_agree()


def test_nothing_is_credited_or_sent_without_a_quorum(venue: Venue):
    chain, liar, other = quorum(venue, logs_of=LIES["logs_of"])
    other.is_down = True
    venue.reopen(chain)
    venue.deposit(ALICE, venue.usd, 10**6)

    with pytest.raises(NodesDisagreeError, match="the logs of block"):
        venue.credit()
    liar.is_down = True
    with pytest.raises(ChainUnavailableError, match="1 nodes answer"):
        venue.settler.step()

    other.is_down = False
    assert len(venue.credit()) == 1


class Yes(Node):
    """Refuses nothing."""

    def call(self, *_: Any, **__: Any) -> bytes:
        if self.is_down:
            raise ChainUnavailableError("down")
        return b"\x03" * 32


def test_a_refusal_needs_a_quorum_too(venue: Venue):
    true = venue.devchain.chain
    liar, other = Yes(true), Node(true)
    nodes: Any = [true, liar, other]
    chain = QuorumChain(nodes, 2)
    call = encode_call("tokenNumber", b"\x09" * 20)
    with pytest.raises(CallRevertedError):
        chain.call(venue.domain.contract, call)
    other.is_down = True
    with pytest.raises(NodesDisagreeError):
        chain.call(venue.domain.contract, call)
    liar.is_down, other.is_down = True, False
    with pytest.raises(CallRevertedError):
        chain.call(venue.domain.contract, call)


def test_a_quorum_is_a_majority(venue: Venue):
    nodes: Any = [venue.chain] * 3
    for wrong in (1, 4):
        with pytest.raises(AssertionError):
            QuorumChain(nodes, wrong)
