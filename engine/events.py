"""What does the engine answer?

Events are rows of one table in the order in which they happened. ``sequence`` is the command that
caused the event, ``index`` numbers events without a gap from 1.

    kind              fields used (all others 0)
    REJECTED          outcome, account, order_id as in the command
    TOKEN_LISTED      token
    MARKET_LISTED     market
    ACCOUNT_OPENED    account
    DEPOSITED         account, token, amount in pips
    WITHDRAWN         account, token, amount in pips
    ACCEPTED          market, account, side, order_id (given by the engine), price_ticks (where it
                      rests, if it was priced again), amount = lots ordered
    TRADE             market, side and account and order_id of the taker, maker_account, maker_id,
                      price_ticks (the maker's), amount = lots, order_left and maker_left = all lots
                      still open on each side, hidden ones too: 0 exactly when the order is done,
                      trade_id (dense from 1), fee_pips and maker_fee_pips in quote (the maker's
                      negative where it is a rebate). In an auction outcome = AUCTION, the buyer
                      stands where the taker does, price_ticks is the one price, both pay as makers
    RESTED            market, account, side, order_id, price_ticks, amount = lots now visible in the
                      book, maker_left = lots hidden behind them
    CANCELLED         an order left the book: market, account, side, order_id, price_ticks,
                      amount = visible lots removed, maker_left = hidden lots removed,
                      outcome = why; of an armed stop order_left = its trigger price in ticks,
                      and of no other order is it anything but 0
    UNFILLED          the rest of an incoming order was dropped, it never rested: market, account,
                      side, order_id, price_ticks, amount = all lots dropped, outcome = why
    EXIT_BEGUN        account
    EXIT_ENDED        account, token, amount in pips taken from the account, order_left = pips taken
                      from withdrawals debited before: both together were paid on chain
    AMENDED           an order shrank without a trade and keeps its place: market, account, side,
                      order_id, price_ticks, amount = visible lots now open, maker_left = hidden
                      lots now open, order_left = visible lots that left the book (0 when the
                      order is still coming in or armed: then amount = all its lots),
                      outcome = ACCEPTED if its owner asked for it, SELF_TRADE if it was decremented
    CANCELLED_ALL     account, market as in the command, amount = how many orders of the account
                      CANCELLED named before this row, outcome = ACCEPTED if the owner asked for it,
                      CANCELLED_BY_OPERATOR or CANCELLED_AFTER if not, order_left = how many are
                      still there, because one command may not cancel more: send it again
    PHASE_SET         market, amount = the phase it is in now, outcome = MORE_REMAINS if its auction
                      is not over, and the command has to be sent again
    ARMED             a stop waits: market, account, side, order_id, price_ticks = its limit,
                      amount = lots, order_left = its trigger price in ticks
    TRIGGERED         a stop is coming in now: fields as ARMED
    REFILLED          an iceberg shows its next slice, now last in its queue: market, account, side,
                      order_id, price_ticks, amount = lots now visible, maker_left = lots hidden
    CANCEL_AFTER_SET  account, amount = its deadline in ns, 0 for none
    TERMS_SET         market
    MARKET_DELISTED   market
    BAND_SET          market, price_ticks = lowest, amount = highest price that may trade
    UNCROSSED         an auction has traded: market, price_ticks = its price, amount = lots traded
                      by this command, outcome = MORE_REMAINS if it goes on at that price
    TRADE_BUSTED      a trade is undone: market, account = its buyer, maker_account = its seller,
                      price_ticks = base pips, amount = quote pips, fee_pips and maker_fee_pips =
                      what buyer and seller had paid. CANCELLED (IN_DEBT) may follow: the orders of
                      a side that had spent what it has to give back
    POISONED          a command broke an assertion and was replaced: market, account, order_id as
                      in it, outcome = POISONED
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

EVENT = np.dtype(
    [
        ("kind", "u1"),
        ("side", "u1"),
        ("outcome", "<u2"),
        ("market", "<u2"),
        ("token", "<u2"),
        ("account", "<u4"),
        ("maker_account", "<u4"),
        ("sequence", "<i8"),
        ("index", "<i8"),
        ("order_id", "<i8"),
        ("maker_id", "<i8"),
        ("price_ticks", "<i8"),
        ("amount", "<i8"),
        ("order_left", "<i8"),
        ("maker_left", "<i8"),
        ("trade_id", "<i8"),
        ("fee_pips", "<i8"),
        ("maker_fee_pips", "<i8"),
    ]
)
assert EVENT.itemsize == 104

Events = NDArray[Any]
"""A one-dimensional array of dtype ``EVENT``."""


class EventKind(IntEnum):
    """Which event."""

    REJECTED = 1
    TOKEN_LISTED = 2
    MARKET_LISTED = 3
    ACCOUNT_OPENED = 4
    DEPOSITED = 5
    WITHDRAWN = 6
    ACCEPTED = 7
    TRADE = 8
    RESTED = 9
    CANCELLED = 10
    UNFILLED = 11
    EXIT_BEGUN = 12
    EXIT_ENDED = 13
    AMENDED = 14
    CANCELLED_ALL = 15
    PHASE_SET = 16
    ARMED = 17
    TRIGGERED = 18
    REFILLED = 19
    CANCEL_AFTER_SET = 20
    TERMS_SET = 21
    MARKET_DELISTED = 22
    BAND_SET = 23
    UNCROSSED = 24
    POISONED = 25
    TRADE_BUSTED = 26


class BustedTrade(NamedTuple):
    """What a TRADE_BUSTED has moved back; a fee is negative where it was a rebate."""

    market: int
    buyer: int
    seller: int
    base_pips: int
    quote_pips: int
    buyer_fee_pips: int
    seller_fee_pips: int


def busted_trade(event: Any) -> BustedTrade:
    """Return what a TRADE_BUSTED, given by field names, has moved back."""
    return BustedTrade(
        int(event["market"]),
        int(event["account"]),
        int(event["maker_account"]),
        int(event["price_ticks"]),
        int(event["amount"]),
        int(event["fee_pips"]),
        int(event["maker_fee_pips"]),
    )


def pips_from_unpaid(event: np.void) -> int:
    """Return how much of an exit an EXIT_ENDED has taken from withdrawals debited before."""
    return int(event["order_left"])
