"""Who signed this login, and may the bearer of this token do that?"""

import hmac
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct
from starlette.requests import HTTPConnection

from engine.types import Outcome
from gateway.api.services import Services
from gateway.api.v1.encoding import Address, Signature, address, hexed, unhex
from gateway.api.v1.orders import wrong_signer
from gateway.api.v1.schemas import LogonNonce, Opened
from gateway.trading.order_entry import OrderEntry
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session, SessionIssuer
from gateway.trading.siwe_logon import read_message
from settlement.protocol.eip712 import LOGIN_TYPE, login_digest
from settlement.protocol.evidence import SessionLogin, SessionProof, SiweLogin
from settlement.protocol.session_proofs import LOGIN_WINDOW_SECONDS, life_of
from settlement.protocol.siwe import MESSAGE_CHARS_MAX, personal_digest, resource_of


class Login(Struct, forbid_unknown_fields=True, frozen=True):
    """What the wallet signed, and its signature: either the EIP-712 ``Login`` (``account`` and
    ``issuedAt``, in unix seconds), or an EIP-4361 ``message``."""

    signature: Signature
    account: Address | None = None
    issuedAt: Annotated[int, Meta(ge=0, le=2**53)] | None = None  # noqa: N815 - as it is signed
    message: Annotated[str, Meta(max_length=MESSAGE_CHARS_MAX)] | None = None


async def open_session(services: Services, entry: OrderEntry, login: Login) -> Opened:
    """Return a token for the wallet that signed ``login``."""
    if login.message is not None and login.account is None and login.issuedAt is None:
        return await _open_by_message(services, entry, login.message, unhex(login.signature))
    if login.account is None or login.issuedAt is None or login.message is not None:
        raise Rejection(Outcome.MALFORMED, "send account and issuedAt, or message, and signature")
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
    return _opened(services, proof)


async def _open_by_message(
    services: Services, entry: OrderEntry, text: str, signature: bytes
) -> Opened:
    domain = services.exchange.domain
    said = read_message(text, services.public_url, domain, services.now_ns())
    digest = personal_digest(text)
    signer = await entry.signer_of(digest, signature)
    if signer != said.address:
        raise wrong_signer(Outcome.BAD_SIGNATURE, domain, digest, "EIP-191", signer)
    services.sessions.nonces.use(said.nonce)  # Last: nobody uses up what another has signed.
    return _opened(services, SiweLogin(said.address, text, signature))


def _opened(services: Services, proof: SessionProof) -> Opened:
    last = life_of(services.exchange.domain, proof).last
    token, session = services.sessions.issue(proof, last)
    return Opened(token=token, account=hexed(session.account), expires_at=session.expires_at)


def nonce_row(services: Services) -> LogonNonce:
    """Return a nonce, and all else that an EIP-4361 message for us has to say."""
    domain = services.exchange.domain
    nonce, ends = services.sessions.nonces.issue()
    return LogonNonce(
        nonce=nonce,
        expires_at=ends,
        domain=urlsplit(services.public_url).netloc,
        uri=services.public_url,
        version="1",
        chain_id=domain.chain_id,
        resource=resource_of(domain),
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
