"""Which session keys may sign for which wallet, and for what?

A mirror of the contract's key register, fed by the chain watcher. It is stricter than the contract
in time: a revocation binds here the moment it is seen and there after the exit delay, so no order
that is matched can be voided by it.
"""

from typing import NamedTuple

from settlement.protocol.eip712 import KeyGrant

MAY_BUY = 1
MAY_SELL = 2


class GrantedKey(NamedTuple):
    """A session key as the contract has it, and the quote pips that it may still trade."""

    grant: KeyGrant
    is_revoked: bool
    notional_left: int


class SessionKeys:
    """Live session keys by (account, key). What they have used is in ``KeyBudgets``."""

    def __init__(self) -> None:
        self._grants: dict[tuple[bytes, bytes], KeyGrant] = {}
        self._revoked: set[tuple[bytes, bytes]] = set()
        self._of: dict[bytes, dict[bytes, None]] = {}
        """The keys of each account, the first granted first."""

    def granted(self, grant: KeyGrant) -> None:
        """Take a KeyGranted log; it replaces an earlier grant or revocation of the key."""
        self._grants[grant.account, grant.key] = grant
        self._of.setdefault(grant.account, {})[grant.key] = None
        self._revoked.discard((grant.account, grant.key))

    def revoked(self, account: bytes, key: bytes) -> None:
        """Take a KeyRevoked log: no new order from now on."""
        self._revoked.add((account, key))

    def is_revoked(self, account: bytes, key: bytes) -> bool:
        """Return whether the key may sign no more."""
        return (account, key) in self._revoked

    def grant_of(self, account: bytes, key: bytes) -> KeyGrant | None:
        """Return the live grant of ``key`` for ``account``; None when unknown or revoked."""
        return None if (account, key) in self._revoked else self._grants.get((account, key))

    def of_account(self, account: bytes) -> list[KeyGrant]:
        """Return the newest grant of each key of ``account``, revoked or not."""
        return [self._grants[account, key] for key in self._of.get(account, ())]

    def cap_of(self, account: bytes, key: bytes) -> int | None:
        """Return the notional of the newest grant of a key, revoked or not; None without one."""
        grant = self._grants.get((account, key))
        return None if grant is None else grant.notional_cap
