"""Whoever lost an answer sends the order again, and gets all of it, its signed word too."""

import asyncio
import shutil

import pytest

from engine.types import Side
from gateway.sandbox.actors import MAKER_ONE
from gateway.sandbox.client import Client, order_document
from settlement.protocol.eip712 import acknowledgement_leaf, acknowledgements_digest, recover
from tests.e2e.test_bad_input_changes_nothing import LANE, Running


def placed(running, document):
    """Place ``document`` on a connection of its own."""
    client = Client("127.0.0.1", running.stack.port)
    try:
        return client.post("/v1/orders", document)
    finally:
        client.close()


def kept(running):
    """Take a snapshot and wait for the child."""

    async def snapshot():
        running.stack.snapshotter.begin()
        running.stack.snapshotter.close()
        assert running.stack.snapshotter.failures == 0

    running.on_loop(snapshot())


@pytest.mark.parametrize("with_snapshot", [False, True], ids=["replayed", "from a snapshot"])
def test_a_resend_gets_the_same_word_before_and_after_a_restart(tmp_path, with_snapshot):
    running = Running(tmp_path)
    running.fund()
    expiry = running.stack.now_ns() // 10**9 + 600
    orders = [
        running.wallets[MAKER_ONE].order(
            running.market, Side.BUY, 100, 250_000 - i, nonce=1, expiry=expiry, lane=LANE + i
        )
        for i in range(5)
    ]
    documents = [order_document(order) for order in orders]
    first = [placed(running, document) for document in documents[:3]]
    if with_snapshot:
        kept(running)
    first += [placed(running, document) for document in documents[3:]]
    again = [placed(running, document) for document in documents]
    running.close()
    if not with_snapshot:  # An orderly end has kept one.
        shutil.rmtree(tmp_path / "snapshots")

    running = Running(tmp_path)
    assert (running.stack.parts.sequencer.resumed_at > 0) == with_snapshot
    later = [placed(running, document) for document in documents]
    running.close()

    assert len({answer["acknowledgement"]["item"] for answer in first}) == 5
    for answers in (again, later):
        for answer, before in zip(answers, first, strict=True):
            # Each came alone, so it was a tree of its own before: even the signature is the same.
            assert answer == before and answer["acknowledgement_missing"] is None


def test_who_came_with_others_gets_the_same_word_after_a_restart_too(tmp_path):
    running = Running(tmp_path)
    running.fund()
    domain, expiry = running.stack.parts.exchange.domain, running.stack.now_ns() // 10**9 + 600
    orders = [
        running.wallets[MAKER_ONE].order(
            running.market, Side.BUY, 100, 250_000 - i, nonce=1, expiry=expiry, lane=LANE + i
        )
        for i in range(5)
    ]

    async def at_once():
        await asyncio.gather(*map(running.stack.parts.exchange.place, orders))

    running.on_loop(at_once())
    documents = [order_document(order) for order in orders]
    first = [placed(running, document) for document in documents]
    kept(running)
    running.close()

    running = Running(tmp_path)
    assert running.stack.parts.sequencer.resumed_at > 0
    later = [placed(running, document) for document in documents]
    running.close()

    for answer, before in zip(later, first, strict=True):
        said, same = before.pop("acknowledgement"), answer.pop("acknowledgement")
        assert answer == before
        assert (said["count"], same["count"]) == (5, 1) and same["siblings"] == []
        for name in ("sequence", "item", "head", "signer"):
            assert said[name] == same[name], name
        leaf = acknowledgement_leaf(
            same["sequence"], *(bytes.fromhex(same[name][2:]) for name in ("item", "head"))
        )
        digest = acknowledgements_digest(domain, leaf)
        signer = recover(digest, bytes.fromhex(same["signature"][2:]))
        assert signer is not None and "0x" + signer.hex() == said["signer"]
