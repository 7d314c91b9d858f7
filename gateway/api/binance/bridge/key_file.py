"""What does a bridge know that nobody else may know? A file that only its owner can read."""

import os
import stat
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.api.binance.signed_json import END, Address
from gateway.http.body import DECODE_ERRORS
from settlement.protocol.checksum import address_of_text

KeyText = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{64}" + END, max_length=66)]


class KeyFileError(Exception):
    """The key file is not one; says why, without what is in it."""


class BridgeKey(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    """The file's JSON: a session key of an account, when its grant ends (unix seconds), and an API
    key of the account with its secret."""

    account: Address
    session_key: KeyText
    api_key: Annotated[str, Meta(min_length=1, max_length=4_096)]
    secret_key: Annotated[str, Meta(min_length=1, max_length=256)]
    expires_at: Annotated[int, Meta(ge=0, lt=2**32)] = 2**32 - 1

    @property
    def account_bytes(self) -> bytes:
        """Return the account's address."""
        found = address_of_text(self.account)
        if found is None:
            raise KeyFileError("the account's EIP-55 checksum is wrong")
        return found

    @property
    def secret_bytes(self) -> bytes:
        """Return the session key."""
        return bytes.fromhex(self.session_key[2:])


def private_text(path: Path) -> bytes:
    """Return what a file of secrets says. Raises ``KeyFileError`` and OSError."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyFileError(f"{path} can be read by others: chmod 600 it")
    return path.read_bytes()


def read_key_file(path: Path) -> BridgeKey:
    """Return what a key file says. Raises ``KeyFileError`` and OSError."""
    try:
        return msgspec.json.decode(private_text(path), type=BridgeKey)
    except DECODE_ERRORS as error:
        raise KeyFileError(f"{path}: {error}") from None


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises OSError."""
    aside = path.with_name(f"{path.name}.new")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)
    aside.rename(path)
