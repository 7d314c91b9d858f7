"""Webhooks: signed so that any verifier takes them, retried, in order, never in the way."""

import asyncio
import json
import random
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from merchants.webhooks.deliver import (
    DELAYS_S,
    IN_FLIGHT_MAX,
    JITTER_PPM,
    PER_STORE_MAX,
    UNANSWERED,
    Deliveries,
)
from merchants.webhooks.egress import Answer, HttpEgress
from merchants.webhooks.endpoints import EndpointChange
from merchants.webhooks.sign import headers_of
from tests.merchants.fixtures import NS, World
from tests.merchants.receiver import receiving


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def statuses(venue, store):
    rows = venue.merchants.reader.webhook_deliveries(store.store_id)
    return [(row.state.value, row.attempts) for row in reversed(rows)]


def rotated(venue, store):
    """Return a new secret of the store's endpoint."""
    return venue.merchants.endpoints.rotate_secret(store.store_id, store.endpoint.row.id)


def change(venue, store, **fields):
    """Change the store's endpoint."""
    changed = EndpointChange(**fields)
    return venue.merchants.endpoints.change(store.store_id, store.endpoint.row.id, changed)


def test_the_reference_verifier_takes_ours_unmodified(world):
    world.now_ns = real_now_ns()
    with receiving() as shop:
        venue = world.venue
        store = venue.approved_store(webhook_url=shop.url + "/hook?shop=1")
        invoice = venue.invoice(store, token="USD", metadata='{"cart": [1, 2], "note": "\\u00e9"}')
        run(deliveries_to(world, HttpEgress(loopback_allowed=True)))

    ((path, headers, body),) = shop.seen
    assert path == "/hook?shop=1"
    told = Webhook(store.endpoint.secret).verify(body, headers)
    assert told["type"] == "invoice.created"
    assert told["data"]["sequence"] == 1
    assert told["data"]["invoice"]["id"] == invoice.id
    assert told["data"]["invoice"]["metadata"] == {"cart": [1, 2], "note": "é"}
    assert told["data"]["invoice"]["price"] == "50", "amounts are decimal strings"
    with pytest.raises(WebhookVerificationError):
        Webhook(store.endpoint.secret).verify(body.replace(b'"50"', b'"51"'), headers)


def test_both_secrets_verify_while_one_is_being_rotated(world):
    world.now_ns = real_now_ns()
    venue = world.venue
    store = venue.approved_store()
    renewed = rotated(venue, store)
    venue.invoice(store, token="USD")
    venue.tick()
    ((headers, body),) = world.received
    for secret in (store.endpoint.secret, renewed):
        Webhook(secret).verify(body, headers)
    once_more = rotated(venue, store)
    venue.invoice(store, token="USD")
    venue.tick()
    headers, body = world.received[-1]
    Webhook(once_more).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(store.endpoint.secret).verify(body, headers)


def test_a_failing_endpoint_is_tried_for_three_days_then_given_up(world):
    venue = world.venue
    store = venue.approved_store(lifetime_s=10**6)
    world.endpoint = lambda url: 503
    venue.invoice(store, token="USD")
    waits, start = [], world.now_ns
    while statuses(venue, store)[0][0] != "dead":
        venue.tick()
        (row,) = venue.merchants.reader.webhook_deliveries(store.store_id)
        if row.state != "dead":
            waits.append(row.next_attempt_ns - world.now_ns)
            world.now_ns = row.next_attempt_ns - 1
            venue.tick()
            assert (
                venue.merchants.reader.webhook_deliveries(store.store_id)[0].attempts
                == row.attempts
            )
            world.now_ns += 1
    assert len(world.received) == len(DELAYS_S) + 1 == 10
    for wait, delay in zip(waits, DELAYS_S, strict=True):
        assert abs(wait - delay * NS) <= delay * NS * JITTER_PPM // 10**6
    assert len({headers["webhook-id"] for headers, _ in world.received}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in world.received}) == 10
    assert 60 * 3600 < (world.now_ns - start) // NS < 92 * 3600
    assert len(venue.merchants.reader.events_after(store.store_id, 0)) == 1, (
        "the event list still has it"
    )


def test_events_of_an_invoice_leave_in_order_one_at_a_time(world):
    venue = world.venue
    store = venue.approved_store()
    first = venue.invoice(store)
    world.transfer(bytes.fromhex(first.deposit_address[2:]), 10**15)
    venue.watch()
    second = venue.invoice(store)
    venue.tick()
    assert sequences_of(world, first.id) == [1, 2]
    assert sequences_of(world, second.id) == [1]


def test_found_a_refused_event_held_back_all_later_ones(world):
    """A shop that answers 400 to a type it does not handle never heard of the payment."""
    venue = world.venue
    store = venue.approved_store()
    world.endpoint = lambda url: 400
    invoice = venue.invoice(store)
    venue.tick()
    world.endpoint = lambda url: 200
    world.transfer(bytes.fromhex(invoice.deposit_address[2:]), 10**15)
    venue.watch()
    venue.tick()
    assert sequences_of(world, invoice.id) == [1, 2]
    world.pass_time(7)
    venue.tick()
    assert sequences_of(world, invoice.id) == [1, 2, 1], "and the refused one comes again"


def test_found_an_attempt_that_broke_was_made_again_at_once(world):
    """Whatever goes wrong in the air: an attempt counts when it leaves, and the next one waits."""
    venue = world.venue
    store = venue.approved_store()
    venue.invoice(store, token="USD")
    left = []

    class Broken:
        async def post(self, url, headers, body):
            left.append(url)
            raise AssertionError("a bug of ours")

    async def play():
        deliveries = deliveries_to(world, Broken())
        deliveries.start_due()
        with pytest.raises(AssertionError):
            await deliveries.drain()
        assert deliveries.start_due() == 0

    asyncio.run(play())
    (row,) = venue.merchants.reader.webhook_deliveries(store.store_id)
    assert (len(left), row.attempts, row.last_error) == (1, 1, UNANSWERED)
    assert row.next_attempt_ns > world.now_ns


def test_a_store_has_a_few_in_the_air_and_one_while_it_fails(world):
    venue = world.venue
    store = venue.approved_store()
    for _ in range(PER_STORE_MAX + 3):
        venue.invoice(store, token="USD")
    held = Held(503)

    async def play():
        deliveries = deliveries_to(world, held)
        assert deliveries.start_due() == PER_STORE_MAX
        assert deliveries.start_due() == 0
        await held.arrived(PER_STORE_MAX)
        held.release(PER_STORE_MAX)
        await held.arrived(PER_STORE_MAX + 1)
        assert held.in_the_air == 1
        held.release(3)
        await deliveries.drain()

    asyncio.run(play())
    assert held.posted == PER_STORE_MAX + 3


def test_found_endpoints_that_hang_took_every_place(world):
    """As many stores as there are places, all hanging, with more due than there are places."""
    venue = world.venue
    for number in range(IN_FLIGHT_MAX):
        store = venue.approved_store(webhook_url=f"https://hangs{number}/")
        for _ in range(3):
            venue.invoice(store, token="USD")
    held = Held(0)

    async def play():
        deliveries = deliveries_to(world, held)
        assert deliveries.start_due() == IN_FLIGHT_MAX
        await held.arrived(IN_FLIGHT_MAX)
        venue.invoice(venue.approved_store(webhook_url="https://quick/"), token="USD")
        held.release(1)
        await held.arrived(IN_FLIGHT_MAX + 1)
        assert held.urls[-1] == "https://quick/", "the next place is of who has had no turn"
        held.release(10**6)
        await deliveries.drain()

    asyncio.run(play())


def test_an_endpoint_that_is_gone_is_left_alone(world):
    venue = world.venue
    store = venue.approved_store(lifetime_s=10**7, key_lifetime_s=10**8)
    world.endpoint = lambda url: 410
    venue.invoice(store, token="USD")
    venue.tick()
    venue.invoice(store, token="USD")
    world.pass_time(10**6)
    venue.tick()
    assert len(world.received) == 1
    assert [state for state, _ in statuses(venue, store)] == ["dead"]
    told = venue.types(store)
    assert told == ["invoice.created", "endpoint.disabled", "invoice.created"], "the list has all"


def test_found_one_answer_that_it_is_gone_silenced_a_shop_for_ever(world):
    venue = world.venue
    store = venue.approved_store()
    world.endpoint = lambda url: 410
    venue.invoice(store, token="USD")
    venue.tick()
    world.endpoint = lambda url: 200
    venue.invoice(store, token="USD")
    venue.tick()
    assert len(world.received) == 1
    change(venue, store, enabled=True)
    venue.invoice(store, token="USD")
    venue.tick()
    assert [state for state, _ in statuses(venue, store)] == ["dead", "delivered"]


@pytest.mark.parametrize(("status", "state"), [(200, "delivered"), (503, "dead"), (410, "dead")])
def test_what_was_in_the_air_when_the_endpoint_was_given_up_ends_too(world, status, state):
    venue = world.venue
    store = venue.approved_store()
    venue.invoice(store, token="USD")
    venue.invoice(store, token="USD")
    answers = [Answer(410), Answer(status)]

    class Leaving:
        async def post(self, url, headers, body):
            return answers.pop(0)

    run(deliveries_to(world, Leaving()))
    assert [state for state, _ in statuses(venue, store)] == ["dead", state]


def test_a_shop_that_asks_for_patience_gets_it(world):
    venue = world.venue
    store = venue.approved_store()

    class Patience:
        async def post(self, url, headers, body):
            return Answer(429, retry_after_s=4000)

    venue.invoice(store, token="USD")
    run(deliveries_to(world, Patience()))
    (row,) = venue.merchants.reader.webhook_deliveries(store.store_id)
    assert row.next_attempt_ns == world.now_ns + 4000 * NS


def test_a_hanging_endpoint_delays_only_itself(world):
    venue = world.venue
    slow, quick = venue.approved_store(webhook_url="https://slow/"), venue.approved_store()
    venue.invoice(slow)
    venue.invoice(quick)
    reached = []

    class Hanging:
        def __init__(self):
            self.release = asyncio.Event()

        async def post(self, url, headers, body):
            if url == "https://slow/":
                await self.release.wait()
            reached.append(url)
            return Answer(200)

    async def play():
        egress = Hanging()
        deliveries = deliveries_to(world, egress)
        assert deliveries.start_due() == 2
        while not reached:
            await asyncio.sleep(0)
        venue.invoice(quick)
        while not deliveries.start_due():
            await asyncio.sleep(0)
        while len(reached) < 2:
            await asyncio.sleep(0)
        assert reached == ["https://shop.example/hook"] * 2
        egress.release.set()
        await deliveries.drain()

    asyncio.run(play())
    assert reached[2:] == ["https://slow/"], "and it was asked once"


def test_closing_waits_for_what_is_in_the_air_and_for_nothing_behind_it(world):
    """Found by reading: with a shop that hangs, closing waited 15 s for each event that was due."""
    venue = world.venue
    store = venue.approved_store()
    for _ in range(PER_STORE_MAX + 2):
        venue.invoice(store, token="USD")
    reached, release = [], asyncio.Event()

    class Slow:
        async def post(self, url, headers, body):
            reached.append(headers["webhook-id"])
            await release.wait()
            return Answer(503)

    async def play():
        deliveries = deliveries_to(world, Slow())
        assert deliveries.start_due() == PER_STORE_MAX
        while len(reached) < PER_STORE_MAX:
            await asyncio.sleep(0)
        closing = asyncio.create_task(deliveries.close())
        await asyncio.sleep(0)
        release.set()
        await closing
        assert len(reached) == PER_STORE_MAX

    asyncio.run(play())
    assert [attempts for _, attempts in statuses(venue, store)] == [1] * PER_STORE_MAX + [0, 0]
    run(deliveries_to(world, venue))
    assert len(world.received) == 2, "the others leave after the next start, these when they may"


def test_nothing_leaves_unsigned():
    with pytest.raises(AssertionError):
        headers_of([], "msg_1", 1, b"")


class Held:
    """An endpoint that answers ``status`` when it is released, in order."""

    def __init__(self, status):
        self.status, self.urls, self.in_the_air = status, [], 0
        self._passes = asyncio.Semaphore(0)

    @property
    def posted(self):
        return len(self.urls)

    async def post(self, url, headers, body):
        self.urls.append(url)
        self.in_the_air += 1
        await self._passes.acquire()
        self.in_the_air -= 1
        return Answer(self.status, error="" if self.status else "no answer")

    async def arrived(self, count):
        while self.posted < count:
            await asyncio.sleep(0)

    def release(self, count):
        for _ in range(count):
            self._passes.release()


def sequences_of(world, invoice_id):
    told = [json.loads(body)["data"] for _, body in world.received]
    return [data["sequence"] for data in told if data["invoice"]["id"] == invoice_id]


def deliveries_to(world, egress):
    return Deliveries(world.venue.database, egress, world.clock, random.Random(1))


def run(deliveries):
    async def once():
        deliveries.start_due()
        await deliveries.drain()

    asyncio.run(once())


def real_now_ns():
    """The verifier compares with the clock on the wall and takes no other."""
    return time.time_ns()
