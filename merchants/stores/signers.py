"""Whose word is a signature?

Of a wallet that has a key it is found by arithmetic, here. One that is a contract is asked over the
chain (ERC-1271): that waits for a node, so it is for threads, and what was found there goes along
as a value with the digest it was found for.
"""

from typing import NamedTuple, Protocol

from settlement.protocol.eip712 import recover


class AsksWallets(Protocol):
    """Who can ask a contract. See ``settlement.ports.SettlementPort``."""

    def vouches(self, wallet: bytes, digest: bytes, signature: bytes) -> bool | None:
        """Return whether the contract at ``wallet`` stands behind a signature; None where no node
        says. Not for the event loop's thread."""


class Vouched(NamedTuple):
    """A contract stands behind ``signature`` of ``digest``."""

    wallet: bytes
    digest: bytes
    signature: bytes


class Signers:
    """Tells whether a wallet has signed."""

    def __init__(self, wallets: AsksWallets) -> None:
        self._wallets = wallets

    def has_signed(
        self, wallet: bytes, digest: bytes, signature: bytes, vouched: Vouched | None
    ) -> bool:
        """Return whether ``wallet`` has signed, by its key or as a contract that was asked."""
        if vouched == Vouched(wallet, digest, signature):
            return True
        return recover(digest, signature) == wallet

    def ask(self, wallet: bytes, digest: bytes, signature: bytes) -> Vouched | None:
        """Return what a contract stands behind; None where it does not, where there is none, where
        no node says, and where a key has signed, who needs no such word. On a thread."""
        if recover(digest, signature) == wallet:
            return None
        if not self._wallets.vouches(wallet, digest, signature):
            return None
        return Vouched(wallet, digest, signature)
