"""How large and of what form may a request body be?

The size is held while the body arrives, so nobody can make us keep more than the limit. Then
msgspec decodes and checks in one step; unknown fields are rejected, because a misspelt field that
is ignored is an order the trader did not mean.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.types import Outcome
from gateway.trading.rejection import Rejection

BODY_MAX: Final = 64 * 1024
DIGITS_MAX: Final = 20
"""Of a Content-Length; ``int`` itself raises above a few thousand."""

Model = TypeVar("Model")

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that a hostile document can raise; deep nesting ends in RecursionError."""


def too_large() -> Rejection:
    """Return the rejection; the connection ends with it, for we do not read the rest."""
    return Rejection(
        Outcome.BODY_TOO_LARGE,
        f"a body has at most {BODY_MAX} bytes",
        {"limit_bytes": str(BODY_MAX)},
    )


class BodyLimit:
    """ASGI middleware: answers 413 before more than ``BODY_MAX`` bytes are kept."""

    def __init__(
        self, app: ASGIApp, rejected: Callable[[Request, Rejection], Awaitable[Response]]
    ) -> None:
        """``rejected`` returns the answer for a body that no route is asked about."""
        self._app = app
        self._rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a ``receive`` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or len(length) > DIGITS_MAX or int(length) > BODY_MAX:
            answer = await self._rejected(Request(scope, receive), too_large())
            await answer(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > BODY_MAX:
                raise too_large()
            return message

        await self._app(scope, counted, send)


def malformed(error: Exception) -> Rejection:
    """Return the rejection of a document, saying where it is wrong."""
    if isinstance(error, RecursionError):
        return Rejection(Outcome.MALFORMED, "nested too deeply")
    return Rejection(Outcome.MALFORMED, str(error))


def body_of(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Return a dependency that reads the body as ``model``."""
    decoder = msgspec.json.Decoder(model)

    async def read(request: Request) -> Model:
        body = await request.body()
        try:
            # All of it, for the decoder passes over what it hands on raw, and only looks at that
            # of a string which it turns into one.
            body.decode()
            return decoder.decode(body)
        except DECODE_ERRORS as error:
            raise malformed(error) from None

    return read
