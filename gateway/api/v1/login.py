"""Who signed this login, and may the bearer of this token do that?"""

import hmac
from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import HTTPConnection

from engine.types import Outcome
from gateway.api.services import Services
from gateway.api.v1.encoding import Address, Signature, address, hexed, unhex
from gateway.api.v1.orders import wrong_signer
from gateway.api.v1.schemas import Opened
from gateway.trading.order_entry import OrderEntry
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session, SessionIssuer
from settlement.protocol.eip712 import LOGIN_TYPE, login_digest
from settlement.protocol.evidence import SessionLogin
from settlement.protocol.session_proofs import LOGIN_WINDOW_SECONDS, SESSION_SECONDS


class Login(Struct, forbid_unknown_fields=True, frozen=True):
    """The EIP-712 ``Login`` and the wallet's signature; ``issuedAt`` in unix seconds."""

    account: Address
    issuedAt: Annotated[int, Meta(ge=0, le=2**53)]  # noqa: N815 - the name that the wallet signs
    signature: Signature


async def open_session(services: Services, entry: OrderEntry, login: Login) -> Opened:
    """Return a token for the wallet that signed ``login``."""
    account = address(login.account, "account")
    if not services.sessions.fresh(login.issuedAt):
        raise Rejection(
            Outcome.NOT_AUTHENTICATED,
            f"issuedAt is more than {LOGIN_WINDOW_SECONDS} s from our clock",
            {"time_ns": str(services.now_ns())},
        )
    digest = login_digest(services.exchange.domain, account, login.issuedAt)
    signer = await entry.signer_of(digest, unhex(login.signature))
    if signer != account:
        domain = services.exchange.domain
        raise wrong_signer(Outcome.BAD_SIGNATURE, domain, digest, LOGIN_TYPE, signer)
    proof = SessionLogin(account, login.issuedAt, unhex(login.signature))
    last = login.issuedAt + LOGIN_WINDOW_SECONDS + SESSION_SECONDS
    token, session = services.sessions.issue(proof, last)
    return Opened(
        token=token,
        account=hexed(session.account),
        expires_at=session.expires_at,
    )


def session_of(sessions: SessionIssuer, token: str) -> Session:
    """Return the session behind ``token``; refused when there is none."""
    session = sessions.read(token)
    if session is None:
        raise Rejection(
            Outcome.NOT_AUTHENTICATED,
            "no valid session: sign a Login and POST it to /v1/sessions",
        )
    return session


def bearer_of(connection: HTTPConnection) -> str:
    """Return the bearer token of a request, empty if it has none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def require_operator(connection: HTTPConnection, operator_token: str) -> None:
    """Reject whoever has not the operator's token; everybody, if there is none."""
    given = bearer_of(connection).encode()
    if not operator_token or not hmac.compare_digest(given, operator_token.encode()):
        raise Rejection(Outcome.NOT_AUTHENTICATED, "the operator's token is needed")
