"""What the contract or the book could never take is refused with the figures that show why."""

import pytest

from engine.types import LOTS_MAX, PRICE_MAX, OrderFlag, Outcome, Side, TimeInForce
from settlement.orders.admission import EXPIRY_MAX_S
from settlement.orders.nonces import Rejection
from settlement.protocol.evidence import OrderBits
from tests.admission.fixtures import (
    ALICE,
    LANE,
    LOT_PIPS,
    NS,
    OTHER,
    START,
    STRANGER,
    TICK_PIPS,
    TOKEN,
    USD,
    Driver,
    rejection,
)


def test_amounts_are_whole_lots_at_a_whole_tick():
    whole = ALICE.order(lots=10, ticks=100)
    base, quote = whole.base_amount, whole.quote_amount

    for change in (-1, 1, LOT_PIPS - 1):
        off_lot = ALICE.order(base_amount=base + change)
        assert rejection(Driver().admit(off_lot)) == Outcome.OFF_LOT
    for change in (-1, 1, TICK_PIPS, 10 * TICK_PIPS - 1):
        off_tick = ALICE.order(quote_amount=quote + change)
        assert rejection(Driver().admit(off_tick)) == Outcome.OFF_TICK
    assert rejection(Driver().admit(ALICE.order(quote_amount=quote + 10 * TICK_PIPS))) is None


def test_an_off_tick_refusal_shows_the_figures():
    order = ALICE.order(lots=10, quote_amount=1_001)

    assert Driver().admit(order).detail == {
        "quote_amount": "1001",
        "lots": "10",
        "tick_pips": "100",
    }


@pytest.mark.parametrize(
    ("lots", "ticks", "outcome"),
    [
        (0, 1, Outcome.QUANTITY_OUT_OF_RANGE),
        (LOTS_MAX + 1, 1, Outcome.QUANTITY_OUT_OF_RANGE),
        (1, 0, Outcome.PRICE_OUT_OF_RANGE),
        (1, PRICE_MAX + 1, Outcome.PRICE_OUT_OF_RANGE),
        (LOTS_MAX, 1, None),
        (1, PRICE_MAX, None),
    ],
)
def test_the_ranges_are_exact(lots, ticks, outcome):
    assert rejection(Driver().admit(ALICE.order(lots=lots, ticks=ticks))) == outcome


def test_an_order_is_dead_in_the_second_it_expires():
    driver = Driver()
    order = ALICE.order(expiry=START + 5)
    driver.now_ns = (START + 5) * NS - 1
    assert rejection(driver.asks(order)) is None

    driver.now_ns += 1
    answer = driver.admit(order)
    assert rejection(answer) == Outcome.ORDER_EXPIRED
    assert answer.detail == {"expiry": str(START + 5), "now": str(START + 5)}


@pytest.mark.parametrize("lane", [0, LANE])
def test_an_order_lives_thirty_days_at_most(lane):
    """Found: an order could be remembered until 2106."""
    latest = START + EXPIRY_MAX_S
    assert rejection(Driver().admit(ALICE.order(lane=lane, expiry=latest))) is None

    answer = Driver().admit(ALICE.order(lane=lane, expiry=latest + 1))
    assert rejection(answer) == Outcome.EXPIRY_TOO_FAR
    assert answer.detail == {"expiry": str(latest + 1), "latest": str(latest)}


@pytest.mark.parametrize("pair", [(USD, TOKEN), (OTHER, USD), (TOKEN, OTHER), (TOKEN, TOKEN)])
def test_only_a_listed_pair_is_a_market(pair):
    base, quote = pair

    assert rejection(Driver().admit(ALICE.order(base=base, quote=quote))) == Outcome.UNKNOWN_MARKET


def test_an_account_without_a_deposit_has_nothing_to_trade_with():
    assert rejection(Driver().admit(STRANGER.order())) == Outcome.INSUFFICIENT_BALANCE


@pytest.mark.parametrize("flags", [1 << bit for bit in range(11, 16)])
def test_an_unknown_flag_bit_is_refused(flags):
    assert rejection(Driver().admit(ALICE.order(flags=flags))) == Outcome.BAD_ORDER


STOP, ICEBERG = OrderBits.STOP, OrderBits.ICEBERG
POST_ONLY, FOK = OrderBits.POST_ONLY, OrderBits.FILL_OR_KILL
IMMEDIATE, REPRICE = OrderBits.IMMEDIATE, OrderBits.REPRICE


@pytest.mark.parametrize("bit", [OrderBits.UPPER_HALF, POST_ONLY, REPRICE, STOP, ICEBERG])
def test_a_single_shot_order_has_no_half_does_not_post_and_waits_for_nothing(bit):
    answer = Driver().admit(ALICE.order(bits=bit))

    assert rejection(answer) == Outcome.BAD_ORDER
    assert answer.detail["why"].startswith("single-shot orders have no lane half")


@pytest.mark.parametrize(
    ("bits", "why"),
    [
        (FOK, "fill or kill is for a single shot or a stop"),
        (REPRICE, "only a post-only order is priced again"),
        (STOP | POST_ONLY, "a stop neither posts nor shows a part of itself"),
        (STOP | ICEBERG, "a stop neither posts nor shows a part of itself"),
        (IMMEDIATE, "immediate is for a stop: any other order is that as a single shot"),
        (STOP | FOK | IMMEDIATE, "fill or kill leaves nothing that could leave at once"),
    ],
)
def test_flags_that_contradict_each_other_are_refused_with_a_reason(bits, why):
    answer = Driver().admit(ALICE.order(lane=LANE, bits=bits, trigger=101))

    assert rejection(answer) == Outcome.BAD_ORDER
    assert answer.detail == {"why": why, "flags": str(int(bits))}


@pytest.mark.parametrize(
    ("bits", "special", "outcome"),
    [
        (0, 1, Outcome.BAD_ORDER),
        (STOP, 10 * TICK_PIPS - 1, Outcome.OFF_TICK),
        (STOP, 0, Outcome.TRIGGER_OUT_OF_RANGE),
        (STOP, 10 * TICK_PIPS, None),
        (STOP, 10 * TICK_PIPS * PRICE_MAX, None),
        (STOP, 10 * TICK_PIPS * (PRICE_MAX + 1), Outcome.TRIGGER_OUT_OF_RANGE),
        (ICEBERG, LOT_PIPS + 1, Outcome.OFF_LOT),
        (ICEBERG, 0, Outcome.DISPLAY_OUT_OF_RANGE),
        (ICEBERG, LOT_PIPS, None),
        (ICEBERG, 10 * LOT_PIPS, None),
        (ICEBERG, 11 * LOT_PIPS, Outcome.DISPLAY_OUT_OF_RANGE),
    ],
)
def test_a_trigger_is_a_whole_tick_and_a_display_whole_lots_of_the_order(bits, special, outcome):
    order = ALICE.order(lane=LANE, lots=10, bits=bits, trigger_or_display=special)

    answer = Driver().admit(order)

    assert rejection(answer) == outcome
    if outcome is not None:
        assert answer.detail["trigger_or_display"] == str(special)


def test_an_iceberg_shows_itself_in_so_many_slices_at_most():
    for lots, outcome in ((64, None), (65, Outcome.DISPLAY_OUT_OF_RANGE)):
        order = ALICE.order(lane=LANE, lots=lots, bits=ICEBERG, shown=1)
        assert rejection(Driver().admit(order)) == outcome


def test_an_admitted_order_is_the_command_that_was_signed():
    shot = Driver().admit(ALICE.order(Side.SELL, lots=3, ticks=7, max_fee_ppm=5_000))
    flags = int(OrderBits.POST_ONLY | OrderBits.UPPER_HALF)
    rest = Driver().admit(ALICE.order(lots=4, ticks=8, lane=LANE, flags=flags))

    assert not isinstance(shot, Rejection) and not isinstance(rest, Rejection)
    assert (shot["side"], shot["tif"], shot["flags"]) == (
        Side.SELL,
        TimeInForce.IOC,
        OrderFlag.SINGLE_SHOT,
    )
    assert (shot["amount"], shot["price_ticks"], shot["fee_cap_ppm"]) == (3, 7, 5_000)
    assert shot["expiry_ns"] == (START + 3600) * NS
    assert (rest["side"], rest["tif"], rest["flags"]) == (
        Side.BUY,
        TimeInForce.GTC,
        OrderFlag.POST_ONLY,
    )
    assert (rest["amount"], rest["price_ticks"]) == (4, 8)
