"""Who places an order gets the operator's signed word on it, over either door."""

import asyncio
from typing import Any

import numpy as np
import pytest

from engine.commands import COMMAND, Kind
from engine.events import EVENT, EventKind
from engine.log_entries import Committed, LogEntry
from engine.sequencer.pipeline import BATCH_MAX, QUEUE_MAX
from engine.sequencer.subscription import Subscription
from settlement.batches.acknowledgements import KEPT_MAX, TREES_MAX, Acknowledgement, Acknowledger
from settlement.batches.log_leaves import leaf_of
from settlement.chain.signer import SecretSigner
from settlement.protocol.eip712 import recover
from tests.api.fixtures import DOMAIN, Venue, served
from tests.api.test_views_follow_stops_icebergs_and_auctions import place


def read(row: dict[str, Any]) -> Acknowledgement:
    """Return what a client reads in an answer."""
    item, head, signer, signature, *siblings = (
        bytes.fromhex(text[2:])
        for text in (row["item"], row["head"], row["signer"], row["signature"], *row["siblings"])
    )
    place, count = row["index"], row["count"]
    return Acknowledgement(
        row["sequence"], item, head, signer, place, count, tuple(siblings), signature
    )


def is_signed(word: Acknowledgement) -> bool:
    digest = word.signed_digest(DOMAIN)
    return digest is not None and recover(digest, word.signature) == word.signer


def logged(venue: Venue, sequence: int) -> LogEntry:
    return next(
        entry for batch in venue.history for entry in batch.entries if entry.sequence == sequence
    )


def test_an_accepted_order_is_acknowledged_by_its_item_in_the_log() -> None:
    async def story() -> None:
        venue = Venue()
        async with served(venue) as up:
            body = venue.maker.order("sell", 10, 2_000)
            placed = (await up.place(body)).json()
            word = placed["acknowledgement"]
            assert word["sequence"] == placed["sequence"]
            assert word["item"] == "0x" + leaf_of(logged(venue, word["sequence"])).hex()
            assert is_signed(read(word))

            taken = (await up.place(venue.taker.order("buy", 5, 2_000, single_shot=True))).json()
            assert taken["acknowledgement"]["item"] != word["item"]
            assert is_signed(read(taken["acknowledgement"]))
            assert taken["acknowledgement"]["signer"] == word["signer"]

            again = (await up.place(body)).json()
            assert again == placed and again["acknowledgement_missing"] is None

    asyncio.run(story())


def test_an_acknowledgement_that_is_no_longer_kept_is_said_to_be_too_old() -> None:
    async def story() -> None:
        venue = Venue()
        brief = Acknowledger(DOMAIN, SecretSigner(b"\x01" * 32), kept_max=2)
        venue.trading.pipeline.subscribe(Subscription("brief", brief))
        async with served(venue, acknowledge=brief.of) as up:
            bodies = [venue.maker.order("sell", 10, 2_000 + i) for i in range(3)]
            first, *_ = [(await up.place(body)).json() for body in bodies]
            assert first["acknowledgement"] and first["acknowledgement_missing"] is None

            again, *others = [(await up.place(body)).json() for body in bodies]
            assert again["order_id"] == first["order_id"]
            assert (again["acknowledgement"], again["acknowledgement_missing"]) == (None, "TOO_OLD")
            assert all(other["acknowledgement"] for other in others), "those are kept"

    asyncio.run(story())


def test_only_accepted_orders_are_acknowledged_and_a_memory_gives_the_same_words() -> None:
    venue = Venue()
    place(venue, venue.maker, "sell", 5, 2_005)
    words = venue.acknowledger
    accepted = [s for s in range(1, venue.engine.sequence + 1) if words.of(s)]
    assert accepted == [venue.engine.sequence], "listings and deposits are not orders"

    for same in (Acknowledger(DOMAIN, SecretSigner(b"\x77" * 32)) for _ in range(2)):
        same.load(words.save())
        assert same.of(accepted[0]) == words.of(accepted[0])
        assert same.save() == words.save()
    assert KEPT_MAX >= QUEUE_MAX, "every answer under way can be signed"
    assert TREES_MAX >= BATCH_MAX, "and with the others of its batch"


@pytest.mark.parametrize("reads", [1, 3, 100])
def test_of_a_history_just_the_last_orders_are_kept_however_often_they_are_read(reads: int) -> None:
    venue = Venue()
    for i in range(9):
        place(venue, venue.maker, "sell", 5, 2_005 + i)
    last = venue.engine.sequence
    brief = Acknowledger(DOMAIN, SecretSigner(b"\x77" * 32), kept_max=4)

    for i, batch in enumerate(venue.history):
        brief.consume(batch)
        if i % reads == 0:
            brief.read()

    kept = [sequence for sequence in range(1, last + 1) if brief.of(sequence)]
    assert kept == list(range(last - 3, last + 1))
    assert all(brief.of(sequence) == venue.acknowledger.of(sequence) for sequence in kept)


def orders(first: int, count: int) -> Committed:
    """Return a batch of so many accepted orders, each other than all before."""
    sequences = np.arange(first, first + count)
    commands, events = np.zeros(count, COMMAND), np.zeros(count, EVENT)
    commands["kind"], commands["sequence"] = Kind.PLACE, sequences
    events["kind"], events["sequence"] = EventKind.ACCEPTED, sequences
    attachments = [sequence.to_bytes(8) for sequence in sequences.tolist()]
    return Committed(first, commands, attachments, events, [32 * b"\x05"] * count)


def acknowledger() -> Acknowledger:
    return Acknowledger(DOMAIN, SecretSigner(b"\x77" * 32))


def words_of(acknowledger: Acknowledger, sequences: range) -> list[Acknowledgement]:
    words = [acknowledger.of(sequence) for sequence in sequences]
    assert all(words)
    return [word for word in words if word]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 33])
def test_the_orders_of_a_batch_share_one_signature_and_later_askers_get_their_own(
    count: int,
) -> None:
    live, replayed, alone = acknowledger(), acknowledger(), acknowledger()
    for first in (1, 1 + count):
        live.consume(orders(first, count))
    replayed.consume(orders(1, 2 * count))
    replayed.read()
    alone.load(replayed.save())

    batches = [words_of(live, range(first, first + count)) for first in (1, 1 + count)]
    for words in batches:
        assert [(w.leaf_index, w.leaf_count) for w in words] == [(i, count) for i in range(count)]
        assert len({word.signature for word in words}) == 1
    assert batches[0][0].signature != batches[1][0].signature
    flat = [word for words in batches for word in words]
    later = words_of(alone, range(1, 1 + 2 * count))
    assert words_of(replayed, range(1, 1 + 2 * count)) == later
    for word, same in zip(flat, later, strict=True):
        assert word[:4] == same[:4], "the same promise by the same signer"
        assert (same.leaf_index, same.leaf_count, same.siblings) == (0, 1, ())
        assert is_signed(word) and is_signed(same)


def test_a_command_that_was_refused_is_no_leaf() -> None:
    batch = orders(1, 5)
    batch.events["kind"][2] = EventKind.REJECTED
    batch.commands["kind"][3] = Kind.CANCEL
    words = acknowledger()
    words.consume(batch)

    found = {sequence: words.of(sequence) for sequence in range(1, 7)}
    assert [sequence for sequence, word in found.items() if word] == [1, 2, 5]
    assert [(w.leaf_index, w.leaf_count) for w in found.values() if w] == [(0, 3), (1, 3), (2, 3)]
    assert all(is_signed(word) for word in found.values() if word)


def test_of_old_orders_the_batch_is_forgotten_and_the_word_is_not() -> None:
    words, size = acknowledger(), BATCH_MAX
    count = TREES_MAX // size + 1
    for i in range(count):
        words.consume(orders(1 + i * size, size))

    oldest, oldest_with_others, newest = (
        words.of(sequence) for sequence in (size, size + 1, count * size)
    )
    assert oldest and oldest_with_others and newest
    assert (oldest.leaf_count, oldest_with_others.leaf_count) == (1, size)
    assert newest.signature != oldest_with_others.signature
    assert all(map(is_signed, (oldest, oldest_with_others, newest)))


def test_another_word_or_another_path_is_not_signed() -> None:
    words = acknowledger()
    words.consume(orders(1, 6))
    word = words.of(6)
    assert word and is_signed(word) and len(word.siblings) == 2
    for forged in (
        word._replace(sequence=5),
        word._replace(item=word.head),
        word._replace(head=word.item),
        word._replace(leaf_index=4),
        word._replace(leaf_index=6),
        word._replace(leaf_count=8),
        word._replace(siblings=word.siblings[1:]),
        word._replace(siblings=(*word.siblings, word.item)),
        word._replace(siblings=word.siblings[::-1]),
    ):
        assert not is_signed(forged)
