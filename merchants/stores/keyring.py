"""Where do the session keys' secrets lie?

Not in the database: its backups travel. One file a key, readable by the owner of the process
alone. A session key can only sell within the scope that the merchant's wallet has signed.
"""

import os
from pathlib import Path
from typing import Final, Protocol

SECRET_SIZE: Final = 32


class Keyring(Protocol):
    """Keeps 32-byte secrets by the address they belong to."""

    def put(self, address: bytes, secret: bytes) -> None:
        """Keep ``secret``; it is on disk when this returns."""

    def get(self, address: bytes) -> bytes:
        """Return the secret; KeyError if there is none."""


class FileKeyring:
    """Secrets as files of mode 0600 in a directory of mode 0700."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, address: bytes, secret: bytes) -> None:
        """Write the file and sync it and its directory; FileExistsError if there is one."""
        assert len(secret) == SECRET_SIZE, "a secret is 32 bytes"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        handle = os.open(self._path(address), flags, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(handle)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def get(self, address: bytes) -> bytes:
        """Read the file."""
        path = self._path(address)
        if not path.exists():
            raise KeyError(address.hex())
        secret = path.read_bytes()
        assert len(secret) == SECRET_SIZE, f"{path.name} is damaged"
        return secret

    def _path(self, address: bytes) -> Path:
        return self._directory / f"{address.hex()}.key"
