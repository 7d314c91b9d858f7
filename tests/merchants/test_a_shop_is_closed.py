"""A shop that is closed sells nothing more, and nothing of its books or its money is lost."""

import json

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from engine.types import Outcome
from merchants.records.database import transaction
from merchants.records.exception_policies import ExceptionAction
from merchants.records.rejection import Rejection
from merchants.records.states import InvoiceState
from merchants.sales.asked import InvoiceRequest
from merchants.sales.exceptions import ExceptionRequest
from merchants.stores.closing import under_way
from merchants.stores.pay_buttons import ButtonRequest
from merchants.stores.stores import StoreChange
from tests.merchants.fixtures import CONFIRMATIONS, MERCHANT, TOKEN, USD, World
from tests.merchants.people_site import make_store, people_site, signing_up, with_passkey
from tests.merchants.site import site
from tests.merchants.test_people_confirm_what_they_do import joined
from tests.merchants.test_shops_over_rest import bearer

DAY_S = 86_400
INDEXES = {"invoices_under_way", "conversions_under_way", "refunds_under_way"}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def close(world, store):
    """Close a store by its first key."""
    merchants = world.venue.merchants
    holder = merchants.stores.keys.authenticate(store.api_key)
    return merchants.closing.close(holder)


def pay(world, invoice):
    """Let the customer pay, and all of it be sold and final."""
    raw = int(invoice.options[0].amount_due_raw)
    world.transfer(bytes.fromhex(invoice.deposit_address[2:]), raw)
    world.confirm(CONFIRMATIONS)
    for _ in range(4):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
    world.trades_are("final")
    world.venue.tick()


def expired(world, store, **fields):
    invoice = world.venue.invoice(store, **fields)
    world.pass_time(1000)
    world.venue.tick()
    return invoice


def told(world):
    return [json.loads(body)["type"] for _, body in world.received]


def test_what_is_under_way_keeps_a_shop_open_and_is_named(world):
    store = world.venue.approved_store()
    invoice = world.venue.invoice(store)
    refused = close(world, store)
    assert isinstance(refused, Rejection) and refused.outcome is Outcome.MORE_REMAINS
    assert (refused.detail["open_invoices"], refused.detail["invoice"]) == ("1", invoice.id)
    assert world.venue.merchants.stores.keys.authenticate(store.api_key), "nothing has changed"


def test_a_sale_that_is_not_final_keeps_a_shop_open(world):
    store = world.venue.approved_store()
    invoice = world.venue.invoice(store)
    world.transfer(
        bytes.fromhex(invoice.deposit_address[2:]), int(invoice.options[0].amount_due_raw)
    )
    world.confirm(CONFIRMATIONS)
    world.venue.watch()
    assert close(world, store).detail["open_invoices"] == "1"
    for _ in range(3):
        world.venue.tick()
        world.venue.settle_sweeps()
        world.venue.watch()
    assert world.venue.merchants.reader.invoice(invoice.id).status is InvoiceState.SETTLED
    refused = close(world, store)
    assert set(refused.detail) == {"why", "open_conversions", "conversion"}
    world.trades_are("final")
    world.venue.tick()
    assert close(world, store).closed_ns == world.now_ns


def test_a_refund_that_waits_keeps_a_shop_open(world):
    store = world.venue.approved_store()
    policies = world.venue.merchants.exception_policies
    policies.change(store.store_id, ExceptionRequest(late=ExceptionAction.RETURN))
    invoice = expired(world, store)
    pay(world, invoice)
    refused = close(world, store)
    assert refused.detail["open_refunds"] == "1"
    world.venue.merchants.refunding.refunds.cancel(store.store_id, refused.detail["refund"])
    assert close(world, store).closed_ns


def test_a_paused_shop_makes_no_invoice_and_no_new_price_until_it_goes_on(world):
    store = world.venue.approved_store()
    invoice = expired(world, store)
    merchants = world.venue.merchants
    merchants.stores.change(store.store_id, StoreChange(paused=True))
    again = merchants.create_invoice(store.store_id, InvoiceRequest("5", tokens=("TOKEN",)))
    for refused in (again, merchants.requote(invoice.id)):
        assert refused.outcome is Outcome.INVOICE_CLOSED and "just now" in refused.detail["why"]
    merchants.stores.change(store.store_id, StoreChange(paused=False))
    assert world.venue.invoice(store, amount="5")


def test_keys_buttons_and_webhooks_end_with_a_shop_after_the_last_word(world):
    store = world.venue.approved_store()
    merchants = world.venue.merchants
    wanted = ButtonRequest("Tea", "5", "USD", ("TOKEN",))
    button = merchants.stores.pay_buttons.make(store.store_id, wanted)
    invoice = expired(world, store)
    assert close(world, store).closed_ns == world.now_ns
    world.venue.tick()
    assert told(world)[-1] == "store.closed"
    assert merchants.stores.keys.authenticate(store.api_key) is None
    assert merchants.stores.pay_buttons.shown(store.store_id, button.id) is None
    refused = merchants.create_invoice(store.store_id, InvoiceRequest("5", tokens=("TOKEN",)))
    assert refused.detail["why"] == "the shop has closed"
    assert merchants.stores.change(store.store_id, StoreChange(name="x")).outcome
    count = len(world.received)
    pay(world, invoice)
    assert len(world.received) == count, "it is written down, and sent to nobody"
    assert "invoice.settled" in world.venue.types(store)


def test_what_comes_after_a_shop_has_closed_is_its_wallets(world):
    store = world.venue.approved_store()
    invoice = expired(world, store)
    close(world, store)
    before = world.venue.pips(MERCHANT, USD)
    pay(world, invoice)
    assert world.venue.pips(MERCHANT, USD) > before
    assert world.venue.pips(MERCHANT, TOKEN) == 0, "it was sold, as it would have been"
    assert world.venue.merchants.reader.invoice(invoice.id).status is InvoiceState.SETTLED


def test_closing_twice_is_once_and_a_restart_forgets_nothing(world):
    store = world.venue.approved_store()
    holder = world.venue.merchants.stores.keys.authenticate(store.api_key)
    first = world.venue.merchants.closing.close(holder).closed_ns
    world.pass_time(60)
    world.restart()
    assert world.venue.merchants.closing.close(holder).closed_ns == first
    assert world.venue.types(store).count("store.closed") == 1


def test_the_page_of_an_old_invoice_says_that_the_shop_has_closed(world):
    store = world.venue.approved_store()
    invoice = expired(world, store)
    browser = TestClient(site(world.venue))
    page = f"/checkout/{invoice.id}"
    assert "new-price" in browser.get(page).text
    close(world, store)
    now = browser.get(page)
    assert now.status_code == 200 and "This shop has closed" in now.text
    assert "id='new-price'" not in now.text and "Ask the shop" not in now.text
    browser.post(f"{page}/new-price")
    assert world.venue.merchants.reader.invoice(invoice.id).status is InvoiceState.EXPIRED


def test_who_pays_a_shop_that_has_closed_reads_so_and_who_had_paid_before_does_not(world):
    store = world.venue.approved_store()
    first = world.venue.invoice(store)
    pay(world, first)
    late = expired(world, store)
    close(world, store)
    world.pass_time(60)
    pay(world, late)
    browser = TestClient(site(world.venue))
    pages = [browser.get(f"/checkout/{invoice.id}").text for invoice in (first, late)]
    assert ["This shop has closed" in page for page in pages] == [False, True]


# Over HTTP


@pytest.fixture
def app(world):
    return people_site(signing_up(world))


@pytest.fixture
def store(app):
    return make_store(app)


@pytest.fixture
def owner(app, world, store):
    return with_passkey(app, world)


def test_an_owner_closes_his_shop_once_confirmed_and_reads_its_books(app, world, owner, store):
    manager = joined(owner, store, app, world, "manager")
    path = f"/v1/stores/{store}"
    assert owner.ask("DELETE", path).status_code == 403
    assert manager.begin("store.close", store).status_code == 403
    closed = owner.ask("DELETE", path, step_up=owner.confirm("store.close", store))
    assert closed.status_code == 200 and closed.json()["closed_at"] == world.now_ns // 10**9
    assert closed.json()["accepts_invoices"] is False
    (mine,) = owner.me()["stores"]
    assert mine["closed_at"] and "tillbook.store.canclose" not in mine["scopes"]
    for look in ("", "/grants", "/members", "/audit-log"):
        assert owner.ask("GET", path + look).status_code == 200, look
    report = f"{path}/reports/payments?from=2026-01-01&to=2027-01-01"
    assert owner.ask("GET", report).status_code == 200
    assert "store.closed" in owner.ask("GET", f"{path}/audit-log").text
    assert manager.me()["stores"] == [] and manager.ask("GET", path).status_code == 404


def test_nobody_changes_anything_of_a_shop_that_has_closed(app, world, owner, store):
    path = f"/v1/stores/{store}"
    wanted = {"wallet": "0x" + "11" * 20}
    asked = owner.confirm("payout.change", store, **wanted)
    change = owner.ask("POST", f"{path}/payout-changes", wanted, step_up=asked)
    assert change.status_code == 201, change.text
    owner.ask("DELETE", path, step_up=owner.confirm("store.close", store))
    assert owner.ask("GET", f"{path}/payout-changes").json()["changes"][0]["state"] == "cancelled"
    headers = {"Tillbook-Store": store}
    made = owner.http.post("/v1/invoices", json={"amount": "5"}, headers=headers)
    assert made.status_code == 403
    for action in ("payout.change", "api-key.create", "invitation.create", "store.close"):
        assert owner.begin(action, store).status_code in (400, 403), action
    assert owner.ask("POST", f"{path}/invitations", {"role": "clerk"}).status_code == 403
    world.pass_time(2 * DAY_S)
    world.venue.tick()
    wallet = world.venue.merchants.people.team.store(store).wallet
    assert wallet == MERCHANT


def test_a_key_closes_a_shop_only_where_it_may(world):
    client = TestClient(site(world.venue))
    store = world.venue.approved_store()
    path, first = f"/v1/stores/{store.store_id}", bearer(store.api_key)
    scopes = {"scopes": ["btcpay.store.canmodifystoresettings"]}
    made = client.post(f"{path}/api-keys", json=scopes, headers=first).json()
    refused = client.delete(path, headers=bearer(made["api_key"]))
    assert (refused.status_code, refused.json()["missing"]) == (403, "tillbook.store.canclose")
    world.venue.invoice(store)
    refused = client.delete(path, headers=first)
    assert refused.status_code == 409 and refused.json()["code"] == Outcome.MORE_REMAINS
    assert refused.json()["open_invoices"] == "1"
    world.pass_time(1000)
    world.venue.tick()
    assert client.delete(path, headers=first).json()["closed_at"]
    for key in (store.api_key, made["api_key"]):
        assert client.get(path, headers=bearer(key)).status_code == 401


def test_every_setting_is_shown_as_it_was_set(world):
    client = TestClient(site(world.venue))
    store = world.venue.approved_store()
    path, first = f"/v1/stores/{store.store_id}", bearer(store.api_key)
    settings = {
        "name": "Tea",
        "slippage_ppm": 7,
        "invoice_lifetime_s": 77,
        "tolerance_ppm": 777,
        "tolerance": "0.5",
        "unique_order_ids": True,
        "accepts_invoices": False,
    }
    for name, value in settings.items():
        assert client.patch(path, json={name: value}, headers=first).json()[name] == value, name
    shown = client.get(path, headers=first).json()
    assert {name: shown[name] for name in settings} == settings
    assert client.patch(path, json={"name": None}, headers=first).json()["name"] == "Tea"


def test_orders_are_unique_once_a_shop_says_so(world):
    store = world.venue.approved_store()
    assert world.venue.invoice(store, order_id="7").id
    world.venue.merchants.stores.change(store.store_id, StoreChange(unique_orders=True))
    request = InvoiceRequest("5", tokens=("TOKEN",), order_id="7")
    refused = world.venue.merchants.create_invoice(store.store_id, request)
    assert refused.outcome is Outcome.IDEMPOTENCY_CONFLICT


def test_what_came_too_short_and_was_weighed_keeps_no_shop_open(world):
    store = world.venue.approved_store()
    invoice = expired(world, store)
    raw = int(invoice.options[0].amount_due_raw) // 2
    world.transfer(bytes.fromhex(invoice.deposit_address[2:]), raw)
    world.confirm(CONFIRMATIONS)
    for _ in range(3):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
    world.venue.tick()
    assert world.venue.merchants.reader.invoice(invoice.id).short != "0"
    assert close(world, store).closed_ns


def test_what_is_under_way_is_found_without_looking_at_what_has_ended(world):
    with transaction(world.venue.database) as session:
        asked = []
        event.listen(
            session.connection(),
            "before_cursor_execute",
            lambda *call: asked.append((call[2], call[3])),
        )
        under_way(session, "sto_x")
        plans = [
            str(row[3])
            for words, values in list(asked)
            for row in session.connection().exec_driver_sql("EXPLAIN QUERY PLAN " + words, values)
        ]
    used = {name for plan in plans for name in INDEXES if name in plan}
    assert used == INDEXES, plans
