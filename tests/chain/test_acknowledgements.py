"""The bond contract reads our acknowledgements and our log roots as we mean them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.types import Side
from settlement.batches.acknowledgements import Acknowledgement, Acknowledger
from settlement.batches.decode import OpenedBatch, open_batch
from settlement.batches.log_leaves import leaf_of
from settlement.chain.chain import CallRevertedError
from settlement.chain.dev.devchain import start_devchain
from settlement.chain.reverts import in_words
from settlement.protocol import merkle
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import acknowledgement_digest
from tests.chain.conftest import Clock, until
from tests.chain.venue import ACKNOWLEDGER, ALICE, BOB, BOND, LANE, Venue, transact

BOND_RAW = BOND.raw_amount


class Bonded:
    """A venue whose operator has a bond and acknowledges every accepted order."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.words = Acknowledger(venue.domain, ACKNOWLEDGER)
        venue.consumers = (*venue.consumers, self.words)
        self.address = venue.deployment.bond

    @property
    def bonded(self) -> int:
        answer = self.venue.devchain.chain.call(self.address, call("bonded"))
        return int.from_bytes(answer, "big")

    def omission(self, word: Acknowledgement, batch: OpenedBatch, items: list[bytes]) -> bytes:
        """Return a proof that compares ``word`` with what the batch's log root has."""
        first = batch.header.first_sequence
        place = word.sequence - first
        own = items[first - 1 : first - 1 + batch.header.command_count]
        return call(
            "proveOmission",
            (word.sequence, word.item, word.head),
            word.signature,
            tuple(batch.header),
            len(batch.trades),
            batch.trades_root,
            own[place],
            merkle.path(own, place),
        )

    def refusal(self, calldata: bytes) -> str:
        with pytest.raises(CallRevertedError) as refused:
            self.venue.devchain.chain.call(self.address, calldata)
        return str(in_words(refused.value.output))


def call(name: str, *args: object) -> bytes:
    return encode_call(name, *args, contract="Bond")


def signed(venue: Venue, word: Acknowledgement, item: bytes) -> Acknowledgement:
    """Return what a lying operator would have signed instead."""
    digest = acknowledgement_digest(venue.domain, word.sequence, item, word.head)
    return word._replace(item=item, signature=ACKNOWLEDGER.sign_digest(digest))


@pytest.fixture
def bonded(tmp_path: Path, clock: Clock) -> Iterator[Bonded]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        venue = Venue(tmp_path, chain, clock)
        venue.fund()
        yield Bonded(venue)
        venue.close()


def acknowledged(bonded: Bonded) -> tuple[list[Acknowledgement], OpenedBatch, list[bytes]]:
    venue, words = bonded.venue, []
    for turn in range(1, 4):
        for who, side, lane in ((BOB, Side.SELL, LANE + turn), (ALICE, Side.BUY, 0)):
            events = venue.place(who, side, 2_500, 10, nonce=turn if not lane else 1, lane=lane)
            word = bonded.words.of(int(events[0]["sequence"]))
            assert word is not None
            words.append(word)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    tokens = [token.address for token in venue.deployment.tokens]
    batch = open_batch(venue.outbox.calldata(1), venue.domain, tokens)
    items = [leaf_of(entry) for committed in venue.history() for entry in committed.entries]
    return words, batch, items


def test_an_honest_operator_keeps_its_bond_whatever_is_shown(bonded: Bonded):
    words, batch, items = acknowledged(bonded)

    for word in words:
        assert bonded.refusal(bonded.omission(word, batch, items)).startswith("SameItem")
    assert bonded.bonded == BOND_RAW


def test_an_operator_that_settles_another_command_loses_it(bonded: Bonded):
    words, batch, items = acknowledged(bonded)
    lie = signed(bonded.venue, words[2], b"\x13" * 32)

    proof = bonded.omission(lie, batch, items)
    assert transact(bonded.venue.devchain.chain, BOB, bonded.address, proof).succeeded
    assert bonded.bonded == 0


def test_an_operator_that_promises_a_place_twice_loses_it(bonded: Bonded):
    words, _, _ = acknowledged(bonded)
    true, lie = words[2], signed(bonded.venue, words[2], b"\x13" * 32)
    pair = [value for word in (true, lie) for value in (tuple(word[:3]), word.signature)]

    assert transact(
        bonded.venue.devchain.chain, BOB, bonded.address, call("proveEquivocation", *pair)
    ).succeeded
    assert bonded.bonded == 0
