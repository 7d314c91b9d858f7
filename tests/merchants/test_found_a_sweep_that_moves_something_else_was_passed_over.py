"""A reorganisation includes a sweep again, and another payment was before it this time: the same
transaction brings another amount, and its log stands where the first one's was.

Found: what was booked then was taken for the first, so it was in the ledger and on no invoice.
"""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from merchants.records.states import CreditState
from merchants.records.tables import Credit
from tests.merchants.fixtures import TOKEN, World, due_raw
from tests.merchants.reorganising import read_again
from tests.merchants.test_a_deep_reorganisation_takes_money_back import Case, check_report


@pytest.fixture
def case(tmp_path):
    world = World(tmp_path)
    store = world.venue.approved_store()
    return Case(world, store, world.venue.invoice(store, "50"))


def sweep_again(case, raw):
    """Let the last sweep be in another block, and bring so much."""
    (left, account, ref, pips), world = case.world.sweeps.pop(), case.world
    token = case.venue.catalog.token_by_address(TOKEN)
    world.replaced.add((left.tx_hash, pips))
    moved = left._replace(raw_amount=raw, block_number=left.block_number + 500)
    world.transfers[world.transfers.index(left)] = moved
    world.sweeps.append((moved, account, ref, token.pips_of(raw)))
    case.venue.watch()
    case.venue.fund(account, TOKEN, token.pips_of(raw), ref, left.tx_hash)
    read_again(world)
    case.venue.tick()


@pytest.mark.parametrize(
    ("percent", "status"), [(100, "settled"), (120, "settled"), (40, "invalid")]
)
def test_what_it_brings_now_is_what_counts(case, percent, status):
    due = due_raw(case.invoice)
    before = due * percent // 100
    case.pay(before)
    behind = case.pay(due * 130 // 100 - before)
    case.venue.settle_sweeps()
    case.world.lost.add(behind.tx_hash)
    sweep_again(case, before)
    case.wait()
    ended = case.now()
    assert (ended.status, ended.received) == (status, str(50 * percent // 100))
    with Session(case.venue.database) as session:
        rows = select(Credit.state, Credit.swept_raw).order_by(Credit.sequence)
        booked = session.execute(rows).all()
    assert booked == [
        (CreditState.GONE, str(due * 130 // 100)),
        (CreditState.BOOKED, str(before)),
    ]
    check_report(case.world, case.store)
