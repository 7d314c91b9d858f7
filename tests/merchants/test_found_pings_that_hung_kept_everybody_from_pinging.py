"""Found: eight endpoints that did not answer a ping took all the places, and no other shop could
try its own for as long as they hung."""

import asyncio

import pytest

from engine.types import Outcome
from merchants.records.rejection import Rejection
from merchants.webhooks.egress import Answer
from merchants.webhooks.endpoints import GAVE_WAY, PINGS_MAX, EndpointRequest, Endpoints
from tests.merchants.fixtures import World

GOOD, HANGS = "https://shop.example/good", "https://shop.example/hangs"


class Far:
    """The far end: one URL of it never answers."""

    def rejection(self, url):
        return None

    async def post(self, url, headers, body):
        if url == HANGS:
            await asyncio.get_running_loop().create_future()
        return Answer(200)


@pytest.fixture
def endpoints(tmp_path):
    world = World(tmp_path)
    database = world.venue.merchants.people.database
    return world, Endpoints(database, Far(), world.clock, world.dice.randbytes)


def test_a_ping_that_hangs_gives_way_to_another_stores(endpoints):
    world, pings = endpoints
    stores = [world.venue.open_store(webhook_url="").store_id for _ in range(PINGS_MAX + 1)]
    urls = [HANGS] * PINGS_MAX + [GOOD]
    made = [
        pings.make(store, EndpointRequest(url)).row.id
        for store, url in zip(stores, urls, strict=True)
    ]

    async def story():
        hung = [
            asyncio.ensure_future(pings.ping(store, endpoint))
            for store, endpoint in zip(stores[:-1], made[:-1], strict=True)
        ]
        await asyncio.sleep(0)
        again = await pings.ping(stores[0], made[0])
        answered = await pings.ping(stores[-1], made[-1])
        gone = await hung[0]
        waiting = [one for one in hung if not one.done()]
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return again, answered, gone, len(waiting), await pings.ping(stores[-1], made[-1])

    again, answered, gone, waiting, after = asyncio.run(story())
    assert isinstance(again, Rejection) and again.outcome is Outcome.RATE_LIMITED, "one a store"
    assert answered == after == Answer(200)
    assert gone == Answer(0, error=GAVE_WAY), "the oldest, and it says so"
    assert waiting == PINGS_MAX - 1
