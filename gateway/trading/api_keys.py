"""Whose is this API key, and which secret stands behind it? Answered without a table.

A key carries its account, when it was made, what it may do and what shows that the account's wallet
wanted it, sealed by HMAC-SHA256; its secret is derived from the same bytes. So nothing is stored
and a restart ends no key. All keys of an account end together: those made up to a moment are void
(``KeyEpochs``). A key reads and cancels, never places: an order needs a signature that the contract
checks.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

KEY_DAYS: Final = 30
KEY_CHARS_MAX: Final = 4_096
_NS_A_MS: Final = 1_000_000
_DAY_MS: Final = 24 * 3600 * 1000
_SECRET_SIZE_MIN: Final = 32
_SEAL_SIZE: Final = 16
_ACCOUNT_SIZE: Final = 20
_HEAD_SIZE: Final = _ACCOUNT_SIZE + 7


class ApiKey(NamedTuple):
    """What a key says: its account, when it was made (unix milliseconds), and what it may do.

    ``proof`` is evidence that the wallet wanted it: what a cancel takes along into the log.
    """

    account: bytes
    issued_ms: int
    may_trade: bool
    proof: bytes

    @property
    def expires_ms(self) -> int:
        """Return when it ends by itself, in unix milliseconds."""
        return self.issued_ms + KEY_DAYS * _DAY_MS


class Minted(NamedTuple):
    """A key as its owner is shown it, once."""

    key: str
    secret: str
    says: ApiKey


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

    def mint(self, account: bytes, may_trade: bool, proof: bytes = b"") -> Minted:
        """Return a new key of ``account``."""
        issued = max(self._now_ns() // _NS_A_MS, self._epochs.of(account) + 1)
        body = account + issued.to_bytes(6, "big") + bytes([may_trade]) + proof
        sealed = base64.urlsafe_b64encode(body + self._seal(body)).rstrip(b"=")
        return Minted(
            sealed.decode(), self._secret_of(body), ApiKey(account, issued, may_trade, proof)
        )

    def read(self, text: str) -> Minted | None:
        """Return key and secret behind ``text``; None where it is forged, ended or void."""
        body = self._opened(text)
        if body is None:
            return None
        account, rest = body[:_ACCOUNT_SIZE], body[_ACCOUNT_SIZE:_HEAD_SIZE]
        says = ApiKey(account, int.from_bytes(rest[:6], "big"), bool(rest[6]), body[_HEAD_SIZE:])
        is_over = says.expires_ms <= self._now_ns() // _NS_A_MS
        if is_over or says.issued_ms <= self._epochs.of(account):
            return None
        return Minted(text, self._secret_of(body), says)

    async def end_all(self, account: bytes) -> None:
        """Void all keys of ``account`` that there are."""
        await self._epochs.end(account, self._now_ns() // _NS_A_MS)

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
