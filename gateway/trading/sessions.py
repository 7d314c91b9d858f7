"""Who is asking? A bearer token that says so without a table behind it.

A wallet signs ``Login(account, issuedAt)`` once; the server answers with a token that carries the
account and its end, sealed by HMAC-SHA256. Nothing is stored, so any gateway with the same secret
accepts it and a restart ends no session. It may read and cancel; it can never place or withdraw,
because those need a signature that the contract checks as well.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple

SESSION_SECONDS: Final = 24 * 3600
LOGIN_WINDOW_SECONDS: Final = 300
"""A signed login older or further ahead than this is refused."""

SECRET_SIZE_MIN: Final = 32
_ACCOUNT_SIZE: Final = 20
_BODY_SIZE: Final = _ACCOUNT_SIZE + 8
_TOKEN_SIZE: Final = _BODY_SIZE + 32


class Session(NamedTuple):
    """A proven account (20 bytes) and when the proof ends, in unix seconds."""

    account: bytes
    expires_at: int


class SessionIssuer:
    """Makes and reads tokens. ``secret`` is at least 32 bytes; ``now_ns`` is the clock."""

    def __init__(self, secret: bytes, now_ns: Callable[[], int]) -> None:
        if len(secret) < SECRET_SIZE_MIN:
            raise ValueError(f"a session secret has at least {SECRET_SIZE_MIN} bytes")
        self._secret = secret
        self._now_ns = now_ns

    def fresh(self, issued_at: int) -> bool:
        """Return whether a login signed at ``issued_at`` (unix seconds) is recent enough."""
        return abs(self._now_ns() // 10**9 - issued_at) <= LOGIN_WINDOW_SECONDS

    def issue(self, account: bytes) -> tuple[str, Session]:
        """Return a token for ``account`` and what it says."""
        session = Session(account, self._now_ns() // 10**9 + SESSION_SECONDS)
        body = account + session.expires_at.to_bytes(8, "big")
        sealed = base64.urlsafe_b64encode(body + self._seal(body)).rstrip(b"=")
        return sealed.decode(), session

    def read(self, token: str) -> Session | None:
        """Return the session behind ``token``; None when it is forged, cut or over."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        body, seal = raw[:_BODY_SIZE], raw[_BODY_SIZE:]
        if len(raw) != _TOKEN_SIZE or not hmac.compare_digest(seal, self._seal(body)):
            return None
        session = Session(body[:_ACCOUNT_SIZE], int.from_bytes(body[_ACCOUNT_SIZE:], "big"))
        return session if session.expires_at > self._now_ns() // 10**9 else None

    def _seal(self, body: bytes) -> bytes:
        return hmac.new(self._secret, b"tillbook session 1" + body, hashlib.sha256).digest()
