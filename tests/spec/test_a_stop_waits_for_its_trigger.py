"""When does a stop come in, as what, and in which order when several do?"""

import pytest

from engine.commands import Kind, command, list_market
from engine.types import FILLS_MAX, PRICE_MAX, OrderFlag, Phase, TimeInForce
from tests.ladder import BASE, FOK, IOC, QUOTE, SINGLE_SHOT, SMALL, TAKER_PPM, Driver, tidy
from tests.spec.conftest import Build

BOOK = """
    106 sell  Dave 5
    104 sell  Carol 4
    102 sell  Alice 1, Bob 2
     98 buy   Alice 1, Bob 2
     96 buy   Carol 4
     94 buy   Dave 5
"""


@pytest.fixture(params=["buy", "sell"])
def side(request: pytest.FixtureRequest) -> str:
    """Return the side of the stop; prices mirror at 100."""
    return request.param


def at(side: str, price: int) -> int:
    """Return a price as a buyer sees it, mirrored at 100 for a seller."""
    return price if side == "buy" else 200 - price


def trade(driver: Driver, side: str, lots: int, price: int) -> list[str]:
    """Let Tara take from the side a stop of ``side`` would take from."""
    return (driver.buy if side == "buy" else driver.sell)("Tara", lots, at(side, price), **IOC)


def test_it_waits_outside_the_book_and_holds_its_worst_case(driver: Driver, side: str) -> None:
    driver.rest(BOOK)
    plain = Driver(type(driver.engine)(SMALL))
    plain.send(plain.place("Tara", side, 3, at(side, 103)))

    said = driver.stop("Tara", side, 3, at(side, 103), at(side, 105))

    assert said == [f"waits 3 at {at(side, 103)} from {at(side, 105)}"]
    assert driver.book() == tidy(BOOK)
    assert driver.waiting() == [f"Tara {side} 3 at {at(side, 103)} from {at(side, 105)}"]
    assert driver.money("Tara") == plain.money("Tara")


def test_a_trade_at_the_very_trigger_wakes_it(driver: Driver, side: str) -> None:
    driver.rest(BOOK)
    driver.stop("Dave", side, 1, at(side, 105), at(side, 104))

    trade(driver, side, 3, 102)
    assert len(driver.waiting()) == 1, "102 is not enough"

    assert trade(driver, side, 1, 104) == [
        f"1 at {at(side, 104)} with Carol",
        f"Dave wakes 1 at {at(side, 105)} from {at(side, 104)}",
        f"1 at {at(side, 104)} with Carol",
    ]
    assert driver.waiting() == []


def test_a_trade_beyond_the_trigger_wakes_it(driver: Driver, side: str) -> None:
    driver.rest(BOOK)
    driver.stop("Bob", side, 1, at(side, 105), at(side, 103))

    assert trade(driver, side, 4, 104)[-1] == f"1 at {at(side, 104)} with Carol"
    assert driver.waiting() == []


def test_a_trade_on_the_other_side_of_the_market_wakes_it_too(driver: Driver) -> None:
    driver.rest("104 sell Alice 5\n100 buy Alice 5")
    driver.stop("Bob", "buy", 1, 104, 100)
    driver.stop("Carol", "sell", 1, 90, 99)

    assert driver.sell("Tara", 1, 100, **IOC) == [
        "1 at 100 with Alice",
        "Bob wakes 1 at 104 from 100",
        "1 at 104 with Alice",
    ]


def test_a_price_on_the_wrong_side_of_the_trigger_leaves_it_asleep(
    driver: Driver, side: str
) -> None:
    driver.rest(BOOK)
    other = "sell" if side == "buy" else "buy"
    driver.stop("Dave", other, 1, at(side, 95), at(side, 97))

    trade(driver, side, 7, 104)

    assert len(driver.waiting()) == 1


def test_quotes_wake_nobody(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Tara", "buy", 1, 103, 101)

    driver.sell("Dave", 1, 101)
    driver.buy("Carol", 1, 99)

    assert driver.waiting() == ["Tara buy 1 at 103 from 101"]


def test_what_the_last_trade_has_reached_is_refused(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.buy("Tara", 1, 102)

    assert driver.stop("Tara", "buy", 1, 105, 102) == ["refused: STOP_WOULD_TRIGGER"]
    assert driver.stop("Tara", "buy", 1, 105, 101) == ["refused: STOP_WOULD_TRIGGER"]
    assert driver.stop("Tara", "sell", 1, 95, 102) == ["refused: STOP_WOULD_TRIGGER"]
    assert driver.stop("Tara", "sell", 1, 95, 103) == ["refused: STOP_WOULD_TRIGGER"]
    assert driver.stop("Tara", "buy", 1, 105, 103) == ["waits 1 at 105 from 103"]
    assert driver.stop("Tara", "sell", 1, 95, 101) == ["waits 1 at 95 from 101"]


def test_before_the_first_trade_any_trigger_is_ahead(driver: Driver) -> None:
    assert driver.stop("Tara", "buy", 1, 105, 1) == ["waits 1 at 105 from 1"]
    assert driver.stop("Tara", "sell", 1, 95, PRICE_MAX) == [f"waits 1 at 95 from {PRICE_MAX}"]


# What it becomes.


def test_a_stop_limit_rests_at_the_end_of_its_queue_if_it_finds_nobody(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Tara", "buy", 6, 102, 102)
    driver.buy("Dave", 4, 102)

    assert driver.book() == tidy("""
        106 sell  Dave 5
        104 sell  Carol 4
        102 buy   Dave 1, Tara 6
         98 buy   Alice 1, Bob 2
         96 buy   Carol 4
         94 buy   Dave 5
    """)


def test_the_order_that_woke_it_is_finished_first(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Dave", "buy", 2, 104, 102)

    assert driver.buy("Tara", 4, 102) == [
        "1 at 102 with Alice",
        "2 at 102 with Bob",
        "rests 1 at 102",
        "Dave wakes 2 at 104 from 102",
        "2 at 104 with Carol",
    ]


def test_a_stop_with_a_worst_price_drops_what_it_cannot_have(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Dave", "buy", 9, 104, 102, **IOC)

    assert trade(driver, "buy", 1, 102)[1:] == [
        "Dave wakes 9 at 104 from 102",
        "2 at 102 with Bob",
        "4 at 104 with Carol",
        "drops 3 at 104: IMMEDIATE_REMAINDER",
    ]
    assert driver.money("Dave")[3] == 5 * 94 * 1000 + 5 * 94 * TAKER_PPM // 1000, "only its bid"


@pytest.mark.parametrize("lots", [6, 7])
def test_a_stop_may_be_whole_or_nothing(driver: Driver, lots: int) -> None:
    driver.rest(BOOK)
    driver.stop("Dave", "buy", lots, 104, 102, **FOK)

    said = trade(driver, "buy", 1, 102)[2:]

    whole = ["2 at 102 with Bob", "4 at 104 with Carol"]
    assert said == (whole if lots == 6 else ["drops 7 at 104: NOT_FILLABLE_WHOLE"])


@pytest.mark.parametrize("extra", [0, 1])
def test_a_single_shot_stop_must_manage_with_its_fills(build: Build, extra: int) -> None:
    driver = Driver(build(SMALL._replace(orders=100)))
    driver.stop("Tara", "buy", FILLS_MAX + extra, 100, 100, **SINGLE_SHOT)
    for _ in range(FILLS_MAX + 2):
        driver.send(driver.place("Alice", "sell", 1, 100))

    said = driver.buy("Bob", 1, 100)[2:]

    ends = ["drops 1 at 100: FILLS_EXHAUSTED"] * extra
    assert said == ["1 at 100 with Alice"] * FILLS_MAX + ends


def test_its_self_trade_mode_counts_when_it_wakes(driver: Driver) -> None:
    driver.rest(BOOK)
    expire_maker = int(OrderFlag.SELF_EXPIRE_MAKER)
    driver.stop("Carol", "buy", 6, 106, 102, flags=expire_maker)

    assert trade(driver, "buy", 1, 102)[2:] == [
        "2 at 102 with Bob",
        "Carol leaves 4 at 104: SELF_TRADE",
        "4 at 106 with Dave",
    ]


def test_it_is_the_taker_of_what_it_trades(driver: Driver) -> None:
    driver.rest("102 sell Alice 1, Bob 2")
    driver.stop("Dave", "buy", 2, 102, 102)
    before = driver.money("Dave")

    events = driver.send(driver.place("Tara", "buy", 1, 102))

    last, notional = events[-1], 2 * 102 * 1000
    assert (last["account"], last["maker_account"], last["side"]) == (3, 1, 0)
    assert last["fee_pips"] == notional * TAKER_PPM // 10**6
    held = before[3]
    assert driver.money("Dave") == (
        before[0] + 20,
        0,
        before[2] + held - notional - int(last["fee_pips"]),
        0,
    )


# Several.


def test_buys_wake_before_sells_the_nearest_first_and_then_the_oldest(driver: Driver) -> None:
    driver.rest("110 sell Alice 9\n100 sell Alice 1\n 90 buy Alice 9")
    driver.stop("Bob", "sell", 1, 95, 105)
    driver.stop("Carol", "sell", 1, 95, 106)
    driver.stop("Dave", "buy", 1, 105, 99)
    driver.stop("Bob", "buy", 1, 105, 98)
    driver.stop("Carol", "buy", 1, 104, 98)
    driver.stop("Tara", "sell", 1, 106, 106)

    said = driver.buy("Tara", 1, 100)

    assert [words for words in said if "wakes" in words] == [
        "Bob wakes 1 at 105 from 98",
        "Carol wakes 1 at 104 from 98",
        "Dave wakes 1 at 105 from 99",
        "Carol wakes 1 at 95 from 106",
        "Tara wakes 1 at 106 from 106",
        "Bob wakes 1 at 95 from 105",
    ]


def test_what_a_stop_trades_wakes_the_next_one(driver: Driver) -> None:
    driver.rest("""
        108 sell  Alice 1
        106 sell  Alice 1
        104 sell  Alice 1
        102 sell  Alice 1
    """)
    driver.stop("Dave", "buy", 1, 108, 106)
    driver.stop("Carol", "buy", 1, 108, 104)
    driver.stop("Bob", "buy", 1, 108, 102)

    assert driver.buy("Tara", 1, 102) == [
        "1 at 102 with Alice",
        "Bob wakes 1 at 108 from 102",
        "1 at 104 with Alice",
        "Carol wakes 1 at 108 from 104",
        "1 at 106 with Alice",
        "Dave wakes 1 at 108 from 106",
        "1 at 108 with Alice",
    ]
    assert driver.book() == ""


def test_a_buy_that_is_woken_late_still_goes_before_the_sells_that_wait(driver: Driver) -> None:
    driver.rest("104 sell Alice 2\n102 sell Alice 1\n 90 buy Alice 9")
    driver.stop("Bob", "buy", 1, 104, 102)
    driver.stop("Carol", "buy", 1, 104, 104)
    driver.stop("Dave", "sell", 1, 90, 103)

    said = driver.buy("Tara", 1, 102)

    wakes = [words.split()[0] for words in said if "wakes" in words]
    assert wakes == ["Bob", "Carol", "Dave"]


def test_low_and_high_are_those_of_the_whole_command(driver: Driver) -> None:
    driver.rest("104 sell Alice 1\n102 sell Alice 1\n 90 buy Alice 9")
    driver.stop("Dave", "sell", 1, 90, 102)

    assert driver.buy("Tara", 2, 104)[2:] == ["Dave wakes 1 at 90 from 102", "1 at 90 with Alice"]


def test_an_earlier_commands_trades_wake_nobody_again(driver: Driver) -> None:
    driver.rest("104 sell Alice 5\n102 sell Alice 1\n 90 buy Alice 9")
    driver.buy("Tara", 2, 104)
    driver.stop("Dave", "sell", 1, 90, 102)

    assert driver.buy("Tara", 1, 104) == ["1 at 104 with Alice"]
    assert driver.waiting() == ["Dave sell 1 at 90 from 102"]


def test_a_trade_in_another_market_is_no_trade_here(driver: Driver) -> None:
    driver.stop("Dave", "buy", 1, 104, 102)
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    driver.send(list_market(1, BASE, QUOTE, **terms))
    driver.send(driver.place("Alice", "sell", 1, 103, market=1))
    driver.send(driver.place("Bob", "buy", 1, 103, market=1))

    assert len(driver.waiting()) == 1


# How it leaves without having traded.


def test_it_can_be_cancelled_and_names_its_trigger_once_more(driver: Driver) -> None:
    driver.stop("Tara", "buy", 3, 104, 102)

    assert driver.cancel("Tara", driver.id_of("Tara", 104)) == [
        "Tara leaves 3 at 104 from 102: CANCELLED_BY_OWNER"
    ]
    assert driver.money("Tara") == driver.money("Alice")


def test_it_can_shrink_and_holds_less(driver: Driver) -> None:
    driver.stop("Tara", "buy", 3, 104, 102)
    stop = driver.id_of("Tara", 104)
    events = driver.send(command(Kind.AMEND, account=4, order_id=stop, amount=2))

    assert (events["amount"][0], events["order_left"][0]) == (2, 0), "no lots left the book"
    assert driver.money("Tara")[3] == 2 * 104 * 1000 * (10**6 + TAKER_PPM) // 10**6
    assert driver.amend("Tara", stop, 2) == ["refused: AMEND_NOT_SMALLER"]


def test_it_goes_with_all_the_others_of_its_owner(driver: Driver) -> None:
    driver.stop("Tara", "buy", 3, 104, 102)
    driver.rest("105 sell Tara 1")

    assert driver.cancel_all("Tara") == [
        "Tara leaves 3 at 104 from 102: CANCELLED_BY_OWNER",
        "Tara leaves 1 at 105: CANCELLED_BY_OWNER",
        "Tara cancelled 2",
    ]
    driver.stop("Tara", "sell", 3, 104, 102)
    assert driver.words(driver.send(command(Kind.EXIT_BEGIN, account=4))) == [
        "exit_begun",
        "Tara leaves 3 at 104 from 102: EXITING",
    ]


def test_the_clock_removes_it_when_its_time_is_over(driver: Driver) -> None:
    driver.stop("Tara", "buy", 3, 104, 102, expiry_ns=100)

    assert driver.clock(99) == []
    assert driver.clock(100) == ["Tara leaves 3 at 104 from 102: EXPIRED"]


def test_a_stop_that_is_woken_too_late_leaves_instead(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Dave", "buy", 1, 104, 102, expiry_ns=100)
    driver.stop("Carol", "buy", 1, 102, 102, expiry_ns=101)
    driver.time_ns = 100

    assert trade(driver, "buy", 1, 102)[1:] == [
        "Dave leaves 1 at 104 from 102: EXPIRED",
        "Carol wakes 1 at 102 from 102",
        "1 at 102 with Bob",
    ]


def test_it_sleeps_while_its_market_is_closed_and_wakes_by_the_next_trade(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Dave", "buy", 1, 104, 102)
    driver.phase(Phase.HALTED)
    driver.phase(Phase.OPEN)

    assert driver.waiting() == ["Dave buy 1 at 104 from 102"]
    assert trade(driver, "buy", 1, 102)[1] == "Dave wakes 1 at 104 from 102"


def test_its_slot_is_free_when_it_is_done(driver: Driver) -> None:
    driver.rest("102 sell Alice 2")
    driver.stop("Dave", "buy", 1, 102, 102)
    stop = driver.id_of("Dave", 102)
    driver.buy("Tara", 1, 102)
    driver.sell("Bob", 1, 105)

    assert driver.id_of("Bob", 105) == stop + 2**32, "the stop was the last to leave"
    assert driver.cancel("Dave", stop) == ["refused: NOT_RESTING"]


def test_terms_of_an_armed_stop_are_part_of_the_state(build: Build) -> None:
    hashes = set()
    for tif in TimeInForce:
        for trigger in (102, 103):
            driver = Driver(build(SMALL))
            driver.stop("Tara", "buy", 1, 104, trigger, tif=int(tif))
            hashes.add(driver.engine.state_hash())

    assert len(hashes) == 6
