"""A customer chooses his token, gets a new price, and claims what is given back to him."""

import re

import pytest
from starlette.testclient import TestClient

from engine.types import Outcome
from merchants.documents.checkout import Phase
from merchants.records.refunds import RefundVariant
from merchants.sales.refunds import RefundRequest
from tests.merchants.fixtures import CONFIRMATIONS, MAKER_SECRET, World, address_bytes, option
from tests.merchants.site import site


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def paid(world, invoice, raw):
    """Let so much of the token come, and be booked."""
    world.transfer(address_bytes(invoice.deposit_address), raw, confirmations=CONFIRMATIONS)
    for _ in range(3):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
        world.venue.tick()


def test_each_token_is_a_named_choice_with_its_own_amount(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="101", tokens=())
    client = TestClient(site(venue))
    assert {one.token for one in invoice.options} == {"USD", "TOKEN"}
    for one in invoice.options:
        page = client.get(f"/checkout/{invoice.id}?pay={one.token}&lang=en").text
        for other in invoice.options:
            assert f"Tillbook devnet – {other.token}</span>" in page
            assert f"pay={other.token}'" in page
        assert f'data-copy="{one.remaining}"' in page
        assert re.search(rf"pay={one.token}' aria-current='true'", page)
    plain = client.get(f"/checkout/{invoice.id}").text
    made_up = client.get(f"/checkout/{invoice.id}?pay=NONE").text
    assert plain == made_up, "what is kept of a page is not for strangers to name"


def test_a_wallet_is_asked_for_the_token_that_was_chosen(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="101", tokens=())
    client = TestClient(site(venue))
    payer = {"from": "0x" + "ab" * 20}
    for one in invoice.options:
        asked = client.get(f"/checkout/{invoice.id}/wallet", params=payer | {"token": one.token})
        told = asked.json()
        assert (told["token"], told["amount"]) == (one.token, one.remaining)
        assert [road["road"] for road in told["roads"]] == ["transfer", "approve"]
        (transfer,) = told["roads"][0]["steps"]
        assert transfer["to"] == one.token_address
        assert int(transfer["data"][-64:], 16) == int(one.remaining_raw)
    for wrong in ("", "0x12", "0x" + "g" * 40):
        refused = client.get(f"/checkout/{invoice.id}/wallet", params={"from": wrong})
        assert refused.status_code == 422
    world.pass_time(3600)
    venue.tick()
    assert client.get(f"/checkout/{invoice.id}/wallet", params=payer).status_code == 404


def test_a_new_price_is_one_press_where_there_is_one(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store())
    client = TestClient(site(venue), follow_redirects=False)
    path = f"/checkout/{invoice.id}"
    assert client.post(f"{path}/new-price").status_code == 404, "the old price still holds"
    world.pass_time(3600)
    venue.tick()
    page = client.get(f"{path}?lang=es").text
    assert f"method='post' action='{path}/new-price?lang=es'" in page
    pressed = client.post(f"{path}/new-price?lang=es")
    assert (pressed.status_code, pressed.headers["location"]) == (303, f"{path}?lang=es")
    assert venue.merchants.reader.invoice(invoice.id).status == "new"
    assert client.post(f"{path}/new-price").status_code == 404, "there is one already"


def test_a_new_price_that_is_refused_says_why_and_presses_are_counted(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store())
    world.pass_time(3600)
    venue.tick()
    for order_id in (1, 2, 3):
        venue.cancel(MAKER_SECRET, order_id)
    client = TestClient(site(venue))
    answers = [client.post(f"/checkout/{invoice.id}/new-price") for _ in range(6)]
    assert answers[0].status_code == 503 and answers[0].json()["code"] == Outcome.NO_QUOTE
    assert answers[-1].status_code == 429


def test_what_is_given_back_is_claimed_by_a_link_until_it_is_claimed(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store)
    paid(world, invoice, int(option(invoice).amount_due_raw) * 2)
    checkout = venue.merchants.reader.checkout(invoice.id)
    assert "say_over" in [saying.key for saying in checkout.sayings]
    client = TestClient(site(venue))
    path = f"/checkout/{invoice.id}?lang=en"
    assert "/claim/" not in client.get(path).text
    refunds = venue.merchants.refunding.refunds
    made = refunds.create(store.store_id, invoice.id, RefundRequest(RefundVariant.OVERPAID))
    page = client.get(path).text
    (link,) = re.findall(r"href='(/claim/[^']+)'", page)
    assert "can be sent back to you" in page
    shown = client.get(link.replace("&amp;", "&"))
    assert shown.status_code == 200 and made.amount in shown.text
    claimed = refunds.claim(made.id, refunds.claim_key(made.id), "0x" + "5a" * 20)
    assert claimed.receiver is not None, claimed
    assert "/claim/" not in client.get(path).text


def test_what_came_late_is_late_until_it_was_weighed(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store())
    world.pass_time(3600)
    venue.tick()
    assert venue.merchants.reader.checkout(invoice.id).phase is Phase.EXPIRED
    world.transfer(address_bytes(invoice.deposit_address), int(option(invoice).amount_due_raw) // 2)
    venue.watch()
    assert venue.merchants.reader.checkout(invoice.id).phase is Phase.LATE
