"""What does the engine answer?

Events are rows of one table in the order in which they happened. ``sequence`` is the command that
caused the event, ``index`` numbers events without a gap from 1.

    kind            fields used (all others 0)
    REJECTED        outcome, account, order_id as in the command
    TOKEN_LISTED    token
    MARKET_LISTED   market
    ACCOUNT_OPENED  account
    DEPOSITED       account, token, amount in pips
    WITHDRAWN       account, token, amount in pips
    ACCEPTED        market, account, side, order_id (given by the engine), price_ticks,
                    amount = lots ordered
    TRADE           market, side and account and order_id of the taker, maker_account, maker_id,
                    price_ticks (the maker's), amount = lots, order_left and maker_left = lots still
                    open on each side, trade_id (dense from 1), fee_pips and maker_fee_pips in quote
    RESTED          market, account, side, order_id, price_ticks, amount = lots now in the book
    CANCELLED       an order left the book: market, account, side, order_id, price_ticks,
                    amount = lots removed, outcome = why
    UNFILLED        the rest of an incoming order was dropped, it never rested: fields as CANCELLED
    EXIT_BEGUN      account
    EXIT_ENDED      account, token, amount in pips
    AMENDED         an order shrank without a trade and keeps its place: market, account, side,
                    order_id, price_ticks, amount = lots now open, order_left = lots that left the
                    book (0 when the order is still coming in), outcome = ACCEPTED if its owner
                    asked for it, SELF_TRADE if it was decremented
    CANCELLED_ALL   account, market as in the command, amount = how many orders CANCELLED named
                    before this row
    PHASE_SET       market, amount = the phase it is in now
"""

from enum import IntEnum
from typing import Any

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
