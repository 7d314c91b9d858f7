"""How does a rejection look on the wire?

RFC 9457 problem documents, one shape for REST and WebSocket. One table maps each ``Outcome`` to
an HTTP status; a test holds it complete.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
import orjson
from starlette.responses import Response

from engine.types import Outcome
from gateway.trading.budgets import BudgetSpent, Left
from gateway.trading.rejection import Rejection, title_of

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:tillbook:outcome:"

STATUS: Final[Mapping[Outcome, int]] = {
    Outcome.ACCEPTED: 200,
    Outcome.UNKNOWN_COMMAND: 422,
    Outcome.UNKNOWN_TOKEN: 404,
    Outcome.UNKNOWN_MARKET: 404,
    Outcome.UNKNOWN_ACCOUNT: 404,
    Outcome.INSUFFICIENT_BALANCE: 409,
    Outcome.QUANTITY_OUT_OF_RANGE: 422,
    Outcome.PRICE_OUT_OF_RANGE: 422,
    Outcome.NOTIONAL_OUT_OF_RANGE: 422,
    Outcome.FEE_CAP_TOO_LOW: 422,
    Outcome.ORDER_EXPIRED: 422,
    Outcome.POST_ONLY_WOULD_TRADE: 409,
    Outcome.NOT_RESTING: 409,
    Outcome.NOT_OWNER: 403,
    Outcome.ACCOUNT_FROZEN: 409,
    Outcome.NOT_FROZEN: 409,
    Outcome.CAPACITY: 503,
    Outcome.BAD_LISTING: 422,
    Outcome.AMOUNT_OUT_OF_RANGE: 422,
    Outcome.BAD_ORDER: 422,
    Outcome.AMEND_NOT_SMALLER: 422,
    Outcome.MARKET_POST_ONLY: 409,
    Outcome.MARKET_CANCEL_ONLY: 409,
    Outcome.MARKET_HALTED: 409,
    Outcome.BAD_PHASE: 422,
    Outcome.DEADLINE_PASSED: 422,
    Outcome.MARKET_IN_AUCTION: 409,
    Outcome.STOP_WOULD_TRIGGER: 409,
    Outcome.TRIGGER_OUT_OF_RANGE: 422,
    Outcome.DISPLAY_OUT_OF_RANGE: 422,
    Outcome.OUTSIDE_BAND: 409,
    Outcome.BAD_BAND: 422,
    Outcome.MARKET_DELISTED: 409,
    Outcome.POISONED: 500,
    Outcome.TOO_MANY_ORDERS: 409,
    Outcome.STOPS_PENDING: 503,
    Outcome.BELOW_LEAST_NOTIONAL: 422,
    Outcome.ACCOUNT_ORDERS_EXHAUSTED: 409,
    Outcome.IN_DEBT: 409,
    Outcome.CANCELLED_BY_OWNER: 409,
    Outcome.IMMEDIATE_REMAINDER: 409,
    Outcome.EXPIRED: 409,
    Outcome.SELF_TRADE: 409,
    Outcome.FILLS_EXHAUSTED: 409,
    Outcome.EXITING: 409,
    Outcome.NOT_FILLABLE_WHOLE: 409,
    Outcome.REPLACED: 409,
    Outcome.CANCELLED_AFTER: 409,
    Outcome.TERMS_CHANGED: 409,
    Outcome.DELISTED: 409,
    Outcome.CANCELLED_BY_OPERATOR: 409,
    Outcome.AUCTION: 409,
    Outcome.BAND_MOVED: 409,
    Outcome.WORK_EXHAUSTED: 409,
    Outcome.MORE_REMAINS: 409,
    Outcome.MALFORMED: 400,
    Outcome.BODY_TOO_LARGE: 413,
    Outcome.BAD_SIGNATURE: 401,
    Outcome.NOT_AUTHENTICATED: 401,
    Outcome.FORBIDDEN: 403,
    Outcome.NOT_FOUND: 404,
    Outcome.RATE_LIMITED: 429,
    Outcome.OFF_TICK: 422,
    Outcome.OFF_LOT: 422,
    Outcome.DUPLICATE_CLIENT_ID: 409,
    Outcome.WRONG_DOMAIN: 422,
    Outcome.OVERLOADED: 503,
    Outcome.SHUTTING_DOWN: 503,
    Outcome.DISK_LOW: 503,
    Outcome.UNDER_REVIEW: 503,
    Outcome.NONCE_USED: 409,
    Outcome.LANE_BUSY: 409,
    Outcome.UNKNOWN_KEY: 403,
    Outcome.KEY_SCOPE: 403,
    Outcome.BAD_NONCE: 422,
    Outcome.BAD_LANE: 422,
    Outcome.EXPIRY_TOO_FAR: 422,
    Outcome.WITHDRAWAL_OPEN: 409,
    Outcome.BAD_RECEIVER: 422,
    Outcome.BELOW_LEAST_WITHDRAWAL: 422,
    Outcome.NONCE_TOO_FAR: 422,
    Outcome.INVOICE_CLOSED: 409,
    Outcome.IDEMPOTENCY_CONFLICT: 409,
    Outcome.NO_QUOTE: 503,
    Outcome.UNKNOWN_STORE: 404,
    Outcome.CANNOT_SELL: 409,
    Outcome.FLOOR_MISSING: 422,
    Outcome.BAD_WALLET: 422,
    Outcome.BAD_WEBHOOK_URL: 422,
}

RETRYABLE: Final = frozenset(
    {
        Outcome.CAPACITY,
        Outcome.RATE_LIMITED,
        Outcome.OVERLOADED,
        Outcome.SHUTTING_DOWN,
        Outcome.DISK_LOW,
        Outcome.UNDER_REVIEW,
        Outcome.STOPS_PENDING,
        Outcome.NO_QUOTE,
    }
)
"""Refused for a reason that passes by itself: the same request may succeed a little later."""

HEADERS: Final[Mapping[Outcome, Mapping[str, str]]] = {
    Outcome.NOT_AUTHENTICATED: {"WWW-Authenticate": "Bearer"},
    # The connection ends with it, for we do not read the rest.
    Outcome.BODY_TOO_LARGE: {"Connection": "close"},
}
"""What HTTP has a header for."""

INTERNAL: Final = "INTERNAL"
"""The one name that is no ``Outcome``: our own fault, and nobody knows what became of it."""


class Problem(msgspec.Struct):
    """The fields that every problem document has; some outcomes add their figures beside them."""

    type: str
    title: str
    status: int
    outcome: Annotated[
        str,
        msgspec.Meta(
            description="the name of what happened; the hundreds of its code name who refused: "
            "1 engine, 2 gateway, 3 settlement, 4 merchants",
            extra_json_schema={"enum": [*(one.name for one in Outcome if one), INTERNAL]},
        ),
    ]
    code: int
    detail: str
    retryable: bool


def document_of(rejection: Rejection) -> dict[str, object]:
    """Return the problem document; a figure never overwrites one of its own fields."""
    outcome = rejection.outcome
    return {
        **rejection.figures,
        "type": f"{TYPE_PREFIX}{outcome.name}",
        "title": title_of(outcome),
        "status": STATUS[outcome],
        "outcome": outcome.name,
        "code": int(outcome),
        "detail": rejection.detail,
        "retryable": outcome in RETRYABLE,
    }


def headers_of(rejection: Rejection) -> dict[str, str]:
    """Return what else an HTTP answer has to say."""
    headers = dict(HEADERS.get(rejection.outcome, {}))
    if rejection.retry_after is not None:
        headers["Retry-After"] = str(rejection.retry_after)
    if isinstance(rejection, BudgetSpent):
        headers |= budget_headers([rejection.left])
    return headers


def answer_of(rejection: Rejection) -> Response:
    """Return a rejection as an HTTP answer."""
    return problem_response(document_of(rejection), headers_of(rejection))


def internal_document() -> dict[str, object]:
    """Return the document for a fault of ours. The caller must look before trying again."""
    return {
        "type": f"{TYPE_PREFIX}{INTERNAL}",
        "title": "Internal error",
        "status": 500,
        "outcome": INTERNAL,
        "code": -1,
        "detail": "What became of the request is unknown: ask before you repeat it. "
        "The same signed order may be sent again, it is taken once only.",
        "retryable": False,
    }


def problem_response(document: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    """Return ``document`` as an HTTP answer with the status that it names."""
    status = document["status"]
    assert isinstance(status, int), "each document names its status"
    return Response(orjson.dumps(document), status, dict(headers), PROBLEM_MEDIA_TYPE)


def of_status(status: int, detail: str) -> dict[str, object]:
    """Return the document for what the framework itself refuses: no such path, wrong method."""
    outcome = Outcome.NOT_FOUND if status == 404 else Outcome.MALFORMED
    return document_of(Rejection(outcome, detail)) | {"status": status}


def budget_headers(budgets: list[Left]) -> dict[str, str]:
    """Return how budgets are told: by the IETF's draft of ``RateLimit`` header fields."""
    policies = (f'"{b.kind}";q={b.limit};w={b.window_seconds}' for b in budgets)
    states = (f'"{b.kind}";r={b.left};t={b.full_in_seconds}' for b in budgets)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}
