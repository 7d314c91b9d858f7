"""A shop may say which lots a trade has sold, until it has closed its books."""

import pytest
from starlette.testclient import TestClient

from engine.types import Outcome
from merchants.records.rejection import Rejection
from merchants.reports.lots import LOTS_MAX, NamedLot
from merchants.reports.reports import ReportKind
from tests.merchants.fixtures import LOT, MERCHANT, TOKEN, World, due_raw
from tests.merchants.site import site
from tests.merchants.test_reports_add_up_to_the_ledger import (
    check,
    everything,
    go_on,
    pay,
    signed_pips,
    total,
)
from tests.merchants.test_shops_over_rest import bearer

HOUR_NS = 3_600 * 10**9


@pytest.fixture
def shop(tmp_path):
    """A world, and a store that has a lot that is not sold and two sales of 0.025."""
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    # The half of what is due waits, and is the oldest lot.
    early = venue.invoice(store)
    venue.fund(MERCHANT, TOKEN, 25 * LOT // 2, bytes.fromhex(early.ref[2:]))
    go_on(world)
    for _ in range(2):
        world.pass_time(5)
        invoice = venue.invoice(store)
        pay(world, invoice, due_raw(invoice))
        go_on(world)
    return world, store


def rows_of(shop, **question):
    world, store = shop
    return everything(world.venue, store.store_id, ReportKind.CONVERSIONS, **question)


def chosen(shop):
    return rows_of(shop, by_choice=True)


def lot_of(row, pips=None):
    amount = signed_pips(row.amount) if pips is None else pips
    return NamedLot(bytes.fromhex(row.lot_tx_hash[2:]), int(row.lot_log_index), amount)


def own_lots(shop):
    """Return by trade the lot of its own invoice."""
    return {row.trade: lot_of(row) for row in rows_of(shop, by_invoice=True)}


def why(answer):
    assert isinstance(answer, Rejection), answer
    return answer.outcome


def test_a_trade_takes_the_lots_that_it_names_and_others_what_is_left(shop):
    world, store = shop
    lots, trades = world.venue.merchants.lots, sorted(own_lots(shop))
    assert chosen(shop) == rows_of(shop), "FIFO where nothing is named"
    first, second = own_lots(shop)[trades[0]], own_lots(shop)[trades[1]]

    made = lots.choose(store.store_id, trades[1], [second])

    assert [lot[:3] for lot in made] == [second[:3]]
    rows = chosen(shop)
    named = [row for row in rows if row.trade == trades[1]]
    assert [lot_of(row) for row in named] == [second] and named[0].lot_chosen_utc
    fifo = [row for row in rows if row.trade == trades[0]]
    assert fifo[0].lot_tx_hash not in (named[0].lot_tx_hash, ""), "the oldest first"
    assert fifo[1].lot_tx_hash == "0x" + first.tx_hash.hex()
    for column in ("amount", "proceeds", "fee", "net"):
        assert total(rows, column) == total(rows_of(shop), column)
    pages = everything(world.venue, store.store_id, ReportKind.CONVERSIONS, limit=1, by_choice=True)
    assert pages == rows
    check(world, store.store_id)
    assert lots.choose(store.store_id, trades[1], []) == []
    assert chosen(shop) == rows_of(shop)


def test_what_cannot_have_been_sold_is_refused_and_changes_nothing(shop):
    world, store = shop
    lots, own = world.venue.merchants.lots, own_lots(shop)
    first, second = sorted(own)
    name = store.store_id
    other = world.venue.approved_store().store_id
    one = own[first]
    assert why(lots.choose(name, 999, [one])) is Outcome.NOT_FOUND
    assert why(lots.choose(other, first, [one])) is Outcome.NOT_FOUND
    assert why(lots.of(other, first)) is Outcome.NOT_FOUND
    gone = one._replace(tx_hash=bytes(32))
    assert why(lots.choose(name, first, [gone])) is Outcome.NOT_FOUND
    assert why(lots.choose(name, first, [one, one])) is Outcome.MALFORMED
    assert why(lots.choose(name, first, [own[second]])) is Outcome.MALFORMED, "it came later"
    more = one._replace(pips=one.pips + 1)
    assert why(lots.choose(name, first, [more])) is Outcome.AMOUNT_OUT_OF_RANGE
    assert why(lots.choose(name, first, [one._replace(pips=0)])) is Outcome.AMOUNT_OUT_OF_RANGE
    many = [one._replace(tx_hash=bytes([n]) * 32, pips=1) for n in range(LOTS_MAX + 1)]
    assert why(lots.choose(name, first, many)) is Outcome.CAPACITY
    # What one trade has named, no other may.
    assert lots.choose(name, second, [one])[0][:3] == one[:3]
    assert why(lots.choose(name, first, [one])) is Outcome.AMOUNT_OUT_OF_RANGE
    assert lots.of(name, first) == []


def test_closed_books_stay_as_they_were(shop):
    world, store = shop
    lots, own = world.venue.merchants.lots, own_lots(shop)
    first, name = min(own), store.store_id
    lots.choose(name, first, [own[first]])
    until = world.now_ns
    assert why(lots.close(name, until)) is Outcome.MALFORMED, "the last hour"
    world.pass_time(3_601)
    before = chosen(shop)
    assert lots.close(name, until) == lots.closed_until(name) == until
    assert chosen(shop) == before
    assert why(lots.choose(name, first, [])) is Outcome.INVOICE_CLOSED
    assert why(lots.close(name, until - 1)) is Outcome.INVOICE_CLOSED
    invoice = world.venue.invoice(store)
    pay(world, invoice, due_raw(invoice))
    go_on(world)
    rows = chosen(shop)
    assert rows[: len(before)] == before
    last = max(row.trade for row in rows)
    mine = [lot for trade, lot in own_lots(shop).items() if trade == last]
    assert lots.choose(name, last, mine)[0][:3] == mine[0][:3]
    assert chosen(shop)[: len(before)] == before


def test_lots_are_named_over_rest(shop):
    world, store = shop
    client, own = TestClient(site(world.venue)), own_lots(shop)
    trade = min(own)
    base, headers = f"/v1/stores/{store.store_id}", bearer(store.api_key)
    lot = {
        "tx_hash": "0x" + own[trade].tx_hash.hex(),
        "log_index": own[trade].log_index,
        "amount": "0.025",
    }
    path = f"{base}/lot-choices/{trade}"
    reply = client.put(path, json={"lots": [lot]}, headers=headers)
    assert (reply.status_code, reply.json()) == (200, {"lots": [lot]})
    assert client.get(path, headers=headers).json() == {"lots": [lot]}
    csv = client.get(
        f"{base}/reports/conversions", params={"lots": "chosen", "format": "csv"}, headers=headers
    ).text
    assert lot["tx_hash"] in csv.splitlines()[1] and "lot_chosen_utc" in csv.splitlines()[0]
    refused = client.put(path, json={"lots": [lot, lot]}, headers=headers)
    assert refused.status_code == 400
    closing = f"{base}/lot-closing"
    assert client.get(closing, headers=headers).json() == {"until": 0}
    until = world.now_ns // 10**9
    world.pass_time(3_602)
    assert client.put(closing, json={"until": until + 1}, headers=headers).status_code == 200
    assert client.put(path, json={"lots": []}, headers=headers).status_code == 409
