"""Who is asking? A bearer token that says so without a table behind it.

A wallet signs in once; the server answers with a token that carries what it signed and the
session's end, sealed by HMAC-SHA256. Nothing is stored, so any gateway with the same secret accepts
it and a restart ends no session. It may read, cancel and shrink orders; it can never place or
withdraw, because those need a signature that the contract checks as well. What the wallet signed
goes into the log beside each cancel: it is how an auditor sees that the owner's session asked.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.trading.siwe_logon import Nonces
from settlement.protocol.evidence import SessionLogin, SessionProof, SiweLogin, decode, encode
from settlement.protocol.session_proofs import LOGIN_WINDOW_SECONDS, SESSION_SECONDS

TOKEN_CHARS_MAX: Final = 2_048
"""The longest message that a wallet may sign in with, its signature and the seal, in base64."""

SECRET_SIZE_MIN: Final = 32
_END_SIZE: Final = 8
_SEAL_SIZE: Final = 32


class Session(NamedTuple):
    """A proven account (20 bytes), when the proof ends, in unix seconds, and the proof."""

    account: bytes
    expires_at: int
    proof: SessionProof


class SessionIssuer:
    """Makes and reads tokens. ``secret`` is at least 32 bytes; ``now_ns`` is the clock."""

    def __init__(
        self, secret: bytes, now_ns: Callable[[], int], entropy: Callable[[int], bytes]
    ) -> None:
        if len(secret) < SECRET_SIZE_MIN:
            raise ValueError(f"a session secret has at least {SECRET_SIZE_MIN} bytes")
        self._secret = secret
        self._now_ns = now_ns
        self.nonces = Nonces(secret, now_ns, entropy)

    def fresh(self, issued_at: int) -> bool:
        """Return whether a login signed at ``issued_at`` (unix seconds) is recent enough."""
        return abs(self._now_ns() // 10**9 - issued_at) <= LOGIN_WINDOW_SECONDS

    def issue(self, proof: SessionProof, last: int) -> tuple[str, Session]:
        """Return a token for the account that signed ``proof``, and what it says: it ends in a
        day, at ``last`` if that is sooner."""
        expires_at = min(self._now_ns() // 10**9 + SESSION_SECONDS, last)
        body = expires_at.to_bytes(_END_SIZE, "big") + encode(proof)
        sealed = base64.urlsafe_b64encode(body + self._seal(body)).rstrip(b"=").decode()
        assert len(sealed) <= TOKEN_CHARS_MAX, "what is signed is bounded"
        return sealed, Session(proof.account, expires_at, proof)

    def read(self, token: str) -> Session | None:
        """Return the session behind ``token``; None when it is forged, cut or over."""
        if len(token) > TOKEN_CHARS_MAX:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        body, seal = raw[:-_SEAL_SIZE], raw[-_SEAL_SIZE:]
        if len(body) <= _END_SIZE or not hmac.compare_digest(seal, self._seal(body)):
            return None
        proof = decode(body[_END_SIZE:])
        assert isinstance(proof, SessionLogin | SiweLogin), "nobody else has the secret"
        expires_at = int.from_bytes(body[:_END_SIZE], "big")
        is_over = expires_at <= self._now_ns() // 10**9
        return None if is_over else Session(proof.account, expires_at, proof)

    def _seal(self, body: bytes) -> bytes:
        return hmac.new(self._secret, b"tillbook session 2" + body, hashlib.sha256).digest()
