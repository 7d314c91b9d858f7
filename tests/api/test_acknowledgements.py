"""Who places an order gets the operator's signed word on it, over either door."""

import asyncio
from typing import Any

from engine.frames import Frame
from settlement.acknowledgements import KEPT_MAX, Acknowledger
from settlement.eip712 import acknowledgement_digest, recover
from settlement.itemlog import item_of
from settlement.signer import SecretSigner
from tests.api.rig import DOMAIN, House, served


def signer_of(word: dict[str, Any]) -> str:
    item, head, signature = (bytes.fromhex(word[n][2:]) for n in ("item", "head", "signature"))
    digest = acknowledgement_digest(DOMAIN, word["sequence"], item, head)
    signer = recover(digest, signature)
    assert signer is not None
    return "0x" + signer.hex()


def logged(house: House, sequence: int) -> Frame:
    return next(
        frame
        for batch in house.exchange.history
        for frame in batch.frames()
        if frame.sequence == sequence
    )


def test_an_accepted_order_is_acknowledged_by_its_item_in_the_log() -> None:
    async def story() -> None:
        house = House()
        async with served(house) as up:
            body = house.maker.order("sell", 10, 2_000)
            placed = (await up.place(body)).json()
            word = placed["acknowledgement"]
            assert word["sequence"] == placed["sequence"]
            assert word["item"] == "0x" + item_of(logged(house, word["sequence"])).hex()
            assert signer_of(word) == word["signer"]

            taken = (await up.place(house.taker.order("buy", 5, 2_000, single_shot=True))).json()
            assert taken["acknowledgement"]["item"] != word["item"]
            assert signer_of(taken["acknowledgement"]) == word["signer"]

            again = (await up.place(body)).json()
            assert again["acknowledgement"] is None, "that was answered before"

    asyncio.run(story())


def test_what_was_refused_is_not_acknowledged_and_memory_is_bounded() -> None:
    house = House()
    word = Acknowledger(DOMAIN, SecretSigner(b"\x01" * 32))
    for batch in house.exchange.history:
        word.consume(batch)
    assert word.of(1) is None, "history is not answered to anybody"
    word.open()
    for batch in house.exchange.history:
        word.consume(batch)
    assert all(word.of(s) is None for s in range(1, house.exchange.history[-1].last_sequence))
    assert KEPT_MAX >= 65_536, "the pipeline's queue: every answer under way can be signed"
