"""Any request that fits the document, and any that does not: no fault of ours, and each answer is
what the document says of it.

schemathesis draws the requests from ``/openapi.json`` of a running gateway; which, a fixed seed
decides. Each is sent as it was drawn and once more with names of things that there are, by somebody
who has a session.
"""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from gateway.api.v1.openapi import schema_of
from tests.any_request import PLENTY, drawn, held
from tests.api.fixtures import OPERATOR_TOKEN, Venue, served


class Running:
    """A gateway on a thread of its own, with something in it to ask for."""

    def __init__(self) -> None:
        self.url, self.session, self.names = "", "", dict[str, str]()
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        async with served(Venue(PLENTY)) as up:
            maker, taker = up.venue.maker, up.venue.taker
            resting = (await up.place(maker.order("sell", 50, 2_000, client_id="mine"))).json()
            await up.place(taker.order("buy", 20, 2_000, single_shot=True))
            self.names = {
                "symbol": "TOKEN-USD",
                "account": "0x" + maker.address.hex(),
                "order": resting["order_id"],
                "digest": resting["digest"],
                "client_id": "mine",
                "trade_id": "1",
            }
            self.session = await up.token(maker)
            self.url = f"http://127.0.0.1:{up.port}"
            self._ready.set()
            await self._over.wait()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    up = Running()
    yield up
    up.stop()


schema = schemathesis.openapi.from_dict(schema_of(Venue().app()))


@schema.parametrize()
@drawn(examples=15)
def test_any_request_is_answered_as_the_document_says(case: Any, running: Running) -> None:
    held(case, running.url)
    there = {name: value for name, value in running.names.items() if name in case.path_parameters}
    case.path_parameters.update(there)
    for token in (running.session, OPERATOR_TOKEN):
        held(case, running.url, token)
