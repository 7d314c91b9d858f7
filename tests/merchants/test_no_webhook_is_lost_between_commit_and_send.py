"""What was committed is sent: whatever kills the server between the two, however often an endpoint
fails, and however many events there are."""

import random
from collections import Counter

import msgspec
import pytest

from tests.merchants.fixtures import Killed, World

EVENTS = 10_000
STORES = 25
FAULTS_IN = 10
"""One attempt of so many is answered with an error, one of so many again is not answered at all."""


def heard_of(world):
    """Return how often each webhook came, by its id."""
    return Counter(headers["webhook-id"] for headers, _ in world.received)


def promised(venue, stores):
    """Return the ids of all events that there are."""
    found = set()
    for store in stores:
        after = 0
        while rows := venue.merchants.reader.events_after(store.store_id, after):
            found |= {row.webhook_id for row in rows}
            after = rows[-1].id
    return found


def ordered(world, store):
    world.venue.invoice(store, "50", key="one")


def later(world, _store):
    world.pass_time(200)
    world.venue.tick()


def test_killed_at_every_step_between_the_commit_and_the_answer(tmp_path):
    """The commit of the event, of the attempt, the way there, the way back, the commit of both."""

    def told(directory, kill_at):
        directory.mkdir()
        world = World(directory)
        store = world.venue.approved_store()
        before = world.crossings
        world.kill_at = None if kill_at is None else before + kill_at
        for chapter in (ordered, *[later] * 4):
            try:
                chapter(world, store)
            except Killed:
                world.kill_at = None
                world.restart()
                ordered(world, store)
        return world, store, world.crossings - before

    *_, steps = told(tmp_path / "plain", None)
    assert steps >= 5
    for kill_at in range(1, steps + 1):
        world, store, _ = told(tmp_path / str(kill_at), kill_at)
        ids = promised(world.venue, [store])
        assert len(ids) == 1 and heard_of(world).keys() == ids, f"killed at {kill_at}"
        (body,) = {body for _, body in world.received}
        assert msgspec.json.decode(body)["type"] == "invoice.created"


def hunted(world, stores, events, dice):
    """Make ``events`` and let them be sent while one attempt in ten fails and the server dies."""
    made = 0
    while made < events:
        try:
            for _ in range(100):
                world.venue.invoice(stores[made % len(stores)], "50", token="USD")
                made += 1
            world.kill_at = world.crossings + dice.randint(1, 400)
            for _ in range(3):
                world.pass_time(2)
                world.venue.tick()
        except Killed:
            world.restart()
        world.kill_at = None


def unsent(world, stores):
    return promised(world.venue, stores) - heard_of(world).keys()


@pytest.mark.parametrize(
    "events", [300, pytest.param(EVENTS, marks=[pytest.mark.soak, pytest.mark.timeout(3000)])]
)
def test_every_event_arrives_though_one_attempt_in_ten_fails_and_the_server_dies(tmp_path, events):
    world, dice = World(tmp_path), random.Random(events)
    stores = [world.venue.approved_store() for _ in range(min(STORES, events // 20))]
    answers = Counter()

    def endpoint(_url):
        fate = dice.randrange(FAULTS_IN * FAULTS_IN)
        answer = 500 if fate < FAULTS_IN - 1 else 0 if fate == FAULTS_IN - 1 else 200
        answers[answer] += 1
        return answer

    world.endpoint = endpoint
    hunted(world, stores, events, dice)
    for _ in range(2000):
        if not unsent(world, stores):
            break
        world.pass_time(300)
        for _ in range(20):
            world.venue.tick()
    assert unsent(world, stores) == set()
    assert len(promised(world.venue, stores)) >= events
    assert answers[500] > 0 and answers[0] > 0, "some attempts were to fail"
