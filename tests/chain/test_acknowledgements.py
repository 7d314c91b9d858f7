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
from settlement.protocol.eip712 import acknowledgement_leaf, acknowledgements_digest, recover
from tests.chain.conftest import Clock, until
from tests.chain.venue import ACKNOWLEDGER, ALICE, BOB, BOND, LANE, Venue, as_one_batch, transact

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
            *shown(word),
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


def shown(word: Acknowledgement) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Return ``word`` and its path as the contract takes both."""
    path = (word.leaf_index, word.leaf_count, list(word.siblings), word.signature)
    return (word.sequence, word.item, word.head), path


def pair(first: Acknowledgement, second: Acknowledgement) -> bytes:
    """Return the proof that the two contradict each other."""
    return call("proveEquivocation", *shown(first), *shown(second))


def signed(venue: Venue, word: Acknowledgement, item: bytes) -> Acknowledgement:
    """Return what a lying operator would have signed instead, in a tree of its own."""
    leaf = acknowledgement_leaf(word.sequence, item, word.head)
    return word._replace(
        item=item,
        leaf_index=0,
        leaf_count=1,
        siblings=(),
        signature=ACKNOWLEDGER.sign_digest(acknowledgements_digest(venue.domain, leaf)),
    )


def together(venue: Venue, words: list[Acknowledgement]) -> list[Acknowledgement]:
    """Return the same words as if all of the log had been one batch: under one signature."""
    acknowledger = Acknowledger(venue.domain, ACKNOWLEDGER)
    acknowledger.consume(as_one_batch(venue.history()))
    found = [acknowledger.of(word.sequence) for word in words]
    assert len({word.signature for word in found if word}) == 1
    return [word for word in found if word]


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
    items = [leaf_of(frame) for committed in venue.history() for frame in committed.entries]
    return words, batch, items


def test_an_honest_operator_keeps_its_bond_whatever_is_shown(bonded: Bonded):
    words, batch, items = acknowledged(bonded)

    among = together(bonded.venue, words)
    for alone, word in zip(words, among, strict=True):
        assert (alone.leaf_count, alone.siblings) == (1, ())
        assert word[:3] == alone[:3] and len(word.siblings) > 1
        for said in (alone, word):
            assert bonded.refusal(bonded.omission(said, batch, items)).startswith("SameItem")
        assert bonded.refusal(pair(alone, word)).startswith("SameItem")
    assert bonded.bonded == BOND_RAW


def test_an_operator_that_settles_another_command_loses_it(bonded: Bonded):
    words, batch, items = acknowledged(bonded)
    lie = signed(bonded.venue, words[2], b"\x13" * 32)

    proof = bonded.omission(lie, batch, items)
    assert transact(bonded.venue.devchain.chain, BOB, bonded.address, proof).succeeded
    assert bonded.bonded == 0


def test_an_operator_that_promises_a_place_twice_loses_it(bonded: Bonded):
    words, _, _ = acknowledged(bonded)
    lie = signed(bonded.venue, words[2], b"\x13" * 32)
    true = together(bonded.venue, words)[2]

    assert transact(bonded.venue.devchain.chain, BOB, bonded.address, pair(true, lie)).succeeded
    assert bonded.bonded == 0


def test_what_python_calls_no_word_the_contract_refuses(bonded: Bonded):
    """Whoever checks an answer by ``signed_digest`` and the signer knows what the bond takes."""
    words, _, _ = acknowledged(bonded)
    word = together(bonded.venue, words)[2]
    other = signed(bonded.venue, word, b"\x13" * 32)
    assert word.leaf_count == len(words) and len(word.siblings) == 3
    forged = {
        "another place": word._replace(leaf_index=3),
        "no such place": word._replace(leaf_index=len(words)),
        "another count": word._replace(leaf_count=3),
        "none": word._replace(leaf_count=0),
        "too short": word._replace(siblings=word.siblings[1:]),
        "too long": word._replace(siblings=(*word.siblings, bytes(32))),
        "another head": word._replace(head=bytes(32)),
        "an inner node": word._replace(leaf_index=1, leaf_count=3, siblings=word.siblings[1:]),
    }
    for name, claim in forged.items():
        digest = claim.signed_digest(bonded.venue.domain)
        found = None if digest is None else recover(digest, claim.signature)
        assert found != ACKNOWLEDGER.address, name
        expected = "NoSuchPath" if digest is None else "NotAcknowledged"
        assert bonded.refusal(pair(claim, other)).startswith(expected), name
    digest = word.signed_digest(bonded.venue.domain)
    assert digest is not None and recover(digest, word.signature) == ACKNOWLEDGER.address
    huge = word._replace(leaf_count=1 << 32, siblings=(*word.siblings, *[bytes(32)] * 29))
    assert huge.signed_digest(bonded.venue.domain) is None, "the contract has no room for it"
