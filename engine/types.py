"""Which words, numbers and limits do all parts of Tillbook share?

Units: price in *ticks*, quantity in *lots*, money in *pips* (int64; 10**8 pips are one token).
A market fixes ``lot_pips`` (base pips in one lot) and ``tick_pips`` (quote pips that one lot costs
per tick of price), so ``lots * price_ticks * tick_pips`` is a whole number of quote pips always.
"""

from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple, Self

PIPS_PER_TOKEN: Final = 10**8
PPM: Final = 1_000_000
FEE_MAX_PPM: Final = 10_000
"""No market may charge more; the contract holds the same constant."""

MONEY_MAX: Final = 2**62 - 1
"""Largest amount of pips in any balance, reserve or product (DESIGN.md section 4)."""

PRICE_MAX: Final = 2**31 - 1
LOTS_MAX: Final = 2**40

FILLS_MAX: Final = 64
"""Most fills of one single-shot order: all of them must fit into one settlement batch."""

UNBOUNDED: Final = 2**62
"""What a limit is where a journal was begun before there was such a limit."""

ICEBERG_SLICES_MAX: Final = 64
"""An iceberg may show itself in at most so many slices, which bounds what one fill costs."""

ALL_MARKETS: Final = 2**16 - 1
"""Stands for every market where a command may name one or all; no market has this number."""

ALL_ACCOUNTS: Final = 2**32 - 1
"""Stands for every account in CANCEL_ALL; no account has this number."""

NONE: Final = -1
"""No slot, no order, no level."""


class Side(IntEnum):
    """Which side of the book an order stands on."""

    BUY = 0
    SELL = 1


class TimeInForce(IntEnum):
    """How long an order lives: until cancelled or expired, or only for the moment it arrives.

    Of the two that live for a moment, IOC takes what it can get and FOK all of it or nothing.
    """

    GTC = 0
    IOC = 1
    FOK = 2


class OrderFlag(IntFlag):
    """Order properties beside side and time in force.

    Bits 2 and 3 are one number: what happens when the order, coming in, meets an order of its own
    account. 0 is the incoming order's rest leaves.
    """

    NONE = 0
    POST_ONLY = 1
    SINGLE_SHOT = 2
    """Spends a nonce of the replay window on chain: at most ``FILLS_MAX`` fills, then it ends."""
    SELF_EXPIRE_MAKER = 4
    """The resting order leaves and the incoming one goes on."""
    SELF_EXPIRE_BOTH = 8
    """Both leave."""
    SELF_DECREMENT = 12
    """Both lose the smaller one's open lots, without a trade; the exhausted leave."""
    STOP = 16
    """Waits, armed and outside the book, until a trade reaches its trigger price."""
    ICEBERG = 32
    """Shows only a slice of what rests; a new slice goes to the end of its queue."""
    REPRICE = 64
    """With POST_ONLY: rather than be rejected it rests one tick behind the price it would meet."""


class MoneyFlag(IntFlag):
    """How a command about money is meant."""

    NONE = 0
    ALWAYS = 1
    """It has happened, whatever the ledger has for it: booked even if a balance goes negative."""


class Phase(IntEnum):
    """What a market takes on. Cancels, exits and everything about money work in each phase."""

    OPEN = 0
    POST_ONLY = 1
    """Orders must be post-only, so nothing trades."""
    CANCEL_ONLY = 2
    """No orders; what rests may still shrink or leave."""
    HALTED = 3
    """As CANCEL_ONLY, and no order may be amended."""
    AUCTION = 4
    """Orders rest without matching; leaving for OPEN or POST_ONLY trades them at one price."""
    DELISTED = 5
    """Gone for good: no orders, no way back."""


class Outcome(IntEnum):
    """What became of a command or request. 0 is success; the hundreds name the layer that rejected.

    Rejections are values, never exceptions. Numbers are part of the journal: never reuse one.
    """

    ACCEPTED = 0

    # 1xx: the engine rejected the command; nothing changed but the sequence.
    UNKNOWN_COMMAND = 100
    UNKNOWN_TOKEN = 101
    UNKNOWN_MARKET = 102
    UNKNOWN_ACCOUNT = 103
    INSUFFICIENT_BALANCE = 104
    QUANTITY_OUT_OF_RANGE = 105
    PRICE_OUT_OF_RANGE = 106
    NOTIONAL_OUT_OF_RANGE = 107
    FEE_CAP_TOO_LOW = 108
    ORDER_EXPIRED = 109
    POST_ONLY_WOULD_TRADE = 110
    NOT_RESTING = 111
    NOT_OWNER = 112
    ACCOUNT_FROZEN = 113
    NOT_FROZEN = 114
    CAPACITY = 115
    BAD_LISTING = 116
    AMOUNT_OUT_OF_RANGE = 117
    BAD_ORDER = 118
    AMEND_NOT_SMALLER = 119
    MARKET_POST_ONLY = 120
    MARKET_CANCEL_ONLY = 121
    MARKET_HALTED = 122
    BAD_PHASE = 123
    DEADLINE_PASSED = 124
    MARKET_IN_AUCTION = 125
    STOP_WOULD_TRIGGER = 126
    TRIGGER_OUT_OF_RANGE = 127
    DISPLAY_OUT_OF_RANGE = 128
    OUTSIDE_BAND = 129
    BAD_BAND = 130
    MARKET_DELISTED = 131
    POISONED = 132
    BELOW_LEAST_NOTIONAL = 133
    ACCOUNT_ORDERS_EXHAUSTED = 134
    IN_DEBT = 135
    """The account owes what an undone trade, an exit or a payout has taken: why its orders were
    cancelled, and why it can neither order nor withdraw until money has come in."""
    TOO_MANY_ORDERS = 138
    STOPS_PENDING = 139

    # 15x: why an order that was accepted left the book or was not filled to the end, and (AUCTION)
    # what kind of trade it was.
    CANCELLED_BY_OWNER = 150
    IMMEDIATE_REMAINDER = 151
    EXPIRED = 152
    SELF_TRADE = 153
    FILLS_EXHAUSTED = 154
    EXITING = 155
    NOT_FILLABLE_WHOLE = 156
    REPLACED = 157
    CANCELLED_AFTER = 158
    TERMS_CHANGED = 159
    DELISTED = 160
    CANCELLED_BY_OPERATOR = 161
    AUCTION = 162
    BAND_MOVED = 163
    WORK_EXHAUSTED = 164
    MORE_REMAINS = 165

    # 2xx: the gateway rejected the request before it was sequenced.
    MALFORMED = 200
    BODY_TOO_LARGE = 201
    BAD_SIGNATURE = 202
    NOT_AUTHENTICATED = 203
    FORBIDDEN = 204
    NOT_FOUND = 205
    RATE_LIMITED = 206
    OFF_TICK = 207
    OFF_LOT = 208
    DUPLICATE_CLIENT_ID = 209
    WRONG_DOMAIN = 210
    OVERLOADED = 211
    SHUTTING_DOWN = 212
    DISK_LOW = 213
    UNDER_REVIEW = 214

    # 3xx: settlement could never carry this out, so it is rejected before it is sequenced.
    NONCE_USED = 300
    LANE_BUSY = 301
    UNKNOWN_KEY = 302
    KEY_SCOPE = 303
    BAD_NONCE = 304
    BAD_LANE = 305
    EXPIRY_TOO_FAR = 306
    WITHDRAWAL_OPEN = 307
    BAD_RECEIVER = 308
    BELOW_LEAST_WITHDRAWAL = 309
    NONCE_TOO_FAR = 311

    # 4xx: merchants.
    INVOICE_CLOSED = 400
    IDEMPOTENCY_CONFLICT = 401
    NO_QUOTE = 402
    UNKNOWN_STORE = 403
    CANNOT_SELL = 404
    FLOOR_MISSING = 405
    BAD_WALLET = 410
    BAD_WEBHOOK_URL = 411


class Limits(NamedTuple):
    """How large an engine's arrays are; counts, not bytes.

    Beyond them the answer is CAPACITY, so they are part of what a journal means. They cost address
    space; memory is paid for what is used.
    """

    tokens: int = 128
    markets: int = 64
    accounts: int = 1 << 20
    orders: int = 1 << 22
    ladder_ticks: int = 1 << 22
    """How many prices a core keeps in its dense window; results never depend on it."""
    generations: int = 2**31 - 1
    """How many orders one slot may hold, one after the other, before it is retired for good."""
    account_orders: int = 2048
    """How many orders of one account may rest or be armed, in all markets."""
    fills: int = FILLS_MAX
    """How many fills one order that comes in may have; a single shot never more than FILLS_MAX."""
    trades: int = 112
    """How many trades one command may cause, those of the stops it wakes included. A stop wakes
    only where ``fills`` are left, so 161 orders take part at most: they fit one transaction."""
    passes: int = 2048
    """How many orders one that comes in may pass over: expired ones and those of its account."""
    work: int = 8192
    """How many orders one command may pass over, cancel, let expire and wake, all together."""

    def written(self) -> tuple[int, ...]:
        """Return the values that stand for these limits: all but UNBOUNDED ones at the end.

        So a limit that came later does not change what an older journal says of itself.
        """
        values = tuple(self)
        while values[-1] == UNBOUNDED:
            values = values[:-1]
        return values

    @classmethod
    def read(cls, values: Sequence[int]) -> Self:
        """Return the limits that ``written`` wrote; those it did not know are UNBOUNDED."""
        return cls(*values, *[UNBOUNDED] * (len(cls._fields) - len(values)))


def fee_pips(notional_pips: int, fee_ppm: int) -> int:
    """Return ``floor(notional_pips * fee_ppm / 10**6)`` without a product above 2**62.

    Splitting the notional is exact: with ``n = a * 10**6 + b`` the fee is
    ``a * ppm + floor(b * ppm / 10**6)``. The kernel and the contract use the same formula.
    A rebate is the negative fee of its size, so it is rounded down as well: -fee_pips(n, -ppm).
    """
    whole, rest = divmod(notional_pips, PPM)
    return whole * fee_ppm + rest * fee_ppm // PPM
