"""A shop's reports over REST: pages of JSON, and of CSV that are one file."""

import csv
import io

import pytest
from starlette.testclient import TestClient

from tests.merchants.fixtures import CONFIRMATIONS, World, address_bytes, due_raw
from tests.merchants.site import site
from tests.merchants.test_shops_over_rest import bearer


@pytest.fixture
def shop(tmp_path):
    """A client, a store that sold three times, and another store's key."""
    world = World(tmp_path)
    venue = world.venue
    store, other = venue.approved_store(), venue.approved_store()
    for _ in range(3):
        invoice = venue.invoice(store, order_id="@7")
        world.transfer(
            address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=CONFIRMATIONS
        )
        for _ in range(2):
            venue.watch()
            venue.tick()
            venue.settle_sweeps()
        world.pass_time(100)
    return TestClient(site(venue)), store, other


def ask(shop, kind, key=None, **params):
    client, store, _ = shop
    where = f"/v1/stores/{store.store_id}/reports/{kind}"
    return client.get(where, params=params, headers=bearer(key or store.api_key))


KINDS = ("payments", "conversions", "fees", "settlement", "refunds", "payouts", "reconciliation")


@pytest.mark.parametrize("kind", KINDS)
def test_each_report_has_the_same_columns_in_csv_and_json(shop, kind):
    reply = ask(shop, kind)
    assert reply.status_code == 200, reply.text
    text = ask(shop, kind, format="csv")
    assert text.headers["content-type"].startswith("text/csv")
    header, *rows = csv.reader(io.StringIO(text.text, newline=""))
    assert len(rows) == len(reply.json()["rows"])
    for row, cells in zip(reply.json()["rows"], rows, strict=True):
        assert list(row) == header
        assert [str(cell) for cell in row.values()] == [cell.removeprefix("'") for cell in cells]


def test_pages_of_csv_are_one_file_and_no_cell_computes(shop):
    whole = ask(shop, "payments", format="csv").text
    pages, cursor = "", ""
    for _ in range(4):
        page = ask(shop, "payments", format="csv", limit=1, cursor=cursor)
        pages += page.text
        cursor = page.headers.get("x-next-cursor", "")
        if not cursor:
            break
    assert pages == whole
    assert whole.count("time_utc") == 1 and whole.count(",'@7,") == 3


def test_a_range_is_in_the_zone_that_is_said(shop):
    times = [row["time_local"] for row in ask(shop, "payments", zone="Asia/Tokyo").json()["rows"]]
    assert all(time.endswith("+09:00") for time in times)
    second = times[1].removesuffix("+09:00")
    for zone, count in (("Asia/Tokyo", 2), ("UTC", 0)):
        rows = ask(shop, "payments", zone=zone, **{"from": second}).json()["rows"]
        assert len(rows) == count
    assert len(ask(shop, "payments", to=times[1]).json()["rows"]) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"zone": "Nowhere/Town"},
        {"zone": "../../etc/passwd"},
        {"zone": "America"},
        {"from": "yesterday"},
        {"to": "9999999"},
        {"cursor": "x.y.z"},
        {"cursor": "\0"},
        {"format": "xml"},
        {"limit": "100000"},
        {"lots": "best"},
    ],
)
def test_what_is_no_question_is_refused(shop, params):
    reply = ask(shop, "conversions", **params)
    assert reply.status_code in (400, 422), reply.text


def test_a_report_is_the_stores_own(shop):
    _, _, other = shop
    assert ask(shop, "payments", key=other.api_key).status_code == 404
    assert ask(shop, "payments", key="tbk_wrong").status_code == 401
    assert ask(shop, "nothing").status_code == 404
