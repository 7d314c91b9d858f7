"""A store wants more blocks for a higher price, and never fewer than the exchange books by."""

import pytest
from starlette.testclient import TestClient

from engine.types import Outcome
from merchants.records.rejection import Rejection
from merchants.sales.confirmations import STEPS_MAX, Step
from tests.merchants.fixtures import CONFIRMATIONS, DOLLAR, USD, World, due_raw
from tests.merchants.site import site
from tests.merchants.test_late_and_mixed_money_is_weighed import send, settle

BOOKED = 1
"""In which block the fixture's deposits are."""

WANTED = 12


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def strict(world):
    """Return a store that wants twelve confirmations from 100 on."""
    store = world.venue.approved_store()
    change = world.venue.merchants.confirmations.change
    steps = [Step(100 * DOLLAR, WANTED)]
    assert change(store.store_id, steps) == steps
    return store


def test_below_the_step_it_is_settled_as_soon_as_it_is_booked(world):
    invoice = world.venue.invoice(strict(world), "99")
    send(world, invoice, due_raw(invoice))
    assert settle(world, invoice).status == "settled"
    assert invoice.confirmations == 0


def test_from_the_step_on_it_waits_and_nothing_is_sold_until_then(world):
    store = strict(world)
    invoice = world.venue.invoice(store, "100")
    assert invoice.confirmations == WANTED
    send(world, invoice, due_raw(invoice))
    world.newest_block = BOOKED + WANTED - 2
    waits = settle(world, invoice)
    assert (waits.status, waits.conversions) == ("processing", [])
    checkout = world.venue.merchants.reader.checkout(invoice.id)
    assert checkout.confirmations_required == WANTED
    assert "invoice.settled" not in world.venue.types(store)
    world.restart()
    world.newest_block += 1
    world.venue.tick()
    paid = settle(world, invoice)
    assert (paid.status, len(paid.conversions)) == ("settled", 1)
    assert world.venue.types(store).count("invoice.settled") == 1


def test_late_money_is_weighed_when_it_is_deep_enough(world):
    store = strict(world)
    invoice = world.venue.invoice(store, "100")
    world.pass_time(901)
    world.venue.tick()
    send(world, invoice, due_raw(invoice))
    assert settle(world, invoice).status == "expired"
    world.newest_block = BOOKED + WANTED
    world.pass_time(11)
    paid = settle(world, invoice)
    assert (paid.status, paid.exception) == ("settled", "paid_late")


def test_what_comes_behind_enough_makes_nobody_wait(world):
    invoice = world.venue.invoice(strict(world), "100", token="USD")
    world.newest_block = BOOKED + WANTED - 1
    send(world, invoice, due_raw(invoice), USD)
    assert settle(world, invoice).status == "settled"
    world.newest_block = 0
    send(world, invoice, due_raw(invoice), USD)
    assert settle(world, invoice).exception == "paid_over"


@pytest.mark.parametrize(
    "steps",
    [
        [Step(0, CONFIRMATIONS - 1)],
        [Step(100, 9), Step(100, 10)],
        [Step(100, 9), Step(200, 8)],
        [Step(0, 1_001)],
        [Step(number, 9) for number in range(STEPS_MAX + 1)],
    ],
)
def test_no_step_promises_what_the_chain_does_not(world, steps):
    store = strict(world)
    confirmations = world.venue.merchants.confirmations
    refused = confirmations.change(store.store_id, steps)
    assert isinstance(refused, Rejection) and refused.outcome is Outcome.MALFORMED
    assert confirmations.of(store.store_id) == [Step(100 * DOLLAR, WANTED)]
    assert confirmations.change("nobody", []).outcome is Outcome.UNKNOWN_STORE


def test_a_shop_sets_and_reads_it_over_rest(world):
    store = world.venue.approved_store()
    headers = {"Authorization": f"Bearer {store.api_key}"}
    path = f"/v1/stores/{store.store_id}/confirmations"
    with TestClient(site(world.venue)) as client:
        assert client.get(path, headers=headers).json() == {"steps": []}
        wanted = {"steps": [{"from_amount": "100.5", "confirmations": 20}]}
        assert client.put(path, headers=headers, json=wanted).json() == wanted
        assert client.get(path, headers=headers).json() == wanted
        fewer = {"steps": [{"from_amount": "1", "confirmations": 1}]}
        refused = client.put(path, headers=headers, json=fewer)
        assert (refused.status_code, refused.json()["outcome"]) == (400, "MALFORMED")
        assert client.put(path, headers=headers, json={"steps": [{}]}).status_code == 400
