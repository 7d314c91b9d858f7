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
    EXIT_BEGIN    account: cancels all its orders, rejects new ones until the exit has ended
    EXIT_END      account, token, amount in pips paid out on chain (0 when the exit was withdrawn).
                  flags = ALWAYS: never rejected to an account there is; what is not available is
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
                  are the old one's, and so are the lots shown if flags has ICEBERG. Rejected, it
                  leaves the old order as it was
    CANCEL_AFTER  account, expiry_ns = deadline: the first command whose time has come to it
                  cancels all the account's orders first; 0 disarms
    SET_TERMS     market, order_id = lot_pips, price_ticks = tick_pips, amount = maker fee ppm,
                  fee_cap_ppm = taker fee ppm, expiry_ns = least notional, as LIST_MARKET:
                  cancels all orders of the market, rejected if they are too many for one command
                  (CANCEL_ALL them first)
    DELIST        market: cancels all its orders, for good; rejected likewise
    SET_BAND      market, price_ticks = lowest and amount = highest price that may trade, both 0
                  for no bounds: cancels the orders that could trade outside; rejected likewise
    BUST          undoes one trade that the chain rejects: market, account = its buyer,
                  fee_cap_ppm = the seller's account, price_ticks = base pips, amount = quote
                  pips, order_id = the buyer's fee and expiry_ns the seller's in pips (negative
                  where it is a rebate). The money goes back. flags = ALWAYS: also where a side
                  has spent it: its orders are cancelled, and it owes what is missing then
    POISON        stands, written by the sequencer, in place of a command that broke an assertion;
                  the other columns are that command's. Its market is halted
"""

import struct
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.types import MoneyFlag

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
    """Which command; 0 is deliberately no command, so that a zeroed row is rejected."""

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


_PACKED: Final = struct.Struct("<4B2H2I6q")
"""One row, its columns in order. Packed at once it costs a tenth of what it does field by field."""

assert _PACKED.size == COMMAND.itemsize


def command(  # One parameter a column: a dict of them costs half as much again.
    kind: Kind,
    *,
    side: int = 0,
    tif: int = 0,
    flags: int = 0,
    market: int = 0,
    token: int = 0,
    account: int = 0,
    fee_cap_ppm: int = 0,
    order_id: int = 0,
    price_ticks: int = 0,
    amount: int = 0,
    expiry_ns: int = 0,
    time_ns: int = 0,
    sequence: int = 0,
) -> np.void:
    """Return one COMMAND row with these columns set and the rest 0.

    Raises OverflowError when a value does not fit its column, ValueError or TypeError for what is
    no number.
    """
    narrow = (kind, side, tif, flags, market, token, account, fee_cap_ppm)
    values = (*narrow, order_id, price_ticks, amount, expiry_ns, time_ns, sequence)
    row = bytearray(_PACKED.size)
    try:
        _PACKED.pack_into(row, 0, *values)
    except struct.error as error:
        raise _reason_against(values) from error
    return np.ndarray((), COMMAND, row)[()]  # type: ignore[return-value]  # A row, not an array.


def _reason_against(values: tuple[int, ...]) -> Exception:
    """Return why these values are no row."""
    for name, value in zip(COMMAND.names or (), values, strict=True):
        try:
            as_column = np.array([value], object).astype(COMMAND[name], casting="unsafe")
        except (OverflowError, TypeError, ValueError) as reason:
            return reason
        if int(as_column[0]) != value:
            return OverflowError(f"{name}={value} does not fit {COMMAND[name]}")
    return TypeError("a column of a command is an integer")


class MarketTerms(NamedTuple):
    """What LIST_MARKET and SET_TERMS say of a market; a negative maker's fee is a rebate."""

    lot_pips: int
    tick_pips: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    least_notional_pips: int = 0

    def columns(self) -> dict[str, int]:
        """Return where they stand in a row."""
        return {
            "order_id": self.lot_pips,
            "price_ticks": self.tick_pips,
            "amount": self.maker_fee_ppm,
            "fee_cap_ppm": self.taker_fee_ppm,
            "expiry_ns": self.least_notional_pips,
        }


def market_terms(row: np.void) -> MarketTerms:
    """Return the terms that a LIST_MARKET or a SET_TERMS gives its market."""
    names = ("order_id", "price_ticks", "amount", "fee_cap_ppm", "expiry_ns")
    return MarketTerms(*(int(row[name]) for name in names))


def market_tokens(row: np.void) -> tuple[int, int]:
    """Return the numbers of base and quote token of a LIST_MARKET."""
    return int(row["account"]), int(row["token"])


def list_market(market: int, base: int, quote: int, **terms: int) -> np.void:
    """Return the command that lists market number ``market``; terms as in ``MarketTerms``."""
    columns = MarketTerms(**terms).columns()
    return command(Kind.LIST_MARKET, market=market, account=base, token=quote, **columns)


def set_terms(market: int, **terms: int) -> np.void:
    """Return the command that gives a listed market other terms, as in ``MarketTerms``."""
    return command(Kind.SET_TERMS, market=market, **MarketTerms(**terms).columns())


class BustTerms(NamedTuple):
    """What a BUST moves back; a fee is negative where it was a rebate."""

    market: int
    buyer: int
    seller: int
    base_pips: int
    quote_pips: int
    buyer_fee_pips: int
    seller_fee_pips: int

    def columns(self) -> dict[str, int]:
        """Return where they stand in a row."""
        return {
            "market": self.market,
            "account": self.buyer,
            "fee_cap_ppm": self.seller,
            "price_ticks": self.base_pips,
            "amount": self.quote_pips,
            "order_id": self.buyer_fee_pips,
            "expiry_ns": self.seller_fee_pips,
        }


def bust(terms: BustTerms, flags: MoneyFlag = MoneyFlag.ALWAYS) -> np.void:
    """Return the command that undoes one trade, by default whatever its parties have left."""
    return command(Kind.BUST, flags=flags, **terms.columns())


def bust_terms(row: np.void) -> BustTerms:
    """Return what a BUST moves back."""
    names = (
        *("market", "account", "fee_cap_ppm"),
        *("price_ticks", "amount", "order_id", "expiry_ns"),
    )
    return BustTerms(*(int(row[name]) for name in names))


def exit_end(account: int, token: int, amount: int, *, unpaid_pips: int) -> np.void:
    """Return the command that books an exit which has ended on chain.

    At most ``unpaid_pips`` come from a withdrawal that was debited and not paid.
    """
    return command(
        Kind.EXIT_END,
        account=account,
        token=token,
        amount=amount,
        price_ticks=unpaid_pips,
        flags=MoneyFlag.ALWAYS,
    )


def unpaid_pips(row: np.void) -> int:
    """Return how much an EXIT_END may take from withdrawals that were debited and not paid."""
    return int(row["price_ticks"])


def batch_of(rows: list[np.void]) -> Commands:
    """Return ``rows`` as one contiguous COMMAND array of its own."""
    # Joining bytes takes a third of the time of np.array(rows).
    joined = bytearray().join(rows)  # type: ignore[arg-type]  # Rows are buffers.
    return np.frombuffer(joined, COMMAND) if rows else np.empty(0, COMMAND)
