"""Is this one-time code or this recovery code right?

One-time codes follow RFC 6238: six digits, thirty seconds, one step to either side for clocks that
differ. Each step is taken once (section 5.2): ``step_of`` returns it and the caller remembers.
Recovery codes are ten, each of 80 random bits behind argon2id, and begin with their number, so that
looking at one costs one hash and not ten. Everything here costs milliseconds: not for the event
loop's thread, but for ``totp_secret``, ``seal`` and ``step_of``.
"""

from base64 import b32encode
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyotp import TOTP
from pyotp.exceptions import OTPVerificationError

TOTP_SECRET_SIZE: Final = 20
STEPS_ASIDE: Final = 1
NONCE_SIZE: Final = 12
CODES: Final = 10
CODE_SIZE: Final = 10
CODE_CHARS_MAX: Final = 32
ISSUER: Final = "Tillbook"

NO_CODE: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$t3aA1mIq/Gz3kbHVbkos4Q"
    "$+SEIA4yM9f8fTffaxV05NKs4DEfAvMcb7vG6Qq1rTKE"
)
"""What is looked at where there is none, so that it takes as long; of a text that is no code."""

# OWASP's second choice for argon2id: 19 MiB, two passes, one lane.
_hasher: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class Sealed:
    """Keeps secrets of one-time codes; ``secret`` is not in the database that they lie in."""

    def __init__(self, secret: bytes, entropy: Callable[[int], bytes]) -> None:
        self._cipher = AESGCM(sha256(b"tillbook totp 1" + secret).digest())
        self._entropy = entropy

    def seal(self, user_id: str, text: str) -> bytes:
        """Return ``text`` so that only ``open`` for the same person reads it."""
        nonce = self._entropy(NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, text.encode(), user_id.encode())

    def open(self, user_id: str, sealed: bytes) -> str | None:
        """Return the text; None if it was sealed with another secret or for somebody else."""
        try:
            plain = self._cipher.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], user_id.encode())
        except (InvalidTag, ValueError):
            return None
        return plain.decode()


def totp_secret(entropy: Callable[[int], bytes]) -> str:
    """Return a new secret in base32, as people type it into an app."""
    return b32encode(entropy(TOTP_SECRET_SIZE)).decode()


def totp_uri(secret: str, name: str) -> str:
    """Return the ``otpauth:`` address that an app reads from a QR code."""
    return TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def step_of(secret: str, code: str, now_s: int) -> int | None:
    """Return the time step that ``code`` is of; None if it is of none near now."""
    try:
        return TOTP(secret).verify_and_get_timecode(code, for_time=now_s, valid_window=STEPS_ASIDE)
    except OTPVerificationError:
        return None


def recovery_codes(entropy: Callable[[int], bytes]) -> list[str]:
    """Return ten new codes to write down."""
    return [f"{number}-{_grouped(entropy(CODE_SIZE))}" for number in range(CODES)]


def _grouped(octets: bytes) -> str:
    text = b32encode(octets).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def hashed(code: str) -> str:
    """Return what is kept of a recovery code."""
    return _hasher.hash(_plain(code))


def number_of(code: str) -> int | None:
    """Return which of the ten ``code`` says it is."""
    head = code.strip()[:1]
    return int(head) if head.isascii() and head.isdigit() else None


def is_code(kept: str, code: str) -> bool:
    """Return whether ``kept`` is the hash of ``code``."""
    try:
        return _hasher.verify(kept, _plain(code))
    except (VerificationError, InvalidHashError):
        return False


def _plain(code: str) -> str:
    """Spaces, dashes and capitals are how people write; they mean nothing."""
    return "".join(letter for letter in code.lower() if letter.isalnum())
