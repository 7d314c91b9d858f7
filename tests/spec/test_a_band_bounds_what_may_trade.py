"""Which orders does a price band keep out, and what leaves when it moves?"""

from engine.types import Phase
from tests.ladder import IOC, SMALL, Desk, tidy

BOOK = """
    120 sell  Alice 3
    105 sell  Bob 2
     95 buy   Carol 2
     80 buy   Dave 3
"""


def test_no_buy_above_and_no_sell_below(desk: Desk) -> None:
    desk.set_band(90, 110)

    assert desk.buy("Tara", 1, 111) == ["refused: OUTSIDE_BAND"]
    assert desk.sell("Tara", 1, 89, **IOC) == ["refused: OUTSIDE_BAND"]
    assert desk.buy("Tara", 1, 110) == ["rests 1 at 110"]
    assert desk.sell("Bob", 1, 90, **IOC) == ["1 at 110 with Tara"]


def test_passive_orders_may_stand_as_far_away_as_they_like(desk: Desk) -> None:
    desk.set_band(90, 110)

    desk.rest(BOOK)


def test_so_nothing_ever_trades_outside(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.set_band(90, 110)

    assert desk.buy("Tara", 9, 110, **IOC) == [
        "2 at 105 with Bob",
        "drops 7 at 110: IMMEDIATE_REMAINDER",
    ]


def test_what_could_trade_outside_a_new_band_leaves_in_slot_order(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.stop("Tara", "buy", 1, 104, 103)
    desk.stop("Tara", "sell", 1, 100, 96)
    desk.iceberg("Tara", "sell", 9, 101, 2)

    assert desk.set_band(102, 103) == [
        "Tara leaves 1 at 104 from 103: BAND_MOVED",
        "Tara leaves 1 at 100 from 96: BAND_MOVED",
        "Tara leaves 2+7 at 101: BAND_MOVED",
        "band 102 to 103",
    ]
    assert desk.book() == tidy(BOOK)
    assert desk.money("Tara") == Desk(type(desk.engine)(SMALL)).money("Tara")


def test_orders_at_the_bounds_stay(desk: Desk) -> None:
    desk.rest(BOOK)

    assert desk.set_band(105, 105) == ["band 105 to 105"]
    assert desk.set_band(95, 95) == ["band 95 to 95"]
    assert desk.set_band(96, 200) == ["band 96 to 200"]
    assert desk.set_band(1, 94) == ["Carol leaves 2 at 95: BAND_MOVED", "band 1 to 94"]
    assert desk.set_band(106, 200) == ["Bob leaves 2 at 105: BAND_MOVED", "band 106 to 200"]


def test_two_noughts_lift_it(desk: Desk) -> None:
    desk.set_band(90, 110)

    assert desk.set_band(0, 0) == ["band 0 to 0"]
    assert desk.buy("Tara", 1, 4000) == ["rests 1 at 4000"]


def test_it_bounds_auctions_as_well(desk: Desk) -> None:
    desk.phase(Phase.AUCTION)
    desk.set_band(100, 100)
    desk.buy("Alice", 5, 100)
    desk.sell("Bob", 5, 100)

    assert desk.buy("Alice", 5, 101) == ["refused: OUTSIDE_BAND"]
    assert desk.sell("Alice", 5, 99) == ["refused: OUTSIDE_BAND"]
    assert desk.phase(Phase.OPEN)[0] == "5 at 100: Alice buys from Bob"


def test_a_stop_is_held_to_its_limit_and_not_to_its_trigger(desk: Desk) -> None:
    desk.set_band(90, 110)

    assert desk.stop("Tara", "buy", 1, 111, 100) == ["refused: OUTSIDE_BAND"]
    assert desk.stop("Tara", "buy", 1, 110, 130) == ["waits 1 at 110 from 130"]
