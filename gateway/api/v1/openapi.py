"""How does a route say what it takes and what it answers?

``Answer`` writes a Struct. ``documented`` describes the route for OpenAPI
from the same types; ``schema_of`` completes the document.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from gateway.api.v1 import (
    application_schemas,
    confirmation_schemas,
    embedding_schemas,
    exception_policy_schemas,
    grant_schemas,
    key_schemas,
    money_schemas,
    people_schemas,
    policy_schemas,
    refund_schemas,
    report_schemas,
    schemas,
    shop_key_schemas,
    shop_point_schemas,
    shop_schemas,
    verb_schemas,
    webhook_schemas,
)
from gateway.api.v1.login import Login
from gateway.api.v1.lot_schemas import LotChoiceBody, LotClosingBody
from gateway.api.v1.orders import DryRun, PlaceOrder, Withdraw
from gateway.api.v1.verbs import Amend, CancelAfter, CancelMany, PlaceMany, Replace
from gateway.http.problems import PROBLEM_MEDIA_TYPE, Problem
from merchants.reports import rows
from settlement.audit.proofs import TradeProof

SCHEMAS: Final = (
    schemas,
    shop_schemas,
    grant_schemas,
    policy_schemas,
    embedding_schemas,
    confirmation_schemas,
    exception_policy_schemas,
    shop_key_schemas,
    application_schemas,
    shop_point_schemas,
    webhook_schemas,
    verb_schemas,
    key_schemas,
    money_schemas,
    people_schemas,
    refund_schemas,
    report_schemas,
    rows,
)

TYPES: Final = (
    Problem,
    LotChoiceBody,
    LotClosingBody,
    PlaceOrder,
    DryRun,
    Withdraw,
    Login,
    Amend,
    CancelMany,
    PlaceMany,
    Replace,
    CancelAfter,
    TradeProof,
    *(
        shape
        for module in SCHEMAS
        for shape in vars(module).values()
        if isinstance(shape, type) and shape.__module__ == module.__name__
    ),
)

PROOFS: Final = {
    "session": "the token that `POST /v1/sessions` answers to a wallet's login, for a day",
    "store": "a store's API key with the permission named here, as `Bearer` or `token`",
    "operator": "the operator's token",
    "person": "the session's cookie, as a page of ours got it when its user signed in",
}
"""Bearer tokens, by whose they are, and the dashboard's cookie. What a wallet signs proves itself
and needs none."""

_REJECTIONS: Final = {
    400: "Malformed: not JSON, a field missing, unknown or out of bounds",
    401: "Bad signature, or not logged in",
    403: "Not yours to do",
    404: "No such thing",
    409: "Refused as things stand: balance, nonce, lane, state of the order",
    413: "The body is larger than 64 KiB",
    422: "Well formed, but can never be done: off tick, out of range, expired",
    429: "Over a budget; see Retry-After",
    503: "Not now: closing, overloaded or full. Try again",
}


class Answer(Response):
    """A JSON answer: a Struct, or the fields of one of which some are written already."""

    media_type = "application/json"

    def __init__(
        self,
        reply: Mapping[str, Any] | msgspec.Struct,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(msgspec.json.encode(reply), status_code, headers)


def _content(media_type: str, shape: type) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{shape.__name__}"}}}


def documented(
    reply: type,
    *,
    body: type | None = None,
    status: int = 200,
    rejections: tuple[int, ...] = (429,),
    proof: str = "",
    scope: str = "",
) -> dict[str, Any]:
    """Return the OpenAPI part of one route; ``proof`` is which of ``PROOFS`` it asks for, ``scope``
    which permission that has to have."""
    answers: dict[str, Any] = {
        str(status): {
            "description": (reply.__doc__ or "").strip(),
            "content": _content("application/json", reply),
        }
    }
    for rejection in rejections:
        answers[str(rejection)] = {
            "description": _REJECTIONS[rejection],
            "content": _content(PROBLEM_MEDIA_TYPE, Problem),
        }
    extra: dict[str, Any] = {"responses": answers}
    if proof:
        extra["security"] = [{proof: [scope] if scope else []}]
    if body is not None:
        extra["requestBody"] = {"required": True, "content": _content("application/json", body)}
    return extra


def schema_of(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of ``app``, with the schemas of our own types."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, routes=app.routes, description=app.description
        )
        _, ours = msgspec.json.schema_components(TYPES, ref_template="#/components/schemas/{name}")
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        schemas.update(ours)
        components["securitySchemes"] = {
            name: {"type": "http", "scheme": "bearer", "description": description}
            for name, description in PROOFS.items()
        }
        components["securitySchemes"]["person"] = {
            "type": "apiKey",
            "in": "cookie",
            "name": "tillbook_session",
            "description": PROOFS["person"],
        }
        _correct(document)
        app.openapi_schema = document
    return app.openapi_schema


def _correct(document: dict[str, Any]) -> None:
    """Replace what FastAPI guesses: its own validation error shape and empty 200 answers."""
    for path in document["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            guessed = answers.get("422", {}).get("content", {}).get("application/json", {})
            if "HTTPValidationError" in str(guessed):
                # Ours may stand beside it: a route that has both keeps its own.
                del answers["422"]["content"]["application/json"]
                if not answers["422"]["content"]:
                    del answers["422"]
                answers.setdefault(
                    "400",
                    {
                        "description": _REJECTIONS[400],
                        "content": _content(PROBLEM_MEDIA_TYPE, Problem),
                    },
                )
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
