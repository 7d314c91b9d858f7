"""Whoever restores yesterday's rows and reads log and chain again comes to the same ledger.

Found: orders placed after the copy were unknown to it and passed over, so that what they had sold
was tried again until it was held.
"""

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import Side
from merchants.records.pots import Gift
from merchants.records.rejection import Rejection
from merchants.records.tables import Conversion, Credit, Fill, Invoice, Order
from settlement.protocol.eip712 import address_of_secret
from tests.merchants.files import Files
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    LOT,
    MERCHANT,
    TOKEN,
    USD,
    address_bytes,
    due_raw,
    lots_in_journal,
    option,
    sole,
)
from tests.merchants.refunding import (
    chain_pays,
    claimed,
    look,
    opened,
    part_claimed,
    pay,
    wallet_signs,
    withdrawals,
)

SELLER = b"\x0b" * 32


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def ledger(files):
    """Return what the rows say came, was sold, for how much, to whom."""
    with Session(files.venue.database) as session:
        booked = select(Credit.invoice_id, Credit.token, Credit.amount_pips, Credit.sequence)
        sales = select(
            Conversion.invoice_id,
            Conversion.from_pot,
            Conversion.state,
            Conversion.lots,
            Conversion.lots_filled,
            Conversion.proceeds_pips,
            Conversion.fee_pips,
            Conversion.to_pot_pips,
        )
        fills = select(Fill.trade_id, Fill.lots, Fill.price_ticks, Fill.proceeds_pips, Fill.state)
        orders = select(Order.digest, Order.sequence, Order.outcome, Order.lots, Order.limit_ticks)
        invoices = select(Invoice.id, Invoice.state, Invoice.exception, Invoice.net_pips)
        gifts = select(Gift.invoice_id, Gift.pips, Gift.net_pips)
        queries = (booked, sales, fills, orders, invoices, gifts)
        return [sorted(map(tuple, session.execute(query))) for query in queries]


def takes_bids(files):
    """Let another seller be faster: most of what was quoted is gone."""
    files.venue.fund(address_of_secret(SELLER), TOKEN, 400 * LOT)
    files.venue.quote(Side.SELL, 199_900, 400, secret=SELLER)


def set_back(files, older):
    """Restore an older copy, begin a new life on it, and scan the chain again."""
    files.put_back(older)
    files.world.restart()
    for _ in range(3):
        files.venue.watch()
        files.venue.tick()
        files.venue.settle_sweeps()
        files.world.pass_time(5)
        files.venue.tick()


def read(files, invoice):
    return files.venue.merchants.reader.invoice(invoice.id)


def test_what_was_sold_after_the_copy_is_counted_and_not_sold_again(files):
    invoice = files.venue.invoice(files.venue.approved_store())
    older = files.copy()
    files.pay(invoice)
    files.venue.tick()
    before, sold = ledger(files), lots_in_journal(files.world)
    assert len(sold) == 1 and read(files, invoice).net != "0"
    set_back(files, older)
    assert ledger(files) == before
    assert lots_in_journal(files.world) == sold
    assert sole(read(files, invoice).conversions).status == "filled"


def test_a_sale_in_several_orders_is_counted_order_by_order(files):
    """The book takes a part; the rest is sold when there are bids again."""
    invoice = files.venue.invoice(files.venue.approved_store(), amount="1000")
    older = files.copy()
    takes_bids(files)
    files.pay(invoice)
    files.venue.tick()
    for _ in range(3):
        files.venue.quote(Side.BUY, 199_950, 150)
        files.world.pass_time(600)
        files.venue.tick()
    before, sold = ledger(files), lots_in_journal(files.world)
    assert len(sold) > 1
    assert sole(read(files, invoice).conversions).status == "filled"
    set_back(files, older)
    assert ledger(files) == before
    assert lots_in_journal(files.world) == sold


def test_in_the_middle_of_a_sale_the_rest_goes_on(files):
    invoice = files.venue.invoice(files.venue.approved_store(), amount="1000")
    takes_bids(files)
    files.pay(invoice)
    files.venue.tick()
    older = files.copy()
    files.venue.quote(Side.BUY, 199_950, 100)
    files.world.pass_time(600)
    files.venue.tick()
    files.put_back(older)
    files.world.restart()
    files.venue.quote(Side.BUY, 199_950, 2000)
    for _ in range(3):
        files.world.pass_time(600)
        files.venue.tick()
    conversion = sole(read(files, invoice).conversions)
    assert conversion.status == "filled"
    assert files.venue.pips(MERCHANT, TOKEN) < LOT
    net = sum(fill.proceeds_pips - fill.fee_pips for fill in fills(files))
    assert net == files.venue.pips(MERCHANT, USD)


def fills(files):
    with Session(files.venue.database) as session:
        return list(session.scalars(select(Fill)))


def test_what_was_gathered_and_sold_is_shared_as_before(files):
    store = files.venue.approved_store()
    invoices = [files.venue.invoice(store, amount="0.75") for _ in range(4)]
    older = files.copy()
    for invoice in invoices:
        files.pay(invoice)
    files.venue.tick()
    before, sold = ledger(files), lots_in_journal(files.world)
    assert sold == [1]
    set_back(files, older)
    assert lots_in_journal(files.world) == sold
    assert ledger(files) == before


def test_late_money_that_was_found_enough_stays_so_though_prices_fell(files):
    invoice = files.venue.invoice(files.venue.approved_store())
    older = files.copy()
    files.world.pass_time(3600)
    for ticks, lots in ((200_000, 50), (199_900, 500)):
        files.venue.quote(Side.BUY, ticks, lots)
    files.world.pass_time(600)
    raw = due_raw(invoice) * 101 // 100
    files.world.transfer(address_bytes(invoice.deposit_address), raw, TOKEN, CONFIRMATIONS)
    for _ in range(3):
        files.venue.watch()
        files.venue.tick()
        files.venue.settle_sweeps()
    files.venue.tick()
    assert (read(files, invoice).status, read(files, invoice).exception) == ("settled", "paid_late")
    sold, net = lots_in_journal(files.world), read(files, invoice).net
    assert sold
    set_back(files, older)
    again = read(files, invoice)
    assert (again.status, again.exception, again.net) == ("settled", "paid_late", net)
    assert lots_in_journal(files.world) == sold


def test_a_sale_that_was_busted_after_the_copy_is_sold_again_once(files):
    invoice = files.venue.invoice(files.venue.approved_store())
    older = files.copy()
    files.pay(invoice)
    files.venue.tick()
    files.venue.bust(sole(sole(read(files, invoice).conversions).fills))
    files.world.pass_time(5)
    files.venue.tick()
    before, sold = ledger(files), lots_in_journal(files.world)
    assert len(sold) == 2
    set_back(files, older)
    assert ledger(files) == before
    assert lots_in_journal(files.world) == sold


def test_an_invoice_made_after_the_copy_is_gone_and_its_money_is_the_shops(files):
    """What never was in the log nobody can replay."""
    store = files.venue.approved_store()
    older = files.copy()
    invoice = files.venue.invoice(store)
    files.pay(invoice)
    files.venue.tick()
    has = files.venue.pips(MERCHANT, USD)
    assert has > 0
    set_back(files, older)
    assert read(files, invoice) is None
    assert files.venue.pips(MERCHANT, USD) == has
    assert ledger(files) == [[], [], [], [], [], []]


def test_events_told_again_have_the_id_they_had_and_others_another(files):
    """A shop that keeps ids takes each once, and nothing of another meaning for one it knows."""
    invoice = files.venue.invoice(files.venue.approved_store())
    older = files.copy()
    files.pay(invoice)
    files.venue.tick()
    first = told(files)
    files.world.received.clear()
    set_back(files, older)
    again = told(files)
    assert set(first) & set(again), "the same log tells the same"
    for name in set(first) & set(again):
        assert first[name] == again[name]


def told(files):
    """Return what the shop was told by id: type and contents."""
    bodies = [(h["webhook-id"], msgspec.json.decode(b)) for h, b in files.world.received]
    return {name: (body["type"], body["data"]) for name, body in bodies}


def test_an_order_in_the_invoices_name_by_the_wallet_itself_is_none_of_ours(files):
    """It is the owner's money: he may sell it as he likes, and no sale of ours is counted."""
    invoice = files.venue.invoice(files.venue.approved_store())
    older = files.copy()
    files.venue.fund(MERCHANT, TOKEN, 5 * LOT)
    files.venue.quote(Side.SELL, 199_900, 5, secret=b"\x02" * 32)
    set_back(files, older)
    assert fills(files) == []
    assert option(read(files, invoice)).credited == "0"
    assert files.venue.pips(MERCHANT, USD) > 9 * DOLLAR


def due(files, store):
    """Return a refund that waits to be paid, its customer has said to whom."""
    invoice = files.venue.invoice(store, amount="12.34", token="USD")
    refund = opened(files.world, store, pay(files.world, invoice))
    claimed(files.world, refund)
    return refund


def funded(files, store):
    """Give the store's refund account enough for one refund and a half."""
    keys = files.venue.merchants.refunding.keys
    address = keys.create(store.store_id, 86_400, 10_000).top_up_address
    files.world.transfer(address, 30 * 10**6, USD, CONFIRMATIONS)
    files.venue.watch()
    files.venue.settle_sweeps()


@pytest.mark.parametrize("is_claimed", [True, False])
def test_a_refund_account_pays_once_what_it_paid_after_the_copy(files, is_claimed):
    store = files.venue.approved_store()
    funded(files, store)
    invoice = files.venue.invoice(store, amount="12.34", token="USD")
    refund = opened(files.world, store, pay(files.world, invoice))
    if is_claimed:
        claimed(files.world, refund)
    older = files.copy()
    claimed(files.world, refund)
    files.venue.tick()
    files.venue.tick()
    chain_pays(files.world)
    assert look(files.world, store, refund).status == "completed"
    set_back(files, older)
    again = look(files.world, store, refund)
    assert (again.status, again.payer) == ("completed", "key")
    assert len(withdrawals(files.world)) == 1


def test_a_part_that_was_claimed_and_paid_after_the_copy_is_not_there_to_claim_again(files):
    store = files.venue.approved_store()
    funded(files, store)
    invoice = files.venue.invoice(store, amount="12.34", token="USD")
    refund = opened(files.world, store, pay(files.world, invoice))
    older = files.copy()
    part_claimed(files.world, refund, 4 * DOLLAR)
    files.venue.tick()
    files.venue.tick()
    chain_pays(files.world)
    set_back(files, older)
    left = look(files.world, store, refund)
    assert (left.amount, left.opened, left.receiver) == ("8.34", "12.34", None)
    claimed(files.world, refund)
    for _ in range(3):
        files.venue.tick()
        chain_pays(files.world)
    assert sorted(one.amount for one in withdrawals(files.world)) == [
        4 * DOLLAR,
        834 * DOLLAR // 100,
    ]


def test_a_wallet_is_not_asked_again_for_what_it_paid_after_the_copy(files):
    store = files.venue.approved_store()
    refund = due(files, store)
    older = files.copy()
    wallet_signs(files.world, store, refund)
    files.venue.tick()
    chain_pays(files.world)
    set_back(files, older)
    again = look(files.world, store, refund)
    assert (again.status, again.payer) == ("completed", "wallet")
    assert isinstance(wallet_signs(files.world, store, refund), Rejection)
    assert len(withdrawals(files.world)) == 1
