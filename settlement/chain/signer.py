"""Who signs for the operator, and how is the key kept out of sight?

The seam for a key that lives elsewhere (a keystore, a signing service). Nothing outside this file
holds a private key; neither ``repr`` nor an exception shows one.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import coincurve
from eth_account import Account

from settlement.protocol import eip712

TRANSACTION_GAS_MAX: Final = 1 << 24
"""EIP-7825: no block takes a transaction that may use more."""

CALLDATA_MAX: Final = 127 * 1024
"""Nodes pass on no transaction above 128 KiB; the rest is for its other fields. So few bytes hold
819 orders or 4,064 words, and the 16 bits of an index are never short."""


class Transaction(NamedTuple):
    """An EIP-1559 transaction before it is signed; fees in wei per gas, ``to`` None creates."""

    chain_id: int
    nonce: int
    to: bytes | None
    calldata: bytes
    gas_limit: int
    fee_max: int
    tip_max: int
    value: int = 0


class Signer(Protocol):
    """Somebody who can sign as one address."""

    @property
    def address(self) -> bytes:
        """Return the 20-byte address that is signed for."""

    def sign_transaction(self, transaction: Transaction) -> bytes:
        """Return the raw signed transaction; the same input gives the same bytes."""

    def sign_digest(self, digest: bytes) -> bytes:
        """Return r, s, v (65 bytes) over a 32-byte digest."""


class KeystoreError(Exception):
    """A keystore file is no keystore, or the password does not open it."""


class SecretSigner:
    """Signs with a private key held in this process's memory."""

    __slots__ = ("_address", "_key", "_secret")

    def __init__(self, secret: bytes) -> None:
        """``secret`` is 32 bytes."""
        assert len(secret) == 32, "a private key is 32 bytes"
        self._secret = secret
        self._key = coincurve.PrivateKey(secret)  # Every accepted order is acknowledged by it.
        self._address = eip712.address_of_secret(secret)

    def __repr__(self) -> str:
        return f"SecretSigner(0x{self._address.hex()})"

    def __reduce__(self) -> str:
        raise TypeError("a signer is not to be copied or written down")

    @property
    def address(self) -> bytes:
        """See ``Signer``."""
        return self._address

    def sign_transaction(self, transaction: Transaction) -> bytes:
        """See ``Signer``."""
        fields = {
            "type": 2,
            "chainId": transaction.chain_id,
            "nonce": transaction.nonce,
            "to": transaction.to if transaction.to is not None else b"",
            "data": transaction.calldata,
            "gas": transaction.gas_limit,
            "maxFeePerGas": transaction.fee_max,
            "maxPriorityFeePerGas": transaction.tip_max,
            "value": transaction.value,
        }
        return bytes(Account.sign_transaction(fields, self._secret).raw_transaction)

    def sign_digest(self, digest: bytes) -> bytes:
        """See ``Signer``."""
        return eip712.sign_with(digest, self._key)


class KeystoreSigner(SecretSigner):
    """Signs with a key read from an encrypted keystore file (version 3)."""

    __slots__ = ()

    @classmethod
    def load(cls, path: Path, password: str) -> "KeystoreSigner":
        """Read and open ``path``. Raises ``KeystoreError`` and OSError."""
        try:
            return cls(bytes(Account.decrypt(json.loads(path.read_text()), password)))
        except (ValueError, KeyError, TypeError, NotImplementedError) as error:
            # The cause could quote what it choked on, so only its kind is passed on.
            kind = type(error).__name__
        raise KeystoreError(f"{path}: wrong password or no version 3 keystore ({kind})")
