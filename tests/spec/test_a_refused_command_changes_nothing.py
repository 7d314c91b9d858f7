"""Does a refusal leave any trace beside its number?

Two engines live the same life. Then one gets the command to be refused and the other a row that is
no command at all. Afterwards every byte of their states must be equal.
"""

from typing import Final

import numpy as np
import pytest

from engine.commands import Kind, command, list_market, set_terms
from engine.types import (
    FEE_MAX_PPM,
    ICEBERG_SLICES_MAX,
    LOTS_MAX,
    MONEY_MAX,
    PRICE_MAX,
    MoneyFlag,
    OrderFlag,
    Outcome,
    Phase,
)
from tests.ladder import BASE, FOREVER_NS, FUNDS, QUOTE, SMALL, TAKER_PPM, Driver
from tests.spec.conftest import Build

NOW_NS = 1000


def order(**changed: int) -> np.void:
    fields = {
        "account": 0,
        "side": 0,
        "price_ticks": 50,
        "amount": 3,
        "fee_cap_ppm": TAKER_PPM,
        "expiry_ns": FOREVER_NS,
    }
    return command(Kind.PLACE, **(fields | changed))


def stop(trigger: int, **changed: int) -> np.void:
    """Return a stop to buy."""
    return order(**({"flags": STOP, "order_id": trigger, "price_ticks": 103} | changed))


def iceberg(shown: int, **changed: int) -> np.void:
    """Return an iceberg to buy."""
    return order(**({"flags": ICEBERG, "order_id": shown} | changed))


def replacement(**changed: int) -> np.void:
    """Return Bob's wish to have another order in the place of his sell at 101."""
    fields = {
        "account": 1,
        "order_id": 1,
        "price_ticks": 102,
        "amount": 3,
        "fee_cap_ppm": TAKER_PPM,
        "expiry_ns": FOREVER_NS,
    }
    return command(Kind.REPLACE, **(fields | changed))


def phase(phase: Phase, market: int = 0) -> np.void:
    """Return the command that puts a market into ``phase``."""
    return command(Kind.SET_PHASE, market=market, amount=phase)


def band(low: int, high: int, market: int = 0) -> np.void:
    """Return the command that bounds the prices of a market."""
    return command(Kind.SET_BAND, market=market, price_ticks=low, amount=high)


def terms(market: int = 0, **changed: int) -> np.void:
    """Return the command that changes a market's terms."""
    fields = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    return set_terms(market, **(fields | changed))


def market(number: int, base: int = BASE, quote: int = QUOTE, **changed: int) -> np.void:
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    return list_market(number, base, quote, **(terms | changed))


def paid_out(amount: int) -> np.void:
    """Return the command that books a payout which has happened, whatever there is."""
    return command(Kind.WITHDRAW, token=QUOTE, amount=amount, flags=MoneyFlag.ALWAYS)


def of_kind(kind: int) -> np.void:
    """Return a row whose kind means nothing."""
    row = command(Kind.CLOCK)
    row["kind"] = kind
    return row


POST_ONLY, SINGLE_SHOT = int(OrderFlag.POST_ONLY), int(OrderFlag.SINGLE_SHOT)
STOP, ICEBERG, REPRICE = int(OrderFlag.STOP), int(OrderFlag.ICEBERG), int(OrderFlag.REPRICE)
CASES: Final = {
    "no such kind": (Outcome.UNKNOWN_COMMAND, of_kind(255)),
    "token out of turn": (Outcome.BAD_LISTING, command(Kind.LIST_TOKEN, token=3)),
    "token again": (Outcome.BAD_LISTING, command(Kind.LIST_TOKEN, token=0)),
    "market out of turn": (Outcome.BAD_LISTING, market(2)),
    "market of one token": (Outcome.BAD_LISTING, market(1, QUOTE, QUOTE)),
    "market of unknown base": (Outcome.UNKNOWN_TOKEN, market(1, 2, QUOTE)),
    "market of unknown quote": (Outcome.UNKNOWN_TOKEN, market(1, BASE, 65535)),
    "empty lot": (Outcome.BAD_LISTING, market(1, lot_pips=0)),
    "endless lot": (Outcome.BAD_LISTING, market(1, lot_pips=MONEY_MAX + 1)),
    "negative tick": (Outcome.BAD_LISTING, market(1, tick_pips=-1)),
    "endless tick": (Outcome.BAD_LISTING, market(1, tick_pips=2**63 - 1)),
    "maker fee too high": (Outcome.BAD_LISTING, market(1, maker_fee_ppm=FEE_MAX_PPM + 1)),
    "rebate that nobody pays": (Outcome.BAD_LISTING, market(1, maker_fee_ppm=-1)),
    "rebate above the taker's fee": (
        Outcome.BAD_LISTING,
        market(1, maker_fee_ppm=-901, taker_fee_ppm=900),
    ),
    "rebate of 64 bits": (Outcome.BAD_LISTING, market(1, maker_fee_ppm=-(2**63))),
    "taker fee too high": (Outcome.BAD_LISTING, market(1, taker_fee_ppm=FEE_MAX_PPM + 1)),
    "account out of turn": (Outcome.BAD_LISTING, command(Kind.OPEN_ACCOUNT, account=7)),
    "deposit of unknown token": (
        Outcome.UNKNOWN_TOKEN,
        command(Kind.DEPOSIT, token=2, amount=1),
    ),
    "deposit for nobody": (Outcome.UNKNOWN_ACCOUNT, command(Kind.DEPOSIT, account=5, amount=1)),
    "deposit of nothing": (Outcome.AMOUNT_OUT_OF_RANGE, command(Kind.DEPOSIT, amount=0)),
    "deposit of less": (Outcome.AMOUNT_OUT_OF_RANGE, command(Kind.DEPOSIT, amount=-1)),
    "deposit of everything": (
        Outcome.AMOUNT_OUT_OF_RANGE,
        command(Kind.DEPOSIT, amount=MONEY_MAX),
    ),
    "deposit that would wrap": (
        Outcome.AMOUNT_OUT_OF_RANGE,
        command(Kind.DEPOSIT, amount=2**63 - 1),
    ),
    "withdrawal of unknown token": (
        Outcome.UNKNOWN_TOKEN,
        command(Kind.WITHDRAW, token=9, amount=1),
    ),
    "withdrawal by nobody": (
        Outcome.UNKNOWN_ACCOUNT,
        command(Kind.WITHDRAW, account=2**32 - 1, amount=1),
    ),
    "withdrawal of nothing": (Outcome.AMOUNT_OUT_OF_RANGE, command(Kind.WITHDRAW, amount=0)),
    "withdrawal of less": (
        Outcome.AMOUNT_OUT_OF_RANGE,
        command(Kind.WITHDRAW, amount=-(2**63)),
    ),
    "withdrawal of too much": (
        Outcome.INSUFFICIENT_BALANCE,
        command(Kind.WITHDRAW, amount=FUNDS + 1),
    ),
    "withdrawal of what is held": (
        Outcome.INSUFFICIENT_BALANCE,
        command(Kind.WITHDRAW, account=1, token=QUOTE, amount=FUNDS),
    ),
    "withdrawal while leaving": (
        Outcome.ACCOUNT_FROZEN,
        command(Kind.WITHDRAW, account=4, amount=1),
    ),
    "order in no market": (Outcome.UNKNOWN_MARKET, order(market=1)),
    "order of nobody": (Outcome.UNKNOWN_ACCOUNT, order(account=5)),
    "no such side": (Outcome.BAD_ORDER, order(side=2)),
    "no such time in force": (Outcome.BAD_ORDER, order(tif=3)),
    "no such flag": (Outcome.BAD_ORDER, order(flags=128)),
    "immediate and post-only": (Outcome.BAD_ORDER, order(tif=1, flags=POST_ONLY)),
    "whole and post-only": (Outcome.BAD_ORDER, order(tif=2, flags=POST_ONLY)),
    "single shot that rests": (Outcome.BAD_ORDER, order(flags=SINGLE_SHOT)),
    "immediate iceberg": (Outcome.BAD_ORDER, iceberg(1, tif=1)),
    "whole iceberg": (Outcome.BAD_ORDER, iceberg(1, tif=2)),
    "stop and post-only": (Outcome.BAD_ORDER, stop(103, flags=STOP | POST_ONLY)),
    "stop and iceberg": (Outcome.BAD_ORDER, stop(103, flags=STOP | ICEBERG)),
    "stop that rests, single shot": (Outcome.BAD_ORDER, stop(103, flags=STOP | SINGLE_SHOT)),
    "priced again and not post-only": (Outcome.BAD_ORDER, order(flags=REPRICE)),
    "trigger of no stop": (Outcome.BAD_ORDER, order(order_id=1)),
    "order while leaving": (Outcome.ACCOUNT_FROZEN, order(account=4)),
    "price of nothing": (Outcome.PRICE_OUT_OF_RANGE, order(price_ticks=0)),
    "negative price": (Outcome.PRICE_OUT_OF_RANGE, order(price_ticks=-(2**63))),
    "price beyond the last": (Outcome.PRICE_OUT_OF_RANGE, order(price_ticks=PRICE_MAX + 1)),
    "price of 64 bits": (Outcome.PRICE_OUT_OF_RANGE, order(price_ticks=2**63 - 1)),
    "no lots": (Outcome.QUANTITY_OUT_OF_RANGE, order(amount=0)),
    "negative lots": (Outcome.QUANTITY_OUT_OF_RANGE, order(amount=-1)),
    "too many lots": (Outcome.QUANTITY_OUT_OF_RANGE, order(amount=LOTS_MAX + 1)),
    "lots of 64 bits": (Outcome.QUANTITY_OUT_OF_RANGE, order(amount=2**63 - 1)),
    "too much money": (Outcome.NOTIONAL_OUT_OF_RANGE, order(amount=LOTS_MAX, price_ticks=4095)),
    "trigger at nothing": (Outcome.TRIGGER_OUT_OF_RANGE, stop(0)),
    "negative trigger": (Outcome.TRIGGER_OUT_OF_RANGE, stop(-(2**63))),
    "trigger beyond the last price": (Outcome.TRIGGER_OUT_OF_RANGE, stop(PRICE_MAX + 1)),
    "iceberg that shows nothing": (Outcome.DISPLAY_OUT_OF_RANGE, iceberg(0)),
    "iceberg that shows less": (Outcome.DISPLAY_OUT_OF_RANGE, iceberg(-1)),
    "iceberg that shows more than it has": (Outcome.DISPLAY_OUT_OF_RANGE, iceberg(4)),
    "iceberg in too many parts": (
        Outcome.DISPLAY_OUT_OF_RANGE,
        iceberg(2, amount=2 * ICEBERG_SLICES_MAX + 1),
    ),
    "iceberg of 64 bits": (Outcome.DISPLAY_OUT_OF_RANGE, iceberg(2**63 - 1)),
    "fee above the cap": (Outcome.FEE_CAP_TOO_LOW, order(fee_cap_ppm=TAKER_PPM - 1)),
    "expired": (Outcome.ORDER_EXPIRED, order(expiry_ns=NOW_NS)),
    "expired for ever": (Outcome.ORDER_EXPIRED, order(expiry_ns=-(2**63))),
    "post-only that trades": (
        Outcome.POST_ONLY_WOULD_TRADE,
        order(price_ticks=101, flags=POST_ONLY),
    ),
    "post-only sell that trades": (
        Outcome.POST_ONLY_WOULD_TRADE,
        order(side=1, price_ticks=99, flags=POST_ONLY),
    ),
    "too expensive": (Outcome.INSUFFICIENT_BALANCE, order(amount=10**9)),
    "too many to sell": (Outcome.INSUFFICIENT_BALANCE, order(side=1, amount=10**12)),
    "cancel by nobody": (Outcome.UNKNOWN_ACCOUNT, command(Kind.CANCEL, account=5, order_id=1)),
    "cancel of nothing": (Outcome.NOT_RESTING, command(Kind.CANCEL, order_id=77)),
    "cancel of another's": (Outcome.NOT_OWNER, command(Kind.CANCEL, order_id=1)),
    "amend by nobody": (
        Outcome.UNKNOWN_ACCOUNT,
        command(Kind.AMEND, account=5, order_id=1, amount=1),
    ),
    "amend of nothing": (Outcome.NOT_RESTING, command(Kind.AMEND, order_id=77, amount=1)),
    "amend of another's": (Outcome.NOT_OWNER, command(Kind.AMEND, order_id=1, amount=1)),
    "amend to nothing": (
        Outcome.QUANTITY_OUT_OF_RANGE,
        command(Kind.AMEND, account=1, order_id=1),
    ),
    "amend to less": (
        Outcome.QUANTITY_OUT_OF_RANGE,
        command(Kind.AMEND, account=1, order_id=1, amount=-(2**63)),
    ),
    "amend to the same": (
        Outcome.AMEND_NOT_SMALLER,
        command(Kind.AMEND, account=1, order_id=1, amount=5),
    ),
    "amend to more": (
        Outcome.AMEND_NOT_SMALLER,
        command(Kind.AMEND, account=1, order_id=1, amount=2**63 - 1),
    ),
    "replacement by nobody": (Outcome.UNKNOWN_ACCOUNT, replacement(account=5)),
    "replacement of nothing": (Outcome.NOT_RESTING, replacement(order_id=77)),
    "replacement of another's": (Outcome.NOT_OWNER, replacement(account=2)),
    "replacement in a market of its own": (Outcome.BAD_ORDER, replacement(market=1)),
    "replacement on the other side": (Outcome.BAD_ORDER, replacement(side=1)),
    "replacement with a token": (Outcome.BAD_ORDER, replacement(token=1)),
    "replacement by a stop": (Outcome.BAD_ORDER, replacement(flags=STOP)),
    "replacement that hides what was in sight": (Outcome.BAD_ORDER, replacement(flags=ICEBERG)),
    "replacement without a price": (Outcome.PRICE_OUT_OF_RANGE, replacement(price_ticks=0)),
    "replacement that would trade": (
        Outcome.POST_ONLY_WOULD_TRADE,
        replacement(price_ticks=99, flags=POST_ONLY),
    ),
    "replacement too large": (Outcome.INSUFFICIENT_BALANCE, replacement(amount=10**12)),
    "deadline of nobody": (Outcome.UNKNOWN_ACCOUNT, command(Kind.CANCEL_AFTER, account=5)),
    "deadline that is now": (
        Outcome.DEADLINE_PASSED,
        command(Kind.CANCEL_AFTER, expiry_ns=NOW_NS),
    ),
    "deadline before time": (Outcome.DEADLINE_PASSED, command(Kind.CANCEL_AFTER, expiry_ns=-1)),
    "terms of no market": (Outcome.UNKNOWN_MARKET, terms(1)),
    "terms without a lot": (Outcome.BAD_LISTING, terms(lot_pips=0)),
    "terms with an endless tick": (Outcome.BAD_LISTING, terms(tick_pips=MONEY_MAX + 1)),
    "terms with a rebate that nobody pays": (Outcome.BAD_LISTING, terms(maker_fee_ppm=-1)),
    "terms with too high a fee": (Outcome.BAD_LISTING, terms(taker_fee_ppm=FEE_MAX_PPM + 1)),
    "delisting of no market": (Outcome.UNKNOWN_MARKET, command(Kind.DELIST, market=1)),
    "band of no market": (Outcome.UNKNOWN_MARKET, band(1, 2, market=1)),
    "band upside down": (Outcome.BAD_BAND, band(102, 101)),
    "band from nothing": (Outcome.BAD_BAND, band(0, 101)),
    "band to nothing": (Outcome.BAD_BAND, band(1, 0)),
    "band below nothing": (Outcome.BAD_BAND, band(-1, 101)),
    "band beyond the last price": (Outcome.BAD_BAND, band(1, PRICE_MAX + 1)),
    "cancel all of nobody": (Outcome.UNKNOWN_ACCOUNT, command(Kind.CANCEL_ALL, account=5)),
    "cancel all in no market": (Outcome.UNKNOWN_MARKET, command(Kind.CANCEL_ALL, market=4)),
    "phase of no market": (Outcome.UNKNOWN_MARKET, command(Kind.SET_PHASE, market=65535)),
    "no such phase": (Outcome.BAD_PHASE, command(Kind.SET_PHASE, amount=Phase.DELISTED)),
    "negative phase": (Outcome.BAD_PHASE, command(Kind.SET_PHASE, amount=-1)),
    "phase of 64 bits": (Outcome.BAD_PHASE, command(Kind.SET_PHASE, amount=2**62)),
    "exit of nobody": (Outcome.UNKNOWN_ACCOUNT, command(Kind.EXIT_BEGIN, account=5)),
    "end of no exit": (Outcome.NOT_FROZEN, command(Kind.EXIT_END, account=0)),
    "end of an exit of nobody": (Outcome.UNKNOWN_ACCOUNT, command(Kind.EXIT_END, account=5)),
    "exit of unknown token": (Outcome.UNKNOWN_TOKEN, command(Kind.EXIT_END, account=4, token=2)),
    "exit with too much": (
        Outcome.INSUFFICIENT_BALANCE,
        command(Kind.EXIT_END, account=4, amount=FUNDS + 1),
    ),
    "exit with less": (
        Outcome.AMOUNT_OUT_OF_RANGE,
        command(Kind.EXIT_END, account=4, amount=-1),
    ),
}


def lived_in(build: Build) -> Driver:
    """Return an engine with a book, an account on its way out and a clock that has moved."""
    driver = Driver(build(SMALL))
    driver.time_ns = NOW_NS
    driver.sell("Bob", 5, 101)
    driver.buy("Bob", 5, 99)
    driver.send(command(Kind.EXIT_BEGIN, account=4))
    return driver


@pytest.mark.parametrize("case", CASES)
def test_every_refusal_leaves_the_state_as_it_was(build: Build, case: str) -> None:
    outcome, row = CASES[case]
    refused, idle = lived_in(build), lived_in(build)

    events = refused.send(row)
    idle.send(of_kind(0))

    assert [Outcome(found) for found in events["outcome"]] == [outcome]
    assert (events["account"][0], events["order_id"][0]) == (row["account"], row["order_id"])
    assert refused.engine.state_hash() == idle.engine.state_hash()
    refused.book()
    refused.engine.check()


ARMED_ID = 3
"""What the stop of the next table gets: the book of ``lived_in`` has orders 1 and 2."""

PREPARED: Final = {
    "order while halted": ([phase(Phase.HALTED)], Outcome.MARKET_HALTED, order()),
    "post-only while halted": (
        [phase(Phase.HALTED)],
        Outcome.MARKET_HALTED,
        order(flags=POST_ONLY),
    ),
    "amend while halted": (
        [phase(Phase.HALTED)],
        Outcome.MARKET_HALTED,
        command(Kind.AMEND, account=1, order_id=1, amount=1),
    ),
    "replacement while halted": ([phase(Phase.HALTED)], Outcome.MARKET_HALTED, replacement()),
    "order while cancel-only": ([phase(Phase.CANCEL_ONLY)], Outcome.MARKET_CANCEL_ONLY, order()),
    "post-only while cancel-only": (
        [phase(Phase.CANCEL_ONLY)],
        Outcome.MARKET_CANCEL_ONLY,
        order(flags=POST_ONLY),
    ),
    "order that may take while post-only": (
        [phase(Phase.POST_ONLY)],
        Outcome.MARKET_POST_ONLY,
        order(),
    ),
    "taker while post-only": ([phase(Phase.POST_ONLY)], Outcome.MARKET_POST_ONLY, order(tif=1)),
    "stop while post-only": ([phase(Phase.POST_ONLY)], Outcome.MARKET_POST_ONLY, stop(103)),
    "post-only that trades while post-only": (
        [phase(Phase.POST_ONLY)],
        Outcome.POST_ONLY_WOULD_TRADE,
        order(price_ticks=101, flags=POST_ONLY),
    ),
    "taker in an auction": ([phase(Phase.AUCTION)], Outcome.MARKET_IN_AUCTION, order(tif=1)),
    "whole or nothing in an auction": (
        [phase(Phase.AUCTION)],
        Outcome.MARKET_IN_AUCTION,
        order(tif=2),
    ),
    "post-only in an auction": (
        [phase(Phase.AUCTION)],
        Outcome.MARKET_IN_AUCTION,
        order(flags=POST_ONLY),
    ),
    "order where nothing is listed any more": (
        [command(Kind.DELIST)],
        Outcome.MARKET_DELISTED,
        order(),
    ),
    "second delisting": (
        [command(Kind.DELIST)],
        Outcome.MARKET_DELISTED,
        command(Kind.DELIST),
    ),
    "terms of a delisted market": ([command(Kind.DELIST)], Outcome.MARKET_DELISTED, terms()),
    "band of a delisted market": ([command(Kind.DELIST)], Outcome.MARKET_DELISTED, band(9, 1)),
    "phase of a delisted market": (
        [command(Kind.DELIST)],
        Outcome.MARKET_DELISTED,
        command(Kind.SET_PHASE, amount=99),
    ),
    "buy above the band": ([band(90, 110)], Outcome.OUTSIDE_BAND, order(price_ticks=111)),
    "sell below the band": ([band(90, 110)], Outcome.OUTSIDE_BAND, order(side=1, price_ticks=89)),
    "stop that could trade above the band": (
        [band(90, 110)],
        Outcome.OUTSIDE_BAND,
        stop(105, price_ticks=111),
    ),
    "stop that the last trade has reached": (
        [order(tif=1, price_ticks=101)],
        Outcome.STOP_WOULD_TRIGGER,
        stop(101),
    ),
    "sell stop that the last trade has reached": (
        [order(tif=1, price_ticks=101)],
        Outcome.STOP_WOULD_TRIGGER,
        stop(101, side=1),
    ),
    "stop that the last trade has reached, in an auction": (
        [order(tif=1, price_ticks=101), phase(Phase.AUCTION)],
        Outcome.STOP_WOULD_TRIGGER,
        stop(100),
    ),
    "replacement of an armed stop": (
        [stop(105)],
        Outcome.NOT_RESTING,
        replacement(account=0, order_id=ARMED_ID),
    ),
    "amend of an armed stop to more": (
        [stop(105)],
        Outcome.AMEND_NOT_SMALLER,
        command(Kind.AMEND, order_id=ARMED_ID, amount=3),
    ),
    "cancel of another's armed stop": (
        [stop(105)],
        Outcome.NOT_OWNER,
        command(Kind.CANCEL, account=1, order_id=ARMED_ID),
    ),
    "order of an account that owes": (
        [paid_out(FUNDS + 1)],
        Outcome.IN_DEBT,
        order(),
    ),
    "order that is too small": (
        [terms(least_notional_pips=10**9)],
        Outcome.BELOW_LEAST_NOTIONAL,
        order(),
    ),
    "amend of an iceberg to all it has": (
        [iceberg(1, amount=9)],
        Outcome.AMEND_NOT_SMALLER,
        command(Kind.AMEND, order_id=ARMED_ID, amount=9),
    ),
    "replacement of an iceberg in too many parts": (
        [iceberg(1, amount=9)],
        Outcome.DISPLAY_OUT_OF_RANGE,
        replacement(
            account=0,
            order_id=ARMED_ID,
            price_ticks=50,
            flags=ICEBERG,
            amount=ICEBERG_SLICES_MAX + 1,
        ),
    ),
}


@pytest.mark.parametrize("case", PREPARED)
def test_what_is_refused_only_now_leaves_no_trace(build: Build, case: str) -> None:
    before, outcome, row = PREPARED[case]
    refused, idle = lived_in(build), lived_in(build)
    for driver in (refused, idle):
        driver.send(*before)

    events = refused.send(row)
    idle.send(of_kind(0))

    assert [Outcome(found) for found in events["outcome"]] == [outcome]
    assert refused.engine.state_hash() == idle.engine.state_hash()
    refused.book()
    refused.engine.check()


CAPACITIES: Final = {
    "tokens": ({"tokens": 2}, command(Kind.LIST_TOKEN, token=2)),
    "markets": ({"markets": 1}, market(1)),
    "accounts": ({"accounts": 5}, command(Kind.OPEN_ACCOUNT, account=5)),
    "orders": ({"orders": 2}, order()),
    "orders, immediate": ({"orders": 2}, order(tif=1, price_ticks=101)),
    "orders, armed": ({"orders": 2}, stop(105)),
    "replacement of a worn-out slot": ({"orders": 2, "generations": 1}, replacement()),
}


@pytest.mark.parametrize("case", CAPACITIES)
def test_a_full_engine_says_so(build: Build, case: str) -> None:
    limits, row = CAPACITIES[case]
    refused, idle = (lived_in(lambda _: build(SMALL._replace(**limits))) for _ in range(2))

    events = refused.send(row)
    idle.send(of_kind(0))

    assert [Outcome(found) for found in events["outcome"]] == [Outcome.CAPACITY]
    assert refused.engine.state_hash() == idle.engine.state_hash()


def test_every_refusal_of_the_engine_is_here() -> None:
    covered = {outcome for outcome, _ in CASES.values()}
    covered |= {Outcome.CAPACITY, Outcome.ACCOUNT_ORDERS_EXHAUSTED}  # Each has its own test.
    covered |= {outcome for _, outcome, _ in PREPARED.values()}

    # What is refused as too much for one command: test_one_command_does_no_more_than_it_may.
    covered |= {Outcome.TOO_MANY_ORDERS, Outcome.STOPS_PENDING}
    # A poison command is never refused: POISONED is what its event says.
    assert covered == {outcome for outcome in Outcome if 100 <= outcome < 150} - {Outcome.POISONED}
