"""What can be asked of the engine?

A command is one 64-byte row, one cache line. The engine reads nothing else: no clock, no file, no
object. ``sequence`` and ``time_ns`` are stamped by the sequencer; builders here leave them 0.

    kind          fields used (all others 0)
    LIST_TOKEN    token (must be the next free number)
    LIST_MARKET   market (next free), token = quote token, account = base token,
                  order_id = lot_pips, price_ticks = tick_pips, amount = maker fee ppm (negative
                  for a rebate, never more than the taker fee), fee_cap_ppm = taker fee ppm,
                  expiry_ns = least notional of an order in quote pips (0 for none)
    OPEN_ACCOUNT  account (next free)
    DEPOSIT       account, token, amount in pips
    WITHDRAW      account, token, amount in pips; taken from what is available. flags = ALWAYS: it
                  has been paid, so it is booked even if there is less
    PLACE         market, account, side, tif, flags, price_ticks, amount in lots, fee_cap_ppm,
                  expiry_ns (the order is dead when time_ns >= expiry_ns); order_id = the trigger
                  price in ticks of a STOP, or the lots an ICEBERG shows, and 0 of any other order
    CANCEL        account (must own it), order_id; the order rests or is armed
    CLOCK         nothing but time_ns: wakes stops that wait for their turn and removes every
                  resting or armed order that has expired; what is too much for one is left to
                  the next
    EXIT_BEGIN    account: cancels all its orders, refuses new ones until the exit has ended
    EXIT_END      account, token, amount in pips paid out on chain (0 when the exit was withdrawn).
                  flags = ALWAYS: never refused to an account there is; what is not available is
                  taken from withdrawals that were debited and not paid, price_ticks pips at most,
                  and the account owes the rest
    AMEND         account (must own it), order_id, amount = lots, hidden ones included, it shall
                  have open from now on: at least 1 and fewer than now; the order keeps its place
    CANCEL_ALL    account, market: cancels all its orders there, in slot order; market is
                  ALL_MARKETS (65,535) for all of them, account ALL_ACCOUNTS (4,294,967,295) for
                  those of everybody; the answer says how many are left to be cancelled by the next
    SET_PHASE     market, amount = the ``Phase`` it is in from now on, any but DELISTED; a book that
                  an auction has crossed is uncrossed first where it goes to OPEN or POST_ONLY. If
                  that is too much for one command, the market is CANCEL_ONLY until it is repeated
    REPLACE       account (must own it), order_id = a resting order; price_ticks, amount, expiry_ns,
                  fee_cap_ppm, tif, flags of the order that takes over, as in PLACE: market and side
                  are the old one's, and so are the lots shown if flags has ICEBERG. Refused, it
                  leaves the old order as it was
    CANCEL_AFTER  account, expiry_ns = deadline: the first command whose time has come to it
                  cancels all the account's orders first; 0 disarms
    SET_TERMS     market, order_id = lot_pips, price_ticks = tick_pips, amount = maker fee ppm,
                  fee_cap_ppm = taker fee ppm, expiry_ns = least notional, as LIST_MARKET:
                  cancels all orders of the market, refused if they are too many for one command
                  (CANCEL_ALL them first)
    DELIST        market: cancels all its orders, for good; refused likewise
    SET_BAND      market, price_ticks = lowest and amount = highest price that may trade, both 0
                  for no bounds: cancels the orders that could trade outside; refused likewise
    BUST          undoes one trade that the chain refuses: market, account = its buyer,
                  fee_cap_ppm = the seller's account, price_ticks = base pips, amount = quote
                  pips, order_id = the buyer's fee and expiry_ns the seller's in pips (negative
                  where it is a rebate). The money goes back. flags = ALWAYS: also where a side
                  has spent it: its orders are cancelled, and it owes what is missing then
    POISON        stands, written by the sequencer, in place of a command that broke an assertion;
                  the other columns are that command's. Its market is halted
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

COMMAND = np.dtype(
    [
        ("kind", "u1"),
        ("side", "u1"),
        ("tif", "u1"),
        ("flags", "u1"),
        ("market", "<u2"),
        ("token", "<u2"),
        ("account", "<u4"),
        ("fee_cap_ppm", "<u4"),
        ("order_id", "<i8"),
        ("price_ticks", "<i8"),
        ("amount", "<i8"),
        ("expiry_ns", "<i8"),
        ("time_ns", "<i8"),
        ("sequence", "<i8"),
    ]
)
assert COMMAND.itemsize == 64

Commands = NDArray[Any]
"""A one-dimensional array of dtype ``COMMAND``."""


class Kind(IntEnum):
    """Which command; 0 is deliberately no command, so that a zeroed row is refused."""

    LIST_TOKEN = 1
    LIST_MARKET = 2
    OPEN_ACCOUNT = 3
    DEPOSIT = 4
    WITHDRAW = 5
    PLACE = 6
    CANCEL = 7
    CLOCK = 8
    EXIT_BEGIN = 9
    EXIT_END = 10
    AMEND = 11
    CANCEL_ALL = 12
    SET_PHASE = 13
    REPLACE = 14
    CANCEL_AFTER = 15
    SET_TERMS = 16
    DELIST = 17
    SET_BAND = 18
    POISON = 19
    BUST = 20


def command(kind: Kind, **fields: int) -> np.void:
    """Return one COMMAND row with ``fields`` set and the rest 0.

    Raises OverflowError when a value does not fit its column and ValueError for an unknown field.
    """
    row = np.zeros(1, COMMAND)
    row["kind"] = kind
    for name, value in fields.items():
        row[name] = np.array([value], dtype=object).astype(COMMAND[name], casting="unsafe")
        if int(row[name][0]) != value:
            raise OverflowError(f"{name}={value} does not fit {COMMAND[name]}")
    stamped: np.void = row[0]
    return stamped


def list_market(
    market: int,
    base: int,
    quote: int,
    *,
    lot_pips: int,
    tick_pips: int,
    maker_fee_ppm: int,
    taker_fee_ppm: int,
    least_notional_pips: int = 0,
) -> np.void:
    """Return the command that lists market number ``market``."""
    return command(
        Kind.LIST_MARKET,
        market=market,
        account=base,
        token=quote,
        order_id=lot_pips,
        price_ticks=tick_pips,
        amount=maker_fee_ppm,
        fee_cap_ppm=taker_fee_ppm,
        expiry_ns=least_notional_pips,
    )


def set_terms(
    market: int,
    *,
    lot_pips: int,
    tick_pips: int,
    maker_fee_ppm: int,
    taker_fee_ppm: int,
    least_notional_pips: int = 0,
) -> np.void:
    """Return the command that gives a listed market another lot, tick and fees."""
    return command(
        Kind.SET_TERMS,
        market=market,
        order_id=lot_pips,
        price_ticks=tick_pips,
        amount=maker_fee_ppm,
        fee_cap_ppm=taker_fee_ppm,
        expiry_ns=least_notional_pips,
    )


def batch_of(rows: list[np.void]) -> Commands:
    """Return ``rows`` as one contiguous COMMAND array of its own."""
    # Joining bytes takes a third of the time of np.array(rows).
    joined = bytearray().join(rows)  # type: ignore[arg-type]  # Rows are buffers.
    return np.frombuffer(joined, COMMAND) if rows else np.empty(0, COMMAND)
