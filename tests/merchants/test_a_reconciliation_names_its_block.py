"""Books, ledger and vault are compared as they stood at one block, whatever has come since."""

from merchants.reports.reports import ReportKind, asked
from settlement.audit.standings import Held, Standing
from tests.merchants.fixtures import DOLLAR, MERCHANT, TOKEN, USD, World, due_raw
from tests.merchants.test_reports_add_up_to_the_ledger import go_on, pay

BLOCK, TIME_S = 77, 1_800_000_000


def rows_of(venue, store):
    reports = venue.merchants.reports
    page = reports.page(
        ReportKind.RECONCILIATION, store.store_id, reports.accounted(asked(), MERCHANT)
    )
    return {row.token: row for row in page.rows}


def compared(world, invoice, on_the_way=0):
    """Let vault and ledger be compared now; ``on_the_way`` dollars have not come to the vault."""
    venue = world.venue
    sale = venue.merchants.reader.invoice(invoice.id).conversions[0]
    held = {
        token: Held(venue.pips(MERCHANT, token) - late, venue.pips(MERCHANT, token) - late, late)
        for token, late in ((USD, on_the_way), (TOKEN, 0))
    }
    sequence, trade_id = venue.trading.sequencer.sequence, sale.fills[-1].trade_id
    world.standings.note(
        {MERCHANT: Standing(BLOCK, b"\x01" * 32, TIME_S, sequence, trade_id, held)}
    )


def sold(world, store):
    invoice = world.venue.invoice(store)
    pay(world, invoice, due_raw(invoice))
    go_on(world)
    return invoice


def test_each_number_stands_at_the_block_that_is_named(tmp_path):
    world = World(tmp_path)
    store = world.venue.approved_store()
    first = sold(world, store)
    assert rows_of(world.venue, store)["USD"].block == "", "nothing was compared yet"
    compared(world, first, on_the_way=DOLLAR)
    world.pass_time(5)
    sold(world, store)

    row = rows_of(world.venue, store)["USD"]

    assert (row.block, row.block_hash) == (str(BLOCK), "0x" + "01" * 32)
    assert row.block_time_utc == "2027-01-15T08:00:00+00:00"
    assert (row.bought, row.ledger) == ("99.75", "99.75"), "two sales by now"
    assert row.books_at_block == row.ledger_at_block == row.chain_at_block == "48.875"
    assert (row.on_the_way, row.besides_at_block, row.chain_difference) == ("1", "0", "0")


def test_what_the_vault_lacks_is_a_difference(tmp_path):
    world = World(tmp_path)
    store = world.venue.approved_store()
    invoice = sold(world, store)
    compared(world, invoice)
    standing = world.standings.of(MERCHANT)
    held = standing.held[USD]
    short = standing.held | {USD: held._replace(chain=held.chain - 1)}
    world.standings.note({MERCHANT: standing._replace(held=short)})
    row = rows_of(world.venue, store)["USD"]
    assert (row.chain_difference, row.besides_at_block) == ("-0.00000001", "0")


def test_what_was_undone_since_cannot_be_said_of_a_block_before_it(tmp_path):
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    invoice = sold(world, store)
    compared(world, invoice)
    assert rows_of(venue, store)["USD"].block
    venue.bust(venue.merchants.reader.invoice(invoice.id).conversions[0].fills[0])
    row = rows_of(venue, store)["USD"]
    assert (row.block, row.chain_difference) == ("", "")
