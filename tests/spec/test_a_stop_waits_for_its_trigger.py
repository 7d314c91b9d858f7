"""When does a stop come in, as what, and in which order when several do?"""

import pytest

from engine.commands import Kind, command, list_market
from engine.types import FILLS_MAX, PRICE_MAX, OrderFlag, Phase, TimeInForce
from tests.ladder import BASE, FOK, IOC, QUOTE, SINGLE_SHOT, SMALL, TAKER_PPM, Desk, tidy
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


def trade(desk: Desk, side: str, lots: int, price: int) -> list[str]:
    """Let Tara take from the side a stop of ``side`` would take from."""
    return (desk.buy if side == "buy" else desk.sell)("Tara", lots, at(side, price), **IOC)


def test_it_waits_outside_the_book_and_holds_its_worst_case(desk: Desk, side: str) -> None:
    desk.rest(BOOK)
    plain = Desk(type(desk.engine)(SMALL))
    plain.send(plain.place("Tara", side, 3, at(side, 103)))

    said = desk.stop("Tara", side, 3, at(side, 103), at(side, 105))

    assert said == [f"waits 3 at {at(side, 103)} from {at(side, 105)}"]
    assert desk.book() == tidy(BOOK)
    assert desk.waiting() == [f"Tara {side} 3 at {at(side, 103)} from {at(side, 105)}"]
    assert desk.money("Tara") == plain.money("Tara")


def test_a_trade_at_the_very_trigger_wakes_it(desk: Desk, side: str) -> None:
    desk.rest(BOOK)
    desk.stop("Dave", side, 1, at(side, 105), at(side, 104))

    trade(desk, side, 3, 102)
    assert len(desk.waiting()) == 1, "102 is not enough"

    assert trade(desk, side, 1, 104) == [
        f"1 at {at(side, 104)} with Carol",
        f"Dave wakes 1 at {at(side, 105)} from {at(side, 104)}",
        f"1 at {at(side, 104)} with Carol",
    ]
    assert desk.waiting() == []


def test_a_trade_beyond_the_trigger_wakes_it(desk: Desk, side: str) -> None:
    desk.rest(BOOK)
    desk.stop("Bob", side, 1, at(side, 105), at(side, 103))

    assert trade(desk, side, 4, 104)[-1] == f"1 at {at(side, 104)} with Carol"
    assert desk.waiting() == []


def test_a_trade_on_the_other_side_of_the_market_wakes_it_too(desk: Desk) -> None:
    desk.rest("104 sell Alice 5\n100 buy Alice 5")
    desk.stop("Bob", "buy", 1, 104, 100)
    desk.stop("Carol", "sell", 1, 90, 99)

    assert desk.sell("Tara", 1, 100, **IOC) == [
        "1 at 100 with Alice",
        "Bob wakes 1 at 104 from 100",
        "1 at 104 with Alice",
    ]


def test_a_price_on_the_wrong_side_of_the_trigger_leaves_it_asleep(desk: Desk, side: str) -> None:
    desk.rest(BOOK)
    other = "sell" if side == "buy" else "buy"
    desk.stop("Dave", other, 1, at(side, 95), at(side, 97))

    trade(desk, side, 7, 104)

    assert len(desk.waiting()) == 1


def test_quotes_wake_nobody(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.stop("Tara", "buy", 1, 103, 101)

    desk.sell("Dave", 1, 101)
    desk.buy("Carol", 1, 99)

    assert desk.waiting() == ["Tara buy 1 at 103 from 101"]


def test_what_the_last_trade_has_reached_is_refused(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.buy("Tara", 1, 102)

    assert desk.stop("Tara", "buy", 1, 105, 102) == ["refused: STOP_WOULD_TRIGGER"]
    assert desk.stop("Tara", "buy", 1, 105, 101) == ["refused: STOP_WOULD_TRIGGER"]
    assert desk.stop("Tara", "sell", 1, 95, 102) == ["refused: STOP_WOULD_TRIGGER"]
    assert desk.stop("Tara", "sell", 1, 95, 103) == ["refused: STOP_WOULD_TRIGGER"]
    assert desk.stop("Tara", "buy", 1, 105, 103) == ["waits 1 at 105 from 103"]
    assert desk.stop("Tara", "sell", 1, 95, 101) == ["waits 1 at 95 from 101"]


def test_before_the_first_trade_any_trigger_is_ahead(desk: Desk) -> None:
    assert desk.stop("Tara", "buy", 1, 105, 1) == ["waits 1 at 105 from 1"]
    assert desk.stop("Tara", "sell", 1, 95, PRICE_MAX) == [f"waits 1 at 95 from {PRICE_MAX}"]


# What it becomes.


def test_a_stop_limit_rests_at_the_end_of_its_queue_if_it_finds_nobody(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.stop("Tara", "buy", 6, 102, 102)
    desk.buy("Dave", 4, 102)

    assert desk.book() == tidy("""
        106 sell  Dave 5
        104 sell  Carol 4
        102 buy   Dave 1, Tara 6
         98 buy   Alice 1, Bob 2
         96 buy   Carol 4
         94 buy   Dave 5
    """)


def test_the_order_that_woke_it_is_finished_first(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.stop("Dave", "buy", 2, 104, 102)

    assert desk.buy("Tara", 4, 102) == [
        "1 at 102 with Alice",
        "2 at 102 with Bob",
        "rests 1 at 102",
        "Dave wakes 2 at 104 from 102",
        "2 at 104 with Carol",
    ]


def test_a_stop_with_a_worst_price_drops_what_it_cannot_have(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.stop("Dave", "buy", 9, 104, 102, **IOC)

    assert trade(desk, "buy", 1, 102)[1:] == [
        "Dave wakes 9 at 104 from 102",
        "2 at 102 with Bob",
        "4 at 104 with Carol",
        "drops 3 at 104: IMMEDIATE_REMAINDER",
    ]
    assert desk.money("Dave")[3] == 5 * 94 * 1000 + 5 * 94 * TAKER_PPM // 1000, "only its bid"


@pytest.mark.parametrize("lots", [6, 7])
def test_a_stop_may_be_whole_or_nothing(desk: Desk, lots: int) -> None:
    desk.rest(BOOK)
    desk.stop("Dave", "buy", lots, 104, 102, **FOK)

    said = trade(desk, "buy", 1, 102)[2:]

    whole = ["2 at 102 with Bob", "4 at 104 with Carol"]
    assert said == (whole if lots == 6 else ["drops 7 at 104: NOT_FILLABLE_WHOLE"])


@pytest.mark.parametrize("extra", [0, 1])
def test_a_single_shot_stop_must_manage_with_its_fills(build: Build, extra: int) -> None:
    desk = Desk(build(SMALL._replace(orders=100)))
    desk.stop("Tara", "buy", FILLS_MAX + extra, 100, 100, **SINGLE_SHOT)
    for _ in range(FILLS_MAX + 2):
        desk.send(desk.place("Alice", "sell", 1, 100))

    said = desk.buy("Bob", 1, 100)[2:]

    ends = ["drops 1 at 100: FILLS_EXHAUSTED"] * extra
    assert said == ["1 at 100 with Alice"] * FILLS_MAX + ends


def test_its_self_trade_mode_counts_when_it_wakes(desk: Desk) -> None:
    desk.rest(BOOK)
    expire_maker = int(OrderFlag.SELF_EXPIRE_MAKER)
    desk.stop("Carol", "buy", 6, 106, 102, flags=expire_maker)

    assert trade(desk, "buy", 1, 102)[2:] == [
        "2 at 102 with Bob",
        "Carol leaves 4 at 104: SELF_TRADE",
        "4 at 106 with Dave",
    ]


def test_it_is_the_taker_of_what_it_trades(desk: Desk) -> None:
    desk.rest("102 sell Alice 1, Bob 2")
    desk.stop("Dave", "buy", 2, 102, 102)
    before = desk.money("Dave")

    events = desk.send(desk.place("Tara", "buy", 1, 102))

    last, notional = events[-1], 2 * 102 * 1000
    assert (last["account"], last["maker_account"], last["side"]) == (3, 1, 0)
    assert last["fee_pips"] == notional * TAKER_PPM // 10**6
    held = before[3]
    assert desk.money("Dave") == (
        before[0] + 20,
        0,
        before[2] + held - notional - int(last["fee_pips"]),
        0,
    )


# Several.


def test_buys_wake_before_sells_the_nearest_first_and_then_the_oldest(desk: Desk) -> None:
    desk.rest("110 sell Alice 9\n100 sell Alice 1\n 90 buy Alice 9")
    desk.stop("Bob", "sell", 1, 95, 105)
    desk.stop("Carol", "sell", 1, 95, 106)
    desk.stop("Dave", "buy", 1, 105, 99)
    desk.stop("Bob", "buy", 1, 105, 98)
    desk.stop("Carol", "buy", 1, 104, 98)
    desk.stop("Tara", "sell", 1, 106, 106)

    said = desk.buy("Tara", 1, 100)

    assert [words for words in said if "wakes" in words] == [
        "Bob wakes 1 at 105 from 98",
        "Carol wakes 1 at 104 from 98",
        "Dave wakes 1 at 105 from 99",
        "Carol wakes 1 at 95 from 106",
        "Tara wakes 1 at 106 from 106",
        "Bob wakes 1 at 95 from 105",
    ]


def test_what_a_stop_trades_wakes_the_next_one(desk: Desk) -> None:
    desk.rest("""
        108 sell  Alice 1
        106 sell  Alice 1
        104 sell  Alice 1
        102 sell  Alice 1
    """)
    desk.stop("Dave", "buy", 1, 108, 106)
    desk.stop("Carol", "buy", 1, 108, 104)
    desk.stop("Bob", "buy", 1, 108, 102)

    assert desk.buy("Tara", 1, 102) == [
        "1 at 102 with Alice",
        "Bob wakes 1 at 108 from 102",
        "1 at 104 with Alice",
        "Carol wakes 1 at 108 from 104",
        "1 at 106 with Alice",
        "Dave wakes 1 at 108 from 106",
        "1 at 108 with Alice",
    ]
    assert desk.book() == ""


def test_a_buy_that_is_woken_late_still_goes_before_the_sells_that_wait(desk: Desk) -> None:
    desk.rest("104 sell Alice 2\n102 sell Alice 1\n 90 buy Alice 9")
    desk.stop("Bob", "buy", 1, 104, 102)
    desk.stop("Carol", "buy", 1, 104, 104)
    desk.stop("Dave", "sell", 1, 90, 103)

    said = desk.buy("Tara", 1, 102)

    wakes = [words.split()[0] for words in said if "wakes" in words]
    assert wakes == ["Bob", "Carol", "Dave"]


def test_low_and_high_are_those_of_the_whole_command(desk: Desk) -> None:
    desk.rest("104 sell Alice 1\n102 sell Alice 1\n 90 buy Alice 9")
    desk.stop("Dave", "sell", 1, 90, 102)

    assert desk.buy("Tara", 2, 104)[2:] == ["Dave wakes 1 at 90 from 102", "1 at 90 with Alice"]


def test_an_earlier_commands_trades_wake_nobody_again(desk: Desk) -> None:
    desk.rest("104 sell Alice 5\n102 sell Alice 1\n 90 buy Alice 9")
    desk.buy("Tara", 2, 104)
    desk.stop("Dave", "sell", 1, 90, 102)

    assert desk.buy("Tara", 1, 104) == ["1 at 104 with Alice"]
    assert desk.waiting() == ["Dave sell 1 at 90 from 102"]


def test_a_trade_in_another_market_is_no_trade_here(desk: Desk) -> None:
    desk.stop("Dave", "buy", 1, 104, 102)
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    desk.send(list_market(1, BASE, QUOTE, **terms))
    desk.send(desk.place("Alice", "sell", 1, 103, market=1))
    desk.send(desk.place("Bob", "buy", 1, 103, market=1))

    assert len(desk.waiting()) == 1


# How it leaves without having traded.


def test_it_can_be_cancelled_and_names_its_trigger_once_more(desk: Desk) -> None:
    desk.stop("Tara", "buy", 3, 104, 102)

    assert desk.cancel("Tara", desk.id_of("Tara", 104)) == [
        "Tara leaves 3 at 104 from 102: CANCELLED_BY_OWNER"
    ]
    assert desk.money("Tara") == desk.money("Alice")


def test_it_can_shrink_and_holds_less(desk: Desk) -> None:
    desk.stop("Tara", "buy", 3, 104, 102)
    stop = desk.id_of("Tara", 104)
    events = desk.send(command(Kind.AMEND, account=4, order_id=stop, amount=2))

    assert (events["amount"][0], events["order_left"][0]) == (2, 0), "no lots left the book"
    assert desk.money("Tara")[3] == 2 * 104 * 1000 * (10**6 + TAKER_PPM) // 10**6
    assert desk.amend("Tara", stop, 2) == ["refused: AMEND_NOT_SMALLER"]


def test_it_goes_with_all_the_others_of_its_owner(desk: Desk) -> None:
    desk.stop("Tara", "buy", 3, 104, 102)
    desk.rest("105 sell Tara 1")

    assert desk.cancel_all("Tara") == [
        "Tara leaves 3 at 104 from 102: CANCELLED_BY_OWNER",
        "Tara leaves 1 at 105: CANCELLED_BY_OWNER",
        "Tara cancelled 2",
    ]
    desk.stop("Tara", "sell", 3, 104, 102)
    assert desk.words(desk.send(command(Kind.EXIT_BEGIN, account=4))) == [
        "exit_begun",
        "Tara leaves 3 at 104 from 102: EXITING",
    ]


def test_the_clock_removes_it_when_its_time_is_over(desk: Desk) -> None:
    desk.stop("Tara", "buy", 3, 104, 102, expiry_ns=100)

    assert desk.clock(99) == []
    assert desk.clock(100) == ["Tara leaves 3 at 104 from 102: EXPIRED"]


def test_a_stop_that_is_woken_too_late_leaves_instead(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.stop("Dave", "buy", 1, 104, 102, expiry_ns=100)
    desk.stop("Carol", "buy", 1, 102, 102, expiry_ns=101)
    desk.time_ns = 100

    assert trade(desk, "buy", 1, 102)[1:] == [
        "Dave leaves 1 at 104 from 102: EXPIRED",
        "Carol wakes 1 at 102 from 102",
        "1 at 102 with Bob",
    ]


def test_it_sleeps_while_its_market_is_closed_and_wakes_by_the_next_trade(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.stop("Dave", "buy", 1, 104, 102)
    desk.phase(Phase.HALTED)
    desk.phase(Phase.OPEN)

    assert desk.waiting() == ["Dave buy 1 at 104 from 102"]
    assert trade(desk, "buy", 1, 102)[1] == "Dave wakes 1 at 104 from 102"


def test_its_slot_is_free_when_it_is_done(desk: Desk) -> None:
    desk.rest("102 sell Alice 2")
    desk.stop("Dave", "buy", 1, 102, 102)
    stop = desk.id_of("Dave", 102)
    desk.buy("Tara", 1, 102)
    desk.sell("Bob", 1, 105)

    assert desk.id_of("Bob", 105) == stop + 2**32, "the stop was the last to leave"
    assert desk.cancel("Dave", stop) == ["refused: NOT_RESTING"]


def test_terms_of_an_armed_stop_are_part_of_the_state(build: Build) -> None:
    hashes = set()
    for tif in TimeInForce:
        for trigger in (102, 103):
            desk = Desk(build(SMALL))
            desk.stop("Tara", "buy", 1, 104, trigger, tif=int(tif))
            hashes.add(desk.engine.state_hash())

    assert len(hashes) == 6
