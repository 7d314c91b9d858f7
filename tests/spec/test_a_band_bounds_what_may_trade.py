"""Which orders does a price band keep out, and what leaves when it moves?"""

from engine.types import Phase
from tests.ladder import IOC, SMALL, Driver, tidy

BOOK = """
    120 sell  Alice 3
    105 sell  Bob 2
     95 buy   Carol 2
     80 buy   Dave 3
"""


def test_no_buy_above_and_no_sell_below(driver: Driver) -> None:
    driver.set_band(90, 110)

    assert driver.buy("Tara", 1, 111) == ["refused: OUTSIDE_BAND"]
    assert driver.sell("Tara", 1, 89, **IOC) == ["refused: OUTSIDE_BAND"]
    assert driver.buy("Tara", 1, 110) == ["rests 1 at 110"]
    assert driver.sell("Bob", 1, 90, **IOC) == ["1 at 110 with Tara"]


def test_passive_orders_may_stand_as_far_away_as_they_like(driver: Driver) -> None:
    driver.set_band(90, 110)

    driver.rest(BOOK)


def test_so_nothing_ever_trades_outside(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.set_band(90, 110)

    assert driver.buy("Tara", 9, 110, **IOC) == [
        "2 at 105 with Bob",
        "drops 7 at 110: IMMEDIATE_REMAINDER",
    ]


def test_what_could_trade_outside_a_new_band_leaves_in_slot_order(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Tara", "buy", 1, 104, 103)
    driver.stop("Tara", "sell", 1, 100, 96)
    driver.iceberg("Tara", "sell", 9, 101, 2)

    assert driver.set_band(102, 103) == [
        "Tara leaves 1 at 104 from 103: BAND_MOVED",
        "Tara leaves 1 at 100 from 96: BAND_MOVED",
        "Tara leaves 2+7 at 101: BAND_MOVED",
        "band 102 to 103",
    ]
    assert driver.book() == tidy(BOOK)
    assert driver.money("Tara") == Driver(type(driver.engine)(SMALL)).money("Tara")


def test_orders_at_the_bounds_stay(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.set_band(105, 105) == ["band 105 to 105"]
    assert driver.set_band(95, 95) == ["band 95 to 95"]
    assert driver.set_band(96, 200) == ["band 96 to 200"]
    assert driver.set_band(1, 94) == ["Carol leaves 2 at 95: BAND_MOVED", "band 1 to 94"]
    assert driver.set_band(106, 200) == ["Bob leaves 2 at 105: BAND_MOVED", "band 106 to 200"]


def test_two_noughts_lift_it(driver: Driver) -> None:
    driver.set_band(90, 110)

    assert driver.set_band(0, 0) == ["band 0 to 0"]
    assert driver.buy("Tara", 1, 4000) == ["rests 1 at 4000"]


def test_it_bounds_auctions_as_well(driver: Driver) -> None:
    driver.phase(Phase.AUCTION)
    driver.set_band(100, 100)
    driver.buy("Alice", 5, 100)
    driver.sell("Bob", 5, 100)

    assert driver.buy("Alice", 5, 101) == ["refused: OUTSIDE_BAND"]
    assert driver.sell("Alice", 5, 99) == ["refused: OUTSIDE_BAND"]
    assert driver.phase(Phase.OPEN)[0] == "5 at 100: Alice buys from Bob"


def test_a_stop_is_held_to_its_limit_and_not_to_its_trigger(driver: Driver) -> None:
    driver.set_band(90, 110)

    assert driver.stop("Tara", "buy", 1, 111, 100) == ["refused: OUTSIDE_BAND"]
    assert driver.stop("Tara", "buy", 1, 110, 130) == ["waits 1 at 110 from 130"]
