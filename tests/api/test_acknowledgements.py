"""Who places an order gets the operator's signed word on it, over either door."""

import asyncio
from typing import Any

import pytest

from engine.log_entries import LogEntry
from engine.sequencer.pipeline import QUEUE_MAX
from engine.sequencer.subscription import Subscription
from settlement.batches.acknowledgements import KEPT_MAX, Acknowledger
from settlement.batches.log_leaves import leaf_of
from settlement.chain.signer import SecretSigner
from settlement.protocol.eip712 import acknowledgement_digest, recover
from tests.api.fixtures import DOMAIN, Venue, served
from tests.api.test_views_follow_stops_icebergs_and_auctions import place


def signer_of(word: dict[str, Any]) -> str:
    item, head, signature = (bytes.fromhex(word[n][2:]) for n in ("item", "head", "signature"))
    digest = acknowledgement_digest(DOMAIN, word["sequence"], item, head)
    signer = recover(digest, signature)
    assert signer is not None
    return "0x" + signer.hex()


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
            assert signer_of(word) == word["signer"]

            taken = (await up.place(venue.taker.order("buy", 5, 2_000, single_shot=True))).json()
            assert taken["acknowledgement"]["item"] != word["item"]
            assert signer_of(taken["acknowledgement"]) == word["signer"]

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
