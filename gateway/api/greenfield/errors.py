"""How is something refused to a client of BTCPay's?

By ``{code, message}``, and by a list of ``{path, message}`` where the request itself is wrong: as
plain JSON, for their clients read no other type. What a code is called their plugins compare.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from engine.types import Outcome
from gateway.http.problems import STATUS, headers_of
from gateway.trading.rejection import Rejection
from merchants.records import rejection

CODES: Final[Mapping[Outcome, str]] = {
    Outcome.NOT_AUTHENTICATED: "unauthenticated",
    Outcome.FORBIDDEN: "missing-permission",
    Outcome.RATE_LIMITED: "rate-limited",
    Outcome.NO_QUOTE: "rate-unavailable",
    Outcome.CANNOT_SELL: "no-payment-method",
    Outcome.UNKNOWN_TOKEN: "unknown-payment-method",
    Outcome.INVOICE_CLOSED: "invalid-state",
    Outcome.MORE_REMAINS: "invalid-state",
    Outcome.BAD_RECEIVER: "destination-invalid",
    Outcome.BELOW_LEAST_WITHDRAWAL: "amount-too-small",
    Outcome.AMOUNT_OUT_OF_RANGE: "amount-invalid",
    Outcome.IDEMPOTENCY_CONFLICT: "order-id-taken",
    Outcome.BAD_WEBHOOK_URL: "url-invalid",
}
GENERIC: Final = "generic-error"

INVALID: Final[Mapping[Outcome, str]] = {
    Outcome.MALFORMED: "",
    Outcome.BAD_RECEIVER: "destination",
    Outcome.BELOW_LEAST_WITHDRAWAL: "amount",
    Outcome.AMOUNT_OUT_OF_RANGE: "amount",
    Outcome.BAD_WEBHOOK_URL: "url",
}
"""What is said as a wrong field, and which."""

_PLACE: Final = re.compile(r"at `\$\.?([^`]*)`")


class NotThere(Exception):
    """There is no such ``what`` (invoice, pull-payment, ...)."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


class Invalid(Exception):
    """The field ``path`` of the request is wrong."""

    def __init__(self, path: str, message: str) -> None:
        self.path, self.message = path, message
        super().__init__(message)


def json_answer(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return JSON as their clients read it."""
    written = msgspec.json.encode(content)
    return Response(written, status, dict(headers or {}), "application/json")


def refused(refusal: Rejection) -> Response:
    """Return a rejection in the dialect's shape."""
    outcome, figures = refusal.outcome, refusal.figures
    why = str(figures.get("why") or refusal.detail)
    if outcome in INVALID:
        found = _PLACE.search(why)
        field = next((str(name) for name in figures if name not in ("why", "least")), "")
        path = found[1] if found else INVALID[outcome] or field
        return _wrong(path, why)
    status = STATUS[outcome]
    content = {"code": CODES.get(outcome, GENERIC), "message": why}
    if outcome is Outcome.FORBIDDEN and "missing" in figures:
        content["missingPermission"] = str(figures["missing"])
    return json_answer(content, status, headers_of(refusal))


def _wrong(path: str, message: str) -> Response:
    return json_answer([{"path": path, "message": message}], 422)


class GreenfieldRoute(APIRoute):
    """A route whose refusals, its dependencies' too, are in the dialect's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See ``APIRoute``."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except Rejection as refusal:
                return refused(refusal)
            except NotThere as missing:
                message = f"The {missing.what.replace('-', ' ')} was not found"
                return json_answer({"code": f"{missing.what}-not-found", "message": message}, 404)
            except Invalid as invalid:
                return _wrong(invalid.path, invalid.message)
            except RequestValidationError as error:
                first = error.errors()[0]
                return _wrong(str(first["loc"][-1]), str(first["msg"]))

        return answered


def accepted(answer: Any) -> Any:
    """Return the answer; raise it if it is a rejection."""
    if isinstance(answer, rejection.Rejection):
        raise Rejection(answer.outcome, figures=answer.detail)
    return answer
