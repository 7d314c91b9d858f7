"""Which secrets does a data directory hold, made at first use?

Each is a file of hexadecimal digits that only its owner can read. What is made is on disk, whole,
before it is used: nobody is promised anything with a secret that the next start does not know.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from settlement.chain.signer import SecretSigner

SECRET_SIZE: Final = 32


def private_directory(directory: Path) -> None:
    """See that ``directory`` is there, and that it and the databases in it are its owner's alone;
    those of an earlier version were not. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    for path in directory.glob("*.sqlite*"):
        path.chmod(0o600)


def kept_secret(directory: Path, name: str) -> bytes:
    """Return the secret called ``name``, in hexadecimal digits. Raises OSError."""
    path = directory / name
    if not path.exists():
        aside = path.with_suffix(".new")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_hex(SECRET_SIZE).encode())
            file.flush()
            os.fsync(handle)
        aside.rename(path)
    return path.read_bytes()


def acknowledging_signer(directory: Path) -> SecretSigner:
    """Return who acknowledges orders: a key of its own, for what it signs this server alone says.

    It is the one that the bond has to answer for. Raises OSError.
    """
    return SecretSigner(bytes.fromhex(kept_secret(directory, "acknowledgement.key").decode()))
