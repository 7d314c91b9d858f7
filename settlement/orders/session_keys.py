"""Which session keys may sign for which wallet, and for what?

A mirror of the contract's key register, fed by the chain watcher. It is stricter than the contract
in time: a revocation binds here the moment it is seen and there after the exit delay, so no order
that is matched can be voided by it.
"""

from settlement.protocol.eip712 import KeyGrant

MAY_BUY = 1
MAY_SELL = 2


class KeyBook:
    """Live session keys by (account, key), with the notional that admission has promised away.

    What a key has used is counted over its whole life, apart from its grants: the journal is
    replayed before the newest grants are seen, and a wider grant forgives nothing that is matched
    and not settled yet.
    """

    def __init__(self) -> None:
        self._grants: dict[tuple[bytes, bytes], KeyGrant] = {}
        self._revoked: set[tuple[bytes, bytes]] = set()
        self.notional_used: dict[tuple[bytes, bytes], int] = {}
        """What each key has used; a snapshot keeps it as part of the admission's memory."""

    def granted(self, grant: KeyGrant) -> None:
        """Take a KeyGranted log; it replaces an earlier grant or revocation of the key."""
        self._grants[grant.account, grant.key] = grant
        self._revoked.discard((grant.account, grant.key))

    def revoked(self, account: bytes, key: bytes) -> None:
        """Take a KeyRevoked log: no new order from now on."""
        self._revoked.add((account, key))

    def grant_of(self, account: bytes, key: bytes) -> KeyGrant | None:
        """Return the live grant of ``key`` for ``account``; None when unknown or revoked."""
        return None if (account, key) in self._revoked else self._grants.get((account, key))

    def notional_left(self, account: bytes, key: bytes) -> int:
        """Return quote pips that the key may still trade; 0 for an unknown key."""
        grant = self._grants.get((account, key))
        if grant is None:
            return 0
        return grant.notional_cap - self.notional_used.get((account, key), 0)

    def left_of(self, account: bytes, key: bytes) -> int | None:
        """Return quote pips that a key may still trade: 0 when revoked, None when not known yet."""
        if (account, key) in self._revoked:
            return 0
        return self.notional_left(account, key) if (account, key) in self._grants else None

    def use(self, account: bytes, key: bytes, notional_pips: int) -> None:
        """Promise ``notional_pips`` (negative gives back what an order did not use)."""
        used = self.notional_used.pop((account, key), 0) + notional_pips
        if used:
            self.notional_used[account, key] = used
