"""A page hears of a change at once, and nobody's streams cost more than they may."""

import asyncio
import time

import httpx
import msgspec
import pytest
from starlette.requests import ClientDisconnect

from gateway.pages.checkout_looks import Drawn, Look, StateStream, StreamBounds, Streams
from gateway.pages.checkout_view import reading_of
from gateway.pages.languages import language
from gateway.trading.rejection import Rejection
from tests.merchants.fixtures import CONFIRMATIONS, World, address_bytes, due_raw
from tests.merchants.site import served, site

QUICK = StreamBounds(per_network_max=2, look_seconds=0.02)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, start_ns=time.time_ns())


def events(lines):
    """Yield (name, data) of each event."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data:"):
            yield name, line.removeprefix("data:").strip()


def states(lines):
    """Yield the states, and "end" behind the last."""
    for name, text in events(lines):
        if name == "state":
            yield msgspec.json.decode(text)["phase"]
        elif name == "end":
            yield name


def test_a_stream_tells_each_change_once_and_the_servers_time(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store())
    with (
        served(site(venue, bounds=QUICK)) as address,
        httpx.stream("GET", f"{address}/checkout/{invoice.id}/events?lang=de") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = events(answer.iter_lines())
        name, clock = next(told)
        assert name == "clock" and abs(int(clock) - time.time()) < 60
        name, state = next(told)
        assert (name, "Wir warten" in state) == ("state", True)
        world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=1)
        venue.watch()
        phases = [msgspec.json.decode(text)["phase"] for name, text in [next(told), next(told)][1:]]
        assert phases == ["seen"]


def test_a_sale_that_has_ended_ends_its_stream(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store())
    deep = {"confirmations": CONFIRMATIONS}
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice), **deep)
    for _ in range(3):
        venue.watch()
        venue.tick()
        venue.settle_sweeps()
        world.trades_are("final")
        venue.tick()
    with (
        served(site(venue, bounds=QUICK)) as address,
        httpx.stream("GET", f"{address}/checkout/{invoice.id}/events") as answer,
    ):
        assert list(states(answer.iter_lines())) == ["settled", "end"]


def test_one_address_has_few_streams_and_a_place_is_free_when_its_reader_goes(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store())
    with served(site(venue, bounds=QUICK)) as address:
        url = f"{address}/checkout/{invoice.id}/events"
        with httpx.stream("GET", url) as one, httpx.stream("GET", url) as two:
            assert (one.status_code, two.status_code) == (200, 200)
            refused = httpx.get(url)
            assert refused.status_code == 429 and refused.headers["retry-after"] == "5"
            assert httpx.get(f"{address}/checkout/{invoice.id}/state").status_code == 200
        for _ in range(200):
            with httpx.stream("GET", url) as again:
                if again.status_code == 200:
                    break
        assert again.status_code == 200
        assert httpx.get(f"{address}/checkout/inv_none/events").status_code == 404


def test_there_are_only_so_many_streams_and_more_of_them_look_less_often():
    streams = Streams(StreamBounds(all_max=300, per_network_max=200))
    assert streams.look_seconds == 1
    for _ in range(200):
        streams.join("198.51.100.7")
    assert streams.look_seconds == 2
    with pytest.raises(Rejection):
        streams.join("198.51.100.7")
    for _ in range(100):
        streams.join("2001:db8::1")
    with pytest.raises(Rejection):
        streams.join("203.0.113.9")
    streams.leave("198.51.100.7")
    assert streams.join("203.0.113.9") == "203.0.113.9"


def stream_of(checkout, bounds, streams=None):
    """Return a stream of one state that never changes."""
    look = Look(checkout)
    reading = reading_of(checkout, language("en"), "")
    assert reading.query == "lang=en"

    async def at_once():
        return look, Drawn(b"{}", '"1"')

    streams = streams or Streams(bounds)
    return StateStream(streams, "198.51.100.7", at_once, lambda: 7, lambda: False, {}), streams


def test_a_reader_that_does_not_read_is_dropped(world):
    venue = world.venue
    checkout = venue.merchants.reader.checkout(venue.invoice(venue.approved_store()).id)
    stream, streams = stream_of(checkout, StreamBounds(send_seconds=0.05))

    async def whole():
        stuck = asyncio.Event()

        async def send(message):
            if message.get("body"):
                await stuck.wait()

        with pytest.raises(ClientDisconnect):
            await stream({}, stuck.wait, send)

    asyncio.run(whole())
    assert streams.count == 0


def test_a_stream_ends_before_the_door_cuts_it_off(world):
    venue = world.venue
    checkout = venue.merchants.reader.checkout(venue.invoice(venue.approved_store()).id)
    stream, streams = stream_of(checkout, StreamBounds(stream_seconds=0.1, look_seconds=0.01))
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(stream({}, asyncio.Event().wait, send))
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert [m["body"] for m in sent[1:-1]] == [
        b"retry: 500\nevent: clock\ndata: 7\n\nevent: state\ndata: {}\n\n"
    ], "what has not changed is not said again"
    assert streams.count == 0
