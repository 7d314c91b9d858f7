"""The bond contract reads our acknowledgements and our log roots as we mean them."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from eth_abi.exceptions import EncodingError

from engine.types import Side
from gateway.api.v1.orders import acknowledgement_row, domain_row
from settlement.batches.acknowledgements import Acknowledgement, Acknowledger
from settlement.batches.decode import OpenedBatch, open_batch
from settlement.batches.log_leaves import leaf_of
from settlement.chain.chain import CallRevertedError
from settlement.chain.dev.devchain import start_devchain
from settlement.chain.reverts import in_words
from settlement.contracts import build_artifacts
from settlement.protocol import merkle
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import acknowledgement_leaf, acknowledgements_digest, recover
from tests.chain.conftest import Clock, until
from tests.chain.venue import ACKNOWLEDGER, ALICE, BOB, BOND, LANE, Venue, as_one_batch, transact

CHECK = Path(__file__).with_name("verify_acknowledgement.js")
MODULES = build_artifacts.HERE / "node_modules"
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
    return resigned(venue, word._replace(item=item, leaf_index=0, leaf_count=1, siblings=()))


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
    items = [leaf_of(entry) for committed in venue.history() for entry in committed.entries]
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


def forgeries(word: Acknowledgement) -> dict[str, Acknowledgement]:
    """Return what somebody might make of the third of six words under one signature."""
    assert (word.leaf_index, word.leaf_count, len(word.siblings)) == (2, 6, 3)
    return {
        "another place": word._replace(leaf_index=3),
        "no such place": word._replace(leaf_index=6),
        "another count": word._replace(leaf_count=3),
        "none": word._replace(leaf_count=0),
        "too short": word._replace(siblings=word.siblings[1:]),
        "too long": word._replace(siblings=(*word.siblings, bytes(32))),
        "another order": word._replace(siblings=word.siblings[::-1]),
        "another item": word._replace(item=bytes(32)),
        "another head": word._replace(head=bytes(32)),
        "another sequence": word._replace(sequence=word.sequence + 1),
        "an inner node": word._replace(leaf_index=1, leaf_count=3, siblings=word.siblings[1:]),
        "the root": word._replace(leaf_index=0, leaf_count=1, siblings=()),
        "another form": word._replace(signature=word.signature[:64] + b"\0"),
    }


def unreadable(venue: Venue, word: Acknowledgement) -> list[Acknowledgement]:
    """Return words that the operator has signed, in a form that the contract cannot be given."""
    siblings = (bytes(32),) * 33
    return [
        resigned(venue, word._replace(sequence=1 << 64, siblings=(), leaf_index=0, leaf_count=1)),
        resigned(venue, word._replace(leaf_index=0, leaf_count=1 << 33, siblings=siblings)),
        resigned(venue, word._replace(leaf_index=0, leaf_count=2, siblings=(bytes(33),))),
        resigned(venue, word._replace(leaf_index=0, leaf_count=2, siblings=(b"",))),
    ]


def resigned(venue: Venue, word: Acknowledgement) -> Acknowledgement:
    leaf = acknowledgement_leaf(word.sequence, word.item, word.head)
    root = merkle.root_from(leaf, word.leaf_index, word.leaf_count, list(word.siblings))
    assert root is not None, "it has a root, of whatever"
    digest = acknowledgements_digest(venue.domain, root)
    return word._replace(signature=ACKNOWLEDGER.sign_digest(digest))


def test_what_python_calls_no_word_the_contract_refuses(bonded: Bonded):
    """Whoever checks an answer by ``signed_digest`` and the signer knows what the bond takes."""
    words, _, _ = acknowledged(bonded)
    domain, word = bonded.venue.domain, together(bonded.venue, words)[2]
    lie = signed(bonded.venue, word, b"\x13" * 32)
    for name, claim in forgeries(word).items():
        digest = claim.signed_digest(domain)
        found = None if digest is None else recover(digest, claim.signature)
        assert found != ACKNOWLEDGER.address, name
        expected = "NoSuchPath" if digest is None else "NotAcknowledged"
        assert bonded.refusal(pair(claim, lie)).startswith(expected), name
    digest = word.signed_digest(domain)
    assert digest is not None and recover(digest, word.signature) == ACKNOWLEDGER.address
    for claim in unreadable(bonded.venue, word):
        assert claim.signed_digest(domain) is None
        with pytest.raises((EncodingError, CallRevertedError)):
            bonded.venue.devchain.chain.call(bonded.address, pair(claim, lie))


@pytest.mark.node
@pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "ethers").is_dir(),
    reason="needs node and ethers from npm (see settlement/contracts/package.json)",
)
def test_a_check_that_shares_no_line_with_ours_comes_to_the_same(bonded: Bonded):
    words, _, _ = acknowledged(bonded)
    among = together(bonded.venue, words)
    lie = signed(bonded.venue, words[2], b"\x13" * 32)
    good, bad = [*words, *among, lie], list(forgeries(among[2]).values())
    asked = [*good, *bad, *unreadable(bonded.venue, among[2])]
    document = [
        {"domain": domain_row(bonded.venue.domain), "acknowledgement": acknowledgement_row(word)}
        for word in asked
    ]
    run = subprocess.run(
        ["node", str(CHECK), "0x" + ACKNOWLEDGER.address.hex()],
        input=msgspec.json.encode(document).decode(),
        capture_output=True,
        text=True,
        check=True,
    )
    told = run.stdout.splitlines()
    assert len(told) == len(asked)
    for word, verdict in zip(asked, told, strict=True):
        digest = word.signed_digest(bonded.venue.domain)
        ours = digest is not None and recover(digest, word.signature) == word.signer
        assert (verdict == "signed") == ours, (word, verdict)
    assert told[: len(good)] == ["signed"] * len(good)
