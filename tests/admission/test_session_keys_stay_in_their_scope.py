"""A session key trades what its wallet allowed, and never for more than the contract will take."""

import pytest

from engine.commands import Kind, command
from engine.types import Outcome, Side
from settlement.batches.encode import Bust, MatchedTrade
from settlement.orders.session_keys import MAY_BUY, MAY_SELL
from settlement.repair.busts import bust_command, bust_evidence
from tests.admission.fixtures import (
    ALICE,
    ALICES_KEY,
    BOB,
    BOBS_KEY,
    FEE_PPM,
    LANE,
    LOT_PIPS,
    NS,
    OTHER,
    START,
    TICK_PIPS,
    Driver,
    grant_for,
    order_id_of,
    rejection,
)


def allowed(**changes):
    driver = Driver()
    driver.grant(grant_for(ALICES_KEY, **changes))
    return driver


def left(driver, key=ALICES_KEY):
    return driver.admission.budgets.left(key.account, key.address)


def pips(lots, ticks):
    return lots * ticks * TICK_PIPS


def test_a_key_in_scope_trades_both_sides():
    driver = allowed()
    assert rejection(driver.admit(ALICES_KEY.order(nonce=1))) is None
    assert rejection(driver.admit(ALICES_KEY.order(Side.SELL, nonce=2))) is None


def test_a_key_nobody_granted_is_unknown_and_named():
    answer = Driver().admit(ALICES_KEY.order())

    assert rejection(answer) == Outcome.UNKNOWN_KEY
    assert answer.detail == {"recovered": "0x" + ALICES_KEY.address.hex()}


def test_a_revoked_key_is_unknown_until_it_is_granted_again():
    driver = allowed()
    driver.keys.revoked(ALICE.address, ALICES_KEY.address)
    assert rejection(driver.asks(ALICES_KEY.order())) == Outcome.UNKNOWN_KEY

    driver.grant(grant_for(ALICES_KEY))
    assert rejection(driver.asks(ALICES_KEY.order())) is None


@pytest.mark.parametrize(
    ("scope", "order"),
    [
        ({"base": OTHER}, ALICES_KEY.order()),
        ({"quote": OTHER}, ALICES_KEY.order()),
        ({"sides": MAY_SELL}, ALICES_KEY.order(Side.BUY)),
        ({"sides": MAY_BUY}, ALICES_KEY.order(Side.SELL)),
        ({"expiry": START + 3599}, ALICES_KEY.order()),
        ({"floor_price": 101 * 10**6}, ALICES_KEY.order(Side.SELL, ticks=100)),
        ({"notional_cap": 10 * 100 * TICK_PIPS - 1}, ALICES_KEY.order(lots=10, ticks=100)),
    ],
)
def test_out_of_scope_is_refused(scope, order):
    assert rejection(allowed(**scope).admit(order)) == Outcome.KEY_SCOPE


@pytest.mark.parametrize(
    ("scope", "order"),
    [
        ({"expiry": START + 3600}, ALICES_KEY.order()),
        ({"floor_price": 100 * 10**6}, ALICES_KEY.order(Side.SELL, ticks=100)),
        ({"floor_price": 101 * 10**6}, ALICES_KEY.order(Side.BUY, ticks=100)),
        ({"notional_cap": 10 * 100 * TICK_PIPS}, ALICES_KEY.order(lots=10, ticks=100)),
    ],
)
def test_the_bounds_themselves_are_in_scope(scope, order):
    assert rejection(allowed(**scope).admit(order)) is None


def test_what_rests_is_charged_and_given_back_when_it_leaves():
    cap = pips(10, 100)
    driver = allowed(notional_cap=cap)
    order_id = order_id_of(driver.place(ALICES_KEY.order(nonce=1, lane=LANE)))
    assert left(driver) == left(driver.replayed()) == 0

    driver.place(BOB.order(Side.SELL, lots=4, nonce=1))
    assert left(driver) == 0, "filled is charged like resting"
    driver.cancel(ALICE, order_id)

    assert left(driver) == left(driver.replayed()) == pips(6, 100)


def test_expiry_gives_back():
    driver = allowed(notional_cap=pips(10, 100))
    driver.place(ALICES_KEY.order(lane=LANE, expiry=START + 1))
    driver.now_ns += NS
    driver.commit(command(Kind.CLOCK))

    assert left(driver) == pips(10, 100)


def test_what_was_refused_or_not_filled_is_given_back():
    cap = pips(10**10, 4000)
    driver = allowed(notional_cap=cap)
    driver.place(ALICES_KEY.order(lots=10**10, ticks=4000, nonce=1))
    assert left(driver) == cap, "refused by the engine"

    driver.place(BOB.order(Side.SELL, lots=3, ticks=100, lane=LANE))
    driver.place(ALICES_KEY.order(lots=10, ticks=100, nonce=2))
    assert left(driver) == left(driver.replayed()) == cap - pips(3, 100)


def test_a_better_price_than_the_limit_uses_up_no_less_and_no_more():
    """The contract counts at the order's limit, so no fill can need more than was promised."""
    driver = allowed(notional_cap=pips(30, 100))
    driver.place(BOB.order(Side.SELL, lots=10, ticks=60, lane=LANE))
    driver.place(ALICES_KEY.order(lots=10, ticks=100, nonce=1))
    assert left(driver) == pips(20, 100), "bought below the limit"

    driver.place(BOB.order(lots=4, ticks=200, lane=LANE + 1))
    driver.place(ALICES_KEY.order(Side.SELL, lots=10, ticks=100, nonce=2))
    assert left(driver) == left(driver.replayed()) == pips(16, 100), "sold above the limit"


def test_a_sale_needs_its_limit_and_not_what_better_bids_would_pay():
    driver = allowed(notional_cap=pips(10, 100))
    driver.place(BOB.order(lots=10, ticks=200, lane=LANE))

    assert rejection(driver.asks(ALICES_KEY.order(Side.SELL, lots=10, ticks=100))) is None
    assert (
        rejection(driver.asks(ALICES_KEY.order(Side.SELL, lots=11, ticks=100))) == Outcome.KEY_SCOPE
    )


def test_a_wider_grant_forgives_nothing_that_may_be_unsettled():
    driver = allowed(notional_cap=pips(10, 100))
    driver.place(ALICES_KEY.order(lane=LANE))

    driver.grant(grant_for(ALICES_KEY, notional_cap=pips(15, 100)))

    assert left(driver) == left(driver.replayed()) == pips(5, 100)


def test_use_before_the_grant_is_seen_again_is_remembered():
    """After a crash the journal is replayed before the chain shows the newest grants."""
    driver = allowed(notional_cap=pips(10, 100))
    driver.place(ALICES_KEY.order(lane=LANE))
    grants, driver.grants = driver.grants, []

    restarted = driver.replayed()
    assert left(restarted) == 0
    for grant in grants:
        restarted.grant(grant)

    assert left(restarted) == 0, "all of it is promised"


def test_the_resting_orders_of_a_key_are_known():
    driver = allowed()
    ids = [
        order_id_of(driver.place(ALICES_KEY.order(Side.SELL, ticks=200, lane=LANE + i)))
        for i in range(3)
    ]
    driver.place(ALICE.order(Side.SELL, ticks=200, lane=LANE + 9))
    driver.cancel(ALICE, ids[1])

    for seen_by in (driver, driver.replayed()):
        orders = seen_by.admission.open_orders_of_key(ALICE.address, ALICES_KEY.address)
        assert orders == [ids[0], ids[2]]
    assert driver.admission.open_orders_of_key(BOB.address, ALICES_KEY.address) == []


def test_a_busted_trade_gives_back_at_the_orders_own_limit_to_the_keys_that_signed():
    """As little as the contract, which never counted it, has of it: no more and no less."""
    driver = allowed(notional_cap=pips(100, 100))
    driver.grant(grant_for(BOBS_KEY, notional_cap=pips(100, 100)))
    resting = BOBS_KEY.order(Side.SELL, lots=10, ticks=60, lane=LANE)
    buying = ALICES_KEY.order(lots=7, ticks=100, nonce=1)
    by_alice_herself = ALICE.order(lots=2, ticks=100, nonce=2)
    driver.place(resting)
    for number, buy in enumerate((buying, by_alice_herself), 1):
        lots = buy.base_amount // LOT_PIPS
        driver.place(buy)
        before = left(driver), left(driver, BOBS_KEY)
        trade = MatchedTrade(
            *(number, driver.engine.sequence, driver.now_ns, buy, resting),
            lots * LOT_PIPS,
            pips(lots, 60),
            FEE_PPM,
            FEE_PPM,
        )
        bust = Bust(trade, "InsufficientBalance(1, 2)")
        events = driver.commit(bust_command(driver.catalog, trade), bust_evidence(bust))
        assert events[0]["outcome"] == Outcome.ACCEPTED

        for seen_by in (driver, driver.replayed()):
            bought = pips(lots, 100) if buy is buying else 0
            assert left(seen_by) == before[0] + bought == pips(100, 100)
            assert left(seen_by, BOBS_KEY) == before[1] + pips(lots, 60)
    assert left(driver, BOBS_KEY) == pips(100, 100) - pips(1, 60), "one lot of it still stands"
