"""How does a trader come to an API key, and how does he end it?

With a session of the native API, which his wallet has opened: ``POST`` makes a key, ``DELETE`` ends
all keys of the account. The secret is shown once and stored nowhere.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request

from engine.types import Outcome
from gateway.api.binance.desk import Desk
from gateway.api.binance.errors import UNSUPPORTED, Code, Refused, refused
from gateway.http.body import DECODE_ERRORS
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import TOKEN_CHARS_MAX, Session

PATH: Final = "/api/v3/x/keys"


class Asked(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the key is to be good for."""

    scope: Annotated[Literal["read", "trade"], Meta(description="trade: cancel as well")] = "read"


_decoder = msgspec.json.Decoder(Asked)


async def answer(desk: Desk, request: Request) -> dict[str, Any]:
    """Make a key, or end all of the account's."""
    if request.method not in ("POST", "DELETE"):
        raise Refused(UNSUPPORTED)
    session = session_of(desk, request)
    if request.method == "DELETE":
        desk.limits.withdrawal(session.account)
        if desk.exchange.catalog.account_number(session.account) is None:
            raise Rejection(Outcome.UNKNOWN_ACCOUNT, "it has never had a deposit")
        await desk.keys.end_all(session.account)
        return {}
    body = await request.body()
    try:
        scope = _decoder.decode(body or b"{}").scope
    except DECODE_ERRORS as error:
        raise refused(Code.INVALID_PARAMETER, f"The body is not valid: {error}") from None
    minted = desk.keys.mint(session, may_trade=scope == "trade")
    return {
        "apiKey": minted.key,
        "secretKey": minted.secret,
        "scope": scope,
        "expiresAt": minted.expires_ms,
        "account": f"0x{session.account.hex()}",
        "signsHere": desk.managed.holds(session.account),
    }


def session_of(desk: Desk, request: Request) -> Session:
    """Return the session of the bearer token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    is_bearer = scheme.lower() == "bearer" and len(token) <= TOKEN_CHARS_MAX
    session = desk.sessions.read(token.strip()) if is_bearer else None
    if session is None:
        raise Rejection(
            Outcome.NOT_AUTHENTICATED, "no valid session: sign a Login, POST it to /v1/sessions"
        )
    return session
