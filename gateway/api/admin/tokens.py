"""Who is the operator that asks?

A file has one token a line, behind the name that the log will show: ``alice 5f3a...``. Empty lines
and lines that begin with # are passed over.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

TOKEN_CHARS_MIN: Final = 32
TOKEN_CHARS_MAX: Final = 256
TOKENS_MAX: Final = 64
FILE_BYTES_MAX: Final = 1 << 16

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
_TOKEN: Final = re.compile(rf"[\x21-\x7e]{{{TOKEN_CHARS_MIN},{TOKEN_CHARS_MAX}}}")


class TokenFileError(Exception):
    """The file has no tokens, or is of another form. Nothing of it is in the words."""


class OperatorTokens:
    """Knows operators by their tokens; keeps digests alone."""

    __slots__ = ("_digests",)

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """``tokens`` are by name."""
        self._digests = {name: _digest(token) for name, token in tokens.items()}

    def name_of(self, given: str) -> str | None:
        """Return whose token ``given`` is. Takes as long whether it is nobody's or anybody's."""
        if len(given) > TOKEN_CHARS_MAX:
            return None
        digest, found = _digest(given), None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read ``path``. Raises ``TokenFileError`` and OSError."""
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            raise TokenFileError(f"{path} is too long for a file of tokens")
        tokens: dict[str, str] = {}
        for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, _, token = line.strip().partition(" ")
            token = token.strip()
            if not _NAME.fullmatch(name) or not _TOKEN.fullmatch(token):
                raise TokenFileError(
                    f"{path}, line {number}: wanted a name (a-z, 0-9, _ . -), a blank, and a token "
                    f"of {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} characters"
                )
            if name in tokens or token in tokens.values():
                raise TokenFileError(f"{path}, line {number}: the name or the token is there twice")
            tokens[name] = token
        if not 0 < len(tokens) <= TOKENS_MAX:
            raise TokenFileError(f"{path} has {len(tokens)} tokens; wanted 1 to {TOKENS_MAX}")
        return cls(tokens)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
