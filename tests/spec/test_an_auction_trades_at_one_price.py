"""At which price does a call auction trade, who trades, and what is left?"""

import pytest

from engine.commands import Kind, command
from engine.events import EventKind
from engine.types import Outcome, Phase, Side
from tests.ladder import MAKER_PPM, TAKER_PPM, TICK_PIPS, Driver, parse, tidy


def collect(driver: Driver, drawing: str) -> None:
    """Let the orders of a ladder come in during an auction; nothing may trade yet."""
    driver.phase(Phase.AUCTION)
    for order in parse(drawing):
        side, lots = order.side.name.lower(), order.lots + order.hidden
        if order.hidden:
            said = driver.iceberg(order.name, side, lots, order.price, order.lots)
        else:
            said = driver.send(driver.place(order.name, side, lots, order.price))["kind"].tolist()
            said = ["rests" if said == [EventKind.ACCEPTED, EventKind.RESTED] else str(said)]
        assert len(said) == 1 and said[0].startswith("rests"), said
    assert driver.book() == tidy(drawing)


def price_of(driver: Driver, drawing: str) -> int:
    """Return the price at which these orders are uncrossed."""
    collect(driver, drawing)
    events = driver.send(command(Kind.SET_PHASE, amount=Phase.OPEN))
    (uncrossed,) = events[events["kind"] == EventKind.UNCROSSED]
    trades = events[events["kind"] == EventKind.TRADE]
    assert set(trades["price_ticks"].tolist()) == {int(uncrossed["price_ticks"])}
    assert int(trades["amount"].sum()) == uncrossed["amount"]
    return int(uncrossed["price_ticks"])


def last_price(driver: Driver, price: int) -> None:
    """Let one lot trade at ``price``."""
    driver.sell("Dave", 1, price)
    driver.buy("Tara", 1, price)


# Collecting.


def test_orders_rest_without_matching_even_where_they_cross(driver: Driver) -> None:
    collect(
        driver,
        """
        102 buy   Alice 3
        101 sell  Bob 1
        101 buy   Carol 2
        100 sell  Alice 4+4
        """,
    )
    assert driver.engine.best(0, Side.BUY) == 102
    assert driver.engine.best(0, Side.SELL) == 100


def test_what_could_not_wait_is_refused(driver: Driver) -> None:
    driver.phase(Phase.AUCTION)

    assert driver.buy("Alice", 1, 100, tif=1) == ["refused: MARKET_IN_AUCTION"]
    assert driver.buy("Alice", 1, 100, tif=2) == ["refused: MARKET_IN_AUCTION"]
    assert driver.buy("Alice", 1, 100, flags=1) == ["refused: MARKET_IN_AUCTION"]


def test_orders_may_shrink_move_and_leave_meanwhile(driver: Driver) -> None:
    collect(driver, "102 buy Alice 3\n100 sell Bob 4+4")

    assert driver.amend("Alice", driver.id_of("Alice", 102), 2) == ["Alice keeps 2 at 102"]
    assert driver.replace("Bob", driver.id_of("Bob", 100), 5, 99)[1] == "rests 5 at 99"
    assert driver.cancel("Alice", driver.id_of("Alice", 102))[0].startswith("Alice leaves 2")


def test_without_a_cross_nothing_is_said_but_the_phase(driver: Driver) -> None:
    collect(driver, "102 sell Alice 3\n100 buy Bob 4")

    assert driver.phase(Phase.OPEN) == ["phase OPEN"]


def test_closing_instead_of_opening_leaves_it_crossed_until_it_opens(driver: Driver) -> None:
    drawing = "102 buy Alice 3\n100 sell Bob 3"
    collect(driver, drawing)

    for phase in (Phase.CANCEL_ONLY, Phase.HALTED, Phase.AUCTION, Phase.HALTED):
        assert driver.phase(phase) == [f"phase {phase.name}"]
        assert driver.book() == tidy(drawing)
    assert driver.phase(Phase.OPEN)[0] == "3 at 100: Alice buys from Bob"


def test_post_only_opens_it_too(driver: Driver) -> None:
    collect(driver, "102 buy Alice 3\n100 sell Bob 3")

    assert driver.phase(Phase.POST_ONLY) == [
        "3 at 100: Alice buys from Bob",
        "uncrossed 3 at 100",
        "phase POST_ONLY",
    ]


# The price.


def test_most_lots_change_hands(driver: Driver) -> None:
    drawing = """
        104 buy   Alice 2
        103 sell  Carol 4
        102 sell  Bob 1
        102 buy   Alice 5
        101 sell  Bob 3
        100 sell  Bob 2
         99 buy   Carol 9
    """
    assert price_of(driver, drawing) == 102
    assert driver.book() == "103 sell Carol 4\n102 buy Alice 1\n99 buy Carol 9"


def test_then_the_fewest_are_left_over(driver: Driver) -> None:
    """At 101 seven are bid and five offered, at 103 six: 103 leaves one."""
    drawing = """
        103 buy   Alice 6
        101 buy   Alice 1
        100 sell  Bob 5
    """
    assert price_of(driver, drawing) == 103


def test_then_the_highest_if_too_many_are_bid(driver: Driver) -> None:
    assert price_of(driver, "105 buy Alice 9\n101 sell Bob 4") == 105


def test_and_the_lowest_if_too_many_are_offered(driver: Driver) -> None:
    assert price_of(driver, "105 buy Alice 4\n101 sell Bob 9") == 101


def test_in_balance_the_lowest_if_nothing_ever_traded(driver: Driver) -> None:
    assert price_of(driver, "105 buy Alice 4\n101 sell Bob 4") == 101


@pytest.mark.parametrize(
    ("last", "price"), [(90, 101), (101, 101), (102, 101), (103, 101), (104, 105), (200, 105)]
)
def test_in_balance_the_nearest_to_the_last_trade_of_two_the_lower(
    driver: Driver, last: int, price: int
) -> None:
    last_price(driver, last)

    assert price_of(driver, "105 buy Alice 4\n101 sell Bob 4") == price


def test_a_surplus_on_both_sides_is_as_good_as_a_balance(driver: Driver) -> None:
    """At 101 one too few are offered, at 103 one too few are bid; both trade three."""
    last_price(driver, 103)
    drawing = """
        104 buy   Alice 3
        103 sell  Carol 1
        101 buy   Dave 1
        100 sell  Bob 3
    """
    assert price_of(driver, drawing) == 103


def test_only_prices_with_orders_between_best_ask_and_best_bid_come_into_question(
    driver: Driver,
) -> None:
    last_price(driver, 103)
    drawing = """
        109 sell  Dave 5
        106 buy   Alice 4
        101 sell  Bob 4
         90 buy   Dave 5
    """
    assert price_of(driver, drawing) == 101


def test_hidden_lots_weigh_as_much_as_visible_ones(driver: Driver) -> None:
    assert price_of(driver, "105 buy Alice 4\n101 sell Bob 1+8") == 101


def test_a_locked_book_trades_at_its_price(driver: Driver) -> None:
    assert price_of(driver, "100 sell Bob 3\n100 buy Alice 5") == 100
    assert driver.book() == "100 buy Alice 2"


# Who trades.


def test_price_then_time_decides_on_both_sides(driver: Driver) -> None:
    collect(
        driver,
        """
        104 buy   Alice 2, Carol 3
        102 buy   Dave 5
        101 sell  Bob 2
        100 sell  Tara 1, Bob 3
        """,
    )
    assert driver.phase(Phase.OPEN) == [
        "1 at 102: Alice buys from Tara",
        "1 at 102: Alice buys from Bob",
        "2 at 102: Carol buys from Bob",
        "1 at 102: Carol buys from Bob",
        "1 at 102: Dave buys from Bob",
        "uncrossed 6 at 102",
        "phase OPEN",
    ]
    assert driver.book() == "102 buy Dave 4"


def test_icebergs_show_part_after_part_the_buyers_first(driver: Driver) -> None:
    collect(
        driver,
        """
        102 buy   Alice 2+3, Carol 1
        100 sell  Bob 2+2, Dave 2
        """,
    )
    assert driver.phase(Phase.OPEN) == [
        "2 at 100: Alice buys from Bob",
        "Alice shows 2+1 at 102",
        "Bob shows 2 at 100",
        "1 at 100: Carol buys from Dave",
        "1 at 100: Alice buys from Dave",
        "1 at 100: Alice buys from Bob",
        "Alice shows 1 at 102",
        "1 at 100: Alice buys from Bob",
        "uncrossed 6 at 100",
        "phase OPEN",
    ]
    assert driver.book() == ""


def test_everybody_pays_the_one_price_and_what_a_maker_pays(driver: Driver) -> None:
    before = driver.money("Alice"), driver.money("Bob")
    collect(driver, "105 buy Alice 7\n101 sell Bob 7")

    event = driver.send(command(Kind.SET_PHASE, amount=Phase.OPEN))[0]

    notional = 7 * 101 * TICK_PIPS
    fee = notional * MAKER_PPM // 10**6
    assert (event["outcome"], event["side"]) == (Outcome.AUCTION, Side.BUY)
    assert (event["account"], event["maker_account"]) == (0, 1)
    assert (event["fee_pips"], event["maker_fee_pips"]) == (fee, fee)
    assert driver.money("Alice") == (before[0][0] + 70, 0, before[0][2] - notional - fee, 0)
    assert driver.money("Bob") == (before[1][0] - 70, 0, before[1][2] + notional - fee, 0)
    assert driver.engine.fees(1) == 2 * fee


def test_nobody_earns_a_rebate_in_an_auction(driver: Driver) -> None:
    driver.set_terms(maker_fee_ppm=-TAKER_PPM)
    collect(driver, "105 buy Alice 7\n101 sell Bob 7")

    event = driver.send(command(Kind.SET_PHASE, amount=Phase.OPEN))[0]

    assert (event["fee_pips"], event["maker_fee_pips"]) == (0, 0)


def test_what_is_left_of_a_buyer_holds_for_its_own_limit_again(driver: Driver) -> None:
    collect(driver, "105 buy Alice 9\n101 sell Bob 2")
    driver.phase(Phase.OPEN)

    notional = 7 * 105 * TICK_PIPS
    assert driver.money("Alice")[3] == notional + notional * TAKER_PPM // 10**6


# Orders of one account.


@pytest.mark.parametrize(
    ("buys", "sells", "said"),
    [
        ("3", "3", ["leaves 3 at 102", "leaves 3 at 100"]),
        ("5", "3", ["keeps 2 at 102", "leaves 3 at 100"]),
        ("3", "5", ["leaves 3 at 102", "keeps 2 at 100"]),
        (
            "2+3",
            "2",
            ["keeps 0+3 at 102", "shows 2+1 at 102", "leaves 2 at 100"],
        ),
        (
            "2+2",
            "1+3",
            [
                *("keeps 1+2 at 102", "keeps 0+3 at 100", "shows 1+2 at 100"),
                *("keeps 0+2 at 102", "shows 2 at 102", "keeps 0+2 at 100", "shows 1+1 at 100"),
                *("keeps 1 at 102", "keeps 0+1 at 100", "shows 1 at 100"),
                *("leaves 1 at 102", "leaves 1 at 100"),
            ],
        ),
    ],
)
def test_they_lose_lots_without_a_trade_the_buyer_first(
    driver: Driver, buys: str, sells: str, said: list[str]
) -> None:
    collect(driver, f"102 buy Tara {buys}\n100 sell Tara {sells}")

    found = driver.phase(Phase.OPEN)

    shown = [words.removesuffix(": SELF_TRADE").removeprefix("Tara ") for words in found]
    assert shown[:-2] == said
    price = found[-2].rsplit(maxsplit=1)[-1]
    assert found[-2:] == [f"uncrossed 0 at {price}", "phase OPEN"]


def test_a_decremented_order_says_how_many_visible_lots_left(driver: Driver) -> None:
    collect(driver, "102 buy Tara 2+3\n100 sell Tara 1, Bob 1")

    event = driver.send(command(Kind.SET_PHASE, amount=Phase.OPEN))[0]

    fields = ("kind", "outcome", "amount", "order_left", "maker_left")
    expected = [EventKind.AMENDED, Outcome.SELF_TRADE, 1, 1, 3]
    assert [int(event[name]) for name in fields] == expected


def test_where_nothing_traded_there_is_no_last_price(driver: Driver) -> None:
    collect(driver, "102 buy Tara 3\n100 sell Tara 3")
    driver.phase(Phase.OPEN)

    assert driver.stop("Alice", "buy", 1, 105, 1) == ["waits 1 at 105 from 1"]


# Time and stops.


def test_what_has_expired_leaves_before_the_price_is_found(driver: Driver) -> None:
    collect(driver, "100 sell Bob 3")
    driver.buy("Alice", 9, 105, expiry_ns=100)
    driver.buy("Carol", 3, 102)
    driver.stop("Dave", "buy", 1, 105, 104, expiry_ns=100)
    driver.time_ns = 100

    assert driver.phase(Phase.OPEN) == [
        "Alice leaves 9 at 105: EXPIRED",
        "Dave leaves 1 at 105 from 104: EXPIRED",
        "3 at 100: Carol buys from Bob",
        "uncrossed 3 at 100",
        "phase OPEN",
    ]


def test_if_only_the_dead_crossed_nothing_is_uncrossed(driver: Driver) -> None:
    collect(driver, "100 sell Bob 3")
    driver.buy("Alice", 9, 105, expiry_ns=100)
    driver.time_ns = 100

    assert driver.phase(Phase.OPEN) == ["Alice leaves 9 at 105: EXPIRED", "phase OPEN"]


def test_a_market_that_is_not_crossed_is_not_swept(driver: Driver) -> None:
    driver.phase(Phase.AUCTION)
    driver.buy("Alice", 9, 105, expiry_ns=100)
    driver.time_ns = 100

    assert driver.phase(Phase.OPEN) == ["phase OPEN"]


def test_stops_wake_by_the_auctions_price_once_the_market_is_open(driver: Driver) -> None:
    collect(driver, "110 sell Dave 9\n105 buy Alice 3\n101 sell Bob 3\n 90 buy Dave 9")
    driver.stop("Carol", "buy", 1, 110, 101)
    driver.stop("Tara", "buy", 1, 110, 102)
    driver.stop("Tara", "sell", 1, 95, 101)

    assert driver.phase(Phase.OPEN) == [
        "3 at 101: Alice buys from Bob",
        "uncrossed 3 at 101",
        "phase OPEN",
        "Carol wakes 1 at 110 from 101",
        "1 at 110 with Dave",
        "Tara wakes 1 at 110 from 102",
        "1 at 110 with Dave",
        "Tara wakes 1 at 95 from 101",
        "rests 1 at 95",
    ]


def test_opening_for_posts_alone_wakes_no_stop(driver: Driver) -> None:
    collect(driver, "105 buy Alice 3\n101 sell Bob 3")
    driver.stop("Carol", "buy", 1, 110, 101)

    assert driver.phase(Phase.POST_ONLY)[-1] == "phase POST_ONLY"
    assert driver.waiting() == ["Carol buy 1 at 110 from 101"]


def test_a_stop_in_an_auction_is_held_to_the_last_trade(driver: Driver) -> None:
    last_price(driver, 103)
    driver.phase(Phase.AUCTION)

    assert driver.stop("Carol", "buy", 1, 110, 103) == ["refused: STOP_WOULD_TRIGGER"]
    assert driver.stop("Carol", "buy", 1, 110, 104, tif=1) == ["waits 1 at 110 from 104"]


def test_the_auctions_price_is_the_last_price(driver: Driver) -> None:
    collect(driver, "105 buy Alice 3\n101 sell Bob 3")
    driver.phase(Phase.OPEN)

    assert driver.stop("Carol", "buy", 1, 110, 101) == ["refused: STOP_WOULD_TRIGGER"]
    assert driver.stop("Carol", "buy", 1, 110, 102) == ["waits 1 at 110 from 102"]


def test_continuous_trading_goes_on_in_the_uncrossed_book(driver: Driver) -> None:
    collect(driver, "105 buy Alice 5\n101 sell Bob 3")
    driver.phase(Phase.OPEN)

    assert driver.book() == "105 buy Alice 2"
    assert driver.sell("Tara", 1, 104) == ["1 at 105 with Alice"]


def test_a_reopening_works_like_an_opening(driver: Driver) -> None:
    driver.rest("103 sell Dave 2\n 99 buy Carol 2")
    driver.phase(Phase.HALTED)
    driver.phase(Phase.AUCTION)
    driver.buy("Alice", 3, 104)
    driver.sell("Bob", 1, 98)

    assert driver.phase(Phase.OPEN) == [
        "1 at 103: Alice buys from Bob",
        "2 at 103: Alice buys from Dave",
        "uncrossed 3 at 103",
        "phase OPEN",
    ]
    assert driver.book() == "99 buy Carol 2"
