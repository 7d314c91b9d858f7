"""How is the operators' API described, from the types that it reads and writes?"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from gateway.api.admin.schemas import BODIES, REPLIES
from gateway.http.problems import PROBLEM_MEDIA_TYPE, Problem

REFUSALS: Final[Mapping[int, str]] = {
    400: "Not JSON, a field missing, unknown or out of bounds",
    401: "No operator's token, or a wrong one",
    404: "No such market, token or account",
    409: "Refused as things stand",
    413: "The body is larger than 64 KiB",
    422: "Can never be done",
    429: "Over a budget; see Retry-After",
    503: "Not now. Try again",
}
_REFERENCE: Final = "#/components/schemas/"


def reply_of(reply: msgspec.Struct, status: int = 200) -> Response:
    """Return ``reply`` as an answer."""
    return Response(msgspec.json.encode(reply), status, media_type="application/json")


def described(reply: type, body: type | None = None, status: int = 200) -> dict[str, Any]:
    """Return the OpenAPI part of one route."""
    answers = {str(status): _content((reply.__doc__ or "").strip(), "application/json", reply)}
    refused = REFUSALS if body is not None else {c: REFUSALS[c] for c in (401, 429, 503)}
    for code, words in refused.items():
        answers[str(code)] = _content(words, PROBLEM_MEDIA_TYPE, Problem)
    extra: dict[str, Any] = {"responses": answers, "security": [{"operator": []}]}
    if body is not None:
        wanted = {"application/json": {"schema": {"$ref": _REFERENCE + body.__name__}}}
        extra["requestBody"] = {"required": True, "content": wanted}
    return extra


def document_of(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the operators' application."""
    document = get_openapi(
        title=app.title, version=app.version, routes=app.routes, description=app.description
    )
    _, ours = msgspec.json.schema_components(
        (*REPLIES, *BODIES, Problem), ref_template=_REFERENCE + "{name}"
    )
    document["components"] = {
        "schemas": ours,
        "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}},
    }
    for path in document["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            # What FastAPI guesses of a path's symbol; the shape is not ours.
            if "HTTPValidationError" in str(answers.get("422")):
                answers["422"] = _content(REFUSALS[422], PROBLEM_MEDIA_TYPE, Problem)
    return document


def _content(words: str, media_type: str, shape: type) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE + shape.__name__}
    return {"description": words, "content": {media_type: {"schema": schema}}}
