"""Which session keys may sign for which wallet, and for what?

A mirror of the contract's key register, fed by the chain watcher. It is stricter than the contract
in time: a revocation binds here the moment it is seen and there after the exit delay, so no order
that is matched can be voided by it.
"""

import msgspec

from settlement.eip712 import KeyGrant

MAY_BUY = 1
MAY_SELL = 2


class _Key(msgspec.Struct):
    grant: KeyGrant
    notional_used: int = 0
    revoked: bool = False


class KeyBook:
    """Live session keys by (account, key), with the notional that admission has promised away."""

    def __init__(self) -> None:
        self._keys: dict[tuple[bytes, bytes], _Key] = {}

    def granted(self, grant: KeyGrant) -> None:
        """Take a KeyGranted log. The same grant seen again, after a restart, changes nothing."""
        known = self._keys.get((grant.account, grant.key))
        if known is None or known.grant != grant:
            self._keys[grant.account, grant.key] = _Key(grant)

    def revoked(self, account: bytes, key: bytes) -> None:
        """Take a KeyRevoked log: no new order from now on."""
        if (account, key) in self._keys:
            self._keys[account, key].revoked = True

    def grant_of(self, account: bytes, key: bytes) -> KeyGrant | None:
        """Return the live grant of ``key`` for ``account``; None when unknown or revoked."""
        found = self._keys.get((account, key))
        return None if found is None or found.revoked else found.grant

    def notional_left(self, account: bytes, key: bytes) -> int:
        """Return quote pips that the key may still trade; 0 for an unknown key."""
        found = self._keys.get((account, key))
        return 0 if found is None else found.grant.notional_cap - found.notional_used

    def use(self, account: bytes, key: bytes, notional_pips: int) -> None:
        """Promise ``notional_pips`` (negative gives back what an order did not use)."""
        found = self._keys.get((account, key))
        if found is not None:
            found.notional_used += notional_pips
