"""Which code and sentence does a client of this dialect get when something does not happen?

Codes and sentences are those that the dialect's public documentation lists, for clients compare
them. One table maps each ``Outcome``; a test holds it complete. What only we know stands beside
them in fields of our own (``x_outcome``, ``x_detail``).
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from engine.types import Outcome
from gateway.trading.rejection import Rejection


class Code(IntEnum):
    """The dialect's error codes, as far as we use them."""

    UNKNOWN = -1000
    TOO_MANY_REQUESTS = -1003
    UNEXPECTED_RESPONSE = -1006
    SERVER_BUSY = -1008
    INVALID_MESSAGE = -1013
    TOO_MANY_ORDERS = -1015
    SERVICE_SHUTTING_DOWN = -1016
    UNSUPPORTED_OPERATION = -1020
    INVALID_TIMESTAMP = -1021
    INVALID_SIGNATURE = -1022
    ILLEGAL_CHARS = -1100
    MANDATORY_PARAM_EMPTY_OR_MALFORMED = -1102
    UNREAD_PARAMETERS = -1104
    PARAM_NOT_REQUIRED = -1106
    BAD_PRECISION = -1111
    INVALID_TIME_IN_FORCE = -1115
    INVALID_ORDER_TYPE = -1116
    INVALID_SIDE = -1117
    BAD_INTERVAL = -1120
    BAD_SYMBOL = -1121
    OPTIONAL_PARAMS_BAD_COMBO = -1128
    INVALID_PARAMETER = -1130
    NEW_ORDER_REJECTED = -2010
    CANCEL_REJECTED = -2011
    NO_SUCH_ORDER = -2013
    BAD_API_KEY_FORMAT = -2014
    REJECTED_KEY = -2015
    CANCEL_REPLACE_PARTLY_FAILED = -2021
    CANCEL_REPLACE_FAILED = -2022
    AMEND_REJECTED = -2038


BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
CONFLICT: Final = 409
TOO_MANY: Final = 429
UNAVAILABLE: Final = 503


class Saying(NamedTuple):
    """What a client is told, and with which HTTP status."""

    code: Code
    words: str
    status: int = BAD_REQUEST


class Refused(Exception):
    """Nothing has happened; ``saying`` is why, ``more`` what stands beside it."""

    def __init__(
        self,
        saying: Saying,
        more: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.saying = saying
        self.more = dict(more or {})
        self.retry_after = retry_after
        super().__init__(saying.words)


def refused(code: Code, words: str, status: int = BAD_REQUEST) -> Refused:
    """Return a refusal that no ``Outcome`` stands behind."""
    return Refused(Saying(code, words, status))


_REJECTED: Final = Code.NEW_ORDER_REJECTED
_MONEY: Final = "Account has insufficient balance for requested action."
_CLOSED: Final = "Market is closed."
_BUSY: Final = Saying(
    Code.SERVER_BUSY, "Server is currently overloaded with other requests.", UNAVAILABLE
)
_KEY: Final = Saying(
    Code.REJECTED_KEY, "Invalid API-key, IP, or permissions for action.", UNAUTHORIZED
)
_UNSUPPORTED: Final = Saying(Code.UNSUPPORTED_OPERATION, "This operation is not supported.")
_UNKNOWN_ORDER: Final = Saying(Code.CANCEL_REJECTED, "Unknown order sent.")


def _filter(name: str) -> Saying:
    return Saying(Code.INVALID_MESSAGE, f"Filter failure: {name}")


def _order(words: str) -> Saying:
    return Saying(_REJECTED, words)


PRICE_FILTER: Final = _filter("PRICE_FILTER")
LOT_SIZE: Final = _filter("LOT_SIZE")
NOTIONAL: Final = _filter("NOTIONAL")
ICEBERG_PARTS: Final = _filter("ICEBERG_PARTS")
BAD_SYMBOL: Final = Saying(Code.BAD_SYMBOL, "Invalid symbol.")
BAD_KEY: Final = _KEY
BAD_SIGNATURE: Final = Saying(
    Code.INVALID_SIGNATURE, "Signature for this request is not valid.", BAD_REQUEST
)
NO_SUCH_ORDER: Final = Saying(Code.NO_SUCH_ORDER, "Order does not exist.")
UNSUPPORTED: Final = _UNSUPPORTED

_LEFT: Final = _order("Order was ended by the matching engine.")

SAYINGS: Final[Mapping[Outcome, Saying]] = {
    Outcome.ACCEPTED: Saying(Code.UNEXPECTED_RESPONSE, "It has happened.", 500),
    Outcome.UNKNOWN_COMMAND: _UNSUPPORTED,
    Outcome.UNKNOWN_TOKEN: BAD_SYMBOL,
    Outcome.UNKNOWN_MARKET: BAD_SYMBOL,
    Outcome.UNKNOWN_ACCOUNT: _order(_MONEY),
    Outcome.INSUFFICIENT_BALANCE: _order(_MONEY),
    Outcome.QUANTITY_OUT_OF_RANGE: LOT_SIZE,
    Outcome.PRICE_OUT_OF_RANGE: PRICE_FILTER,
    Outcome.NOTIONAL_OUT_OF_RANGE: NOTIONAL,
    Outcome.FEE_CAP_TOO_LOW: _order("The order's fee cap is below the market's fee."),
    Outcome.ORDER_EXPIRED: _order("The order has expired."),
    Outcome.POST_ONLY_WOULD_TRADE: _order("Order would immediately match and take."),
    Outcome.NOT_RESTING: _UNKNOWN_ORDER,
    Outcome.NOT_OWNER: _UNKNOWN_ORDER,
    Outcome.ACCOUNT_FROZEN: _order("This account may not place or cancel orders."),
    Outcome.NOT_FROZEN: _order("This action is disabled on this account."),
    Outcome.CAPACITY: _BUSY,
    Outcome.BAD_LISTING: _UNSUPPORTED,
    Outcome.AMOUNT_OUT_OF_RANGE: LOT_SIZE,
    Outcome.BAD_ORDER: _order("The order's terms do not go together."),
    Outcome.AMEND_NOT_SMALLER: Saying(
        Code.AMEND_REJECTED, "The new quantity is not smaller than what is open."
    ),
    Outcome.MARKET_POST_ONLY: _order("Market takes orders that only add to the book."),
    Outcome.MARKET_CANCEL_ONLY: _order(_CLOSED),
    Outcome.MARKET_HALTED: _order(_CLOSED),
    Outcome.BAD_PHASE: _UNSUPPORTED,
    Outcome.DEADLINE_PASSED: Saying(
        Code.INVALID_TIMESTAMP, "Timestamp for this request is outside of the recvWindow."
    ),
    Outcome.MARKET_IN_AUCTION: _order("Market is in an auction."),
    Outcome.STOP_WOULD_TRIGGER: _order("Stop price would trigger immediately."),
    Outcome.TRIGGER_OUT_OF_RANGE: PRICE_FILTER,
    Outcome.DISPLAY_OUT_OF_RANGE: ICEBERG_PARTS,
    Outcome.OUTSIDE_BAND: _filter("PERCENT_PRICE_BY_SIDE"),
    Outcome.BAD_BAND: _UNSUPPORTED,
    Outcome.MARKET_DELISTED: BAD_SYMBOL,
    Outcome.POISONED: Saying(Code.UNEXPECTED_RESPONSE, "The order could not be judged.", 500),
    Outcome.BELOW_LEAST_NOTIONAL: NOTIONAL,
    Outcome.ACCOUNT_ORDERS_EXHAUSTED: _filter("MAX_NUM_ORDERS"),
    Outcome.IN_DEBT: _order(_MONEY),
    Outcome.TOO_MANY_ORDERS: _filter("MAX_NUM_ORDERS"),
    Outcome.STOPS_PENDING: _BUSY,
    Outcome.CANCELLED_BY_OWNER: _LEFT,
    Outcome.IMMEDIATE_REMAINDER: _LEFT,
    Outcome.EXPIRED: _LEFT,
    Outcome.SELF_TRADE: _LEFT,
    Outcome.FILLS_EXHAUSTED: _LEFT,
    Outcome.EXITING: _order("This account may not place or cancel orders."),
    Outcome.NOT_FILLABLE_WHOLE: _LEFT,
    Outcome.REPLACED: _LEFT,
    Outcome.CANCELLED_AFTER: _LEFT,
    Outcome.TERMS_CHANGED: _LEFT,
    Outcome.DELISTED: BAD_SYMBOL,
    Outcome.CANCELLED_BY_OPERATOR: _LEFT,
    Outcome.AUCTION: _LEFT,
    Outcome.BAND_MOVED: _LEFT,
    Outcome.WORK_EXHAUSTED: _BUSY,
    Outcome.MORE_REMAINS: _BUSY,
    Outcome.MALFORMED: Saying(
        Code.MANDATORY_PARAM_EMPTY_OR_MALFORMED, "A parameter was empty/null, or malformed."
    ),
    Outcome.BODY_TOO_LARGE: Saying(Code.ILLEGAL_CHARS, "The request is too large.", 413),
    Outcome.BAD_SIGNATURE: BAD_SIGNATURE,
    Outcome.NOT_AUTHENTICATED: _KEY,
    Outcome.FORBIDDEN: _KEY,
    Outcome.NOT_FOUND: NO_SUCH_ORDER,
    Outcome.RATE_LIMITED: Saying(
        Code.TOO_MANY_REQUESTS, "Too many requests; please come back later.", TOO_MANY
    ),
    Outcome.OFF_TICK: PRICE_FILTER,
    Outcome.OFF_LOT: LOT_SIZE,
    Outcome.DUPLICATE_CLIENT_ID: _order("Duplicate order sent."),
    Outcome.WRONG_DOMAIN: BAD_SIGNATURE,
    Outcome.OVERLOADED: _BUSY,
    Outcome.SHUTTING_DOWN: Saying(
        Code.SERVICE_SHUTTING_DOWN, "This service is no longer available.", UNAVAILABLE
    ),
    Outcome.DISK_LOW: _BUSY,
    Outcome.UNDER_REVIEW: _order("This action is disabled on this account."),
    Outcome.NONCE_USED: _order("Duplicate order sent."),
    Outcome.LANE_BUSY: _order("The order's lane carries another order."),
    Outcome.UNKNOWN_KEY: _KEY,
    # Not -2015: some clients take that for a ban, once a key has worked.
    Outcome.KEY_SCOPE: _order("This action is disabled on this account."),
    Outcome.BAD_NONCE: _order("The order's nonce is not good."),
    Outcome.BAD_LANE: _order("The order's lane is not good."),
    Outcome.EXPIRY_TOO_FAR: _order("The order's expiry is too far ahead."),
    Outcome.WITHDRAWAL_OPEN: _UNSUPPORTED,
    Outcome.BAD_RECEIVER: _UNSUPPORTED,
    Outcome.BELOW_LEAST_WITHDRAWAL: _UNSUPPORTED,
    Outcome.NONCE_TOO_FAR: _order("The order's nonce is too far ahead."),
    Outcome.INVOICE_CLOSED: _UNSUPPORTED,
    Outcome.IDEMPOTENCY_CONFLICT: _order("Duplicate order sent."),
    Outcome.NO_QUOTE: _UNSUPPORTED,
    Outcome.UNKNOWN_STORE: _UNSUPPORTED,
    Outcome.CANNOT_SELL: _UNSUPPORTED,
    Outcome.FLOOR_MISSING: _UNSUPPORTED,
    Outcome.BAD_WALLET: _UNSUPPORTED,
    Outcome.BAD_WEBHOOK_URL: _UNSUPPORTED,
}


def of_rejection(rejection: Rejection, instead: Code | None = None) -> Refused:
    """Return a rejection of ours in the dialect; ``instead`` of the code for orders, for what is
    rejected is a cancel or an amendment."""
    saying = SAYINGS[rejection.outcome]
    if instead is not None and saying.code in (_REJECTED, Code.CANCEL_REJECTED):
        saying = saying._replace(code=instead)
    more: dict[str, object] = {"x_outcome": rejection.outcome.name, **_figures(rejection)}
    return Refused(saying, more, rejection.retry_after)


def _figures(rejection: Rejection) -> dict[str, object]:
    found: dict[str, object] = {}
    if rejection.detail:
        found["x_why"] = rejection.detail
    if rejection.figures:
        found["x_detail"] = rejection.figures
    return found


def document_of(problem: Refused) -> dict[str, object]:
    """Return what is written: code, sentence, and our own fields behind them."""
    return {"code": int(problem.saying.code), "msg": problem.saying.words, **problem.more}
