"""Whose is this API key, and which secret stands behind it? Answered without a table.

A key carries its account, when it was made, when it ends and what it may do, sealed by HMAC-SHA256;
its secret is derived from the same bytes. So nothing is stored and a restart ends no key. All keys
of an account end together: those made up to a moment are void (``KeyEpochs``).

A key that may trade carries the session that made it, because what the wallet signed then goes into
the log beside each cancel; so it ends with that session. It reads and cancels, and never places: an
order needs a signature that the contract checks.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from gateway.trading.sessions import Session
from settlement.protocol.evidence import SessionLogin, SiweLogin, decode, encode

READING_DAYS: Final = 30
"""How long a key lasts that may only read."""

KEY_CHARS_MAX: Final = 2_048
_NS_A_MS: Final = 1_000_000
_DAY_MS: Final = 24 * 3600 * 1000
_SECRET_SIZE_MIN: Final = 32
_SEAL_SIZE: Final = 16
_TIME_SIZE: Final = 6
_ACCOUNT_SIZE: Final = 20
_HEAD_SIZE: Final = 2 * _TIME_SIZE + _ACCOUNT_SIZE


class ApiKey(NamedTuple):
    """A key, its secret as its owner is shown it, once, and what it says; times are in unix
    milliseconds. ``session`` may trade; None: the key may only read."""

    key: str
    secret: str
    account: bytes
    issued_ms: int
    expires_ms: int
    session: Session | None


class HeldKey(NamedTuple):
    """A trader's session key in our keeping: its secret (32 bytes), and the end of its grant in
    unix seconds."""

    secret: bytes
    expires_at: int


class KeyEpochs(Protocol):
    """Up to when an account's keys are void; it outlives a restart."""

    def of(self, account: bytes) -> int:
        """Return the moment in unix milliseconds; 0 if there is none."""

    async def end(self, account: bytes, issued_ms: int) -> None:
        """Void keys made up to ``issued_ms``; durable when it returns."""


class MemoryEpochs:
    """Epochs that a restart forgets, for who has no disk."""

    def __init__(self) -> None:
        self._epochs: dict[bytes, int] = {}

    def of(self, account: bytes) -> int:
        """See ``KeyEpochs``."""
        return self._epochs.get(account, 0)

    async def end(self, account: bytes, issued_ms: int) -> None:
        """See ``KeyEpochs``."""
        self._epochs[account] = issued_ms


class ApiKeys:
    """Makes and reads keys. ``secret`` is at least 32 bytes; ``now_ns`` is the clock."""

    def __init__(self, secret: bytes, epochs: KeyEpochs, now_ns: Callable[[], int]) -> None:
        if len(secret) < _SECRET_SIZE_MIN:
            raise ValueError(f"a secret of keys has at least {_SECRET_SIZE_MIN} bytes")
        self._secret = secret
        self._epochs = epochs
        self._now_ns = now_ns

    def mint(self, session: Session, may_trade: bool) -> ApiKey:
        """Return a new key of the session's account."""
        account = session.account
        issued = max(self._now_ms(), self._epochs.of(account) + 1)
        ends = session.expires_at * 1000 if may_trade else issued + READING_DAYS * _DAY_MS
        proof = encode(session.proof) if may_trade else b""
        times = issued.to_bytes(_TIME_SIZE, "big") + ends.to_bytes(_TIME_SIZE, "big")
        body = times + account + proof
        sealed = base64.urlsafe_b64encode(body + self._seal(body)).rstrip(b"=").decode()
        assert len(sealed) <= KEY_CHARS_MAX, "what a wallet signs is bounded"
        held = session if may_trade else None
        return ApiKey(sealed, self._secret_of(body), account, issued, ends, held)

    def read(self, text: str) -> ApiKey | None:
        """Return the key behind ``text``; None where it is forged, over or void."""
        body = self._opened(text)
        if body is None:
            return None
        issued = int.from_bytes(body[:_TIME_SIZE], "big")
        ends = int.from_bytes(body[_TIME_SIZE : 2 * _TIME_SIZE], "big")
        account = body[2 * _TIME_SIZE : _HEAD_SIZE]
        session = _session_of(account, ends, body[_HEAD_SIZE:])
        key = ApiKey(text, self._secret_of(body), account, issued, ends, session)
        return key if self.is_live(key) else None

    def is_live(self, key: ApiKey) -> bool:
        """Return whether a key that was read before is neither over nor void by now."""
        return key.expires_ms > self._now_ms() and key.issued_ms > self._epochs.of(key.account)

    async def end_all(self, account: bytes) -> None:
        """Void all keys of ``account`` that there are."""
        await self._epochs.end(account, self._now_ms())

    def _now_ms(self) -> int:
        return self._now_ns() // _NS_A_MS

    def _opened(self, text: str) -> bytes | None:
        if len(text) > KEY_CHARS_MAX:
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        body, seal = raw[:-_SEAL_SIZE], raw[-_SEAL_SIZE:]
        is_ours = len(body) >= _HEAD_SIZE and hmac.compare_digest(seal, self._seal(body))
        return body if is_ours else None

    def _seal(self, body: bytes) -> bytes:
        return self._hash(b"tillbook api key 1" + body)[:_SEAL_SIZE]

    def _secret_of(self, body: bytes) -> str:
        return self._hash(b"tillbook api secret 1" + body).hex()

    def _hash(self, content: bytes) -> bytes:
        return hmac.new(self._secret, content, hashlib.sha256).digest()


def _session_of(account: bytes, ends_ms: int, raw: bytes) -> Session | None:
    if not raw:
        return None
    proof = decode(raw)
    assert isinstance(proof, SessionLogin | SiweLogin), "nobody else has the secret"
    return Session(account, ends_ms // 1000, proof)
