"""Who owns what?"""

from collections import defaultdict

from engine.types import MONEY_MAX, fee_pips

Key = tuple[int, int]
"""Account, token."""


def fee_of(notional_pips: int, fee_ppm: int) -> int:
    """Return the fee of one side of a fill; a rebate is negative, and rounded down in size."""
    if fee_ppm < 0:
        return -fee_pips(notional_pips, -fee_ppm)
    return fee_pips(notional_pips, fee_ppm)


class Ledger:
    """Balances in pips; ``available`` can be spent, ``held`` waits for resting orders."""

    def __init__(self) -> None:
        """Begin without tokens."""
        self.available: defaultdict[Key, int] = defaultdict(int)
        self.held: defaultdict[Key, int] = defaultdict(int)
        self.supply: list[int] = []
        """By token: deposits minus withdrawals."""
        self.fees: list[int] = []

    @property
    def tokens(self) -> int:
        """Return how many tokens are listed."""
        return len(self.supply)

    def list_token(self) -> None:
        """Add the next token."""
        self.supply.append(0)
        self.fees.append(0)

    def bring_in(self, account: int, token: int, pips: int) -> None:
        """Credit a deposit."""
        self.supply[token] += pips
        self.available[account, token] += pips

    def take_out(self, account: int, token: int, pips: int) -> None:
        """Debit what leaves the exchange."""
        self.supply[token] -= pips
        self.add(account, token, -pips)

    def add(self, account: int, token: int, pips: int) -> None:
        """Change what is available; to take what is not there is our bug."""
        self.available[account, token] += pips
        assert pips >= 0 or self.available[account, token] >= 0, (account, token)

    def charge(self, account: int, token: int, pips: int) -> None:
        """Take ``pips``, whether or not they are there: what is missing is owed."""
        self.available[account, token] -= pips

    def owns(self, account: int, token: int) -> int:
        """Return what an account has, held or not; 0 if it owes."""
        key = account, token
        return max(self.available[key] + self.held[key], 0)

    def owes(self, account: int) -> bool:
        """Return whether any balance of ``account`` is negative."""
        return any(self.available[account, token] < 0 for token in range(self.tokens))

    def owed(self, token: int) -> int:
        """Return what all accounts together owe of ``token``."""
        return -sum(
            pips for (_, number), pips in self.available.items() if number == token and pips < 0
        )

    def has_room(self, token: int, coming: int, debt: int) -> bool:
        """Return whether no number wraps when ``coming`` pips arrive and ``debt`` more are owed."""
        owed = self.owed(token) + debt
        return owed <= MONEY_MAX and self.supply[token] + coming + owed <= MONEY_MAX

    def may_owe(self, account: int, token: int, pips: int) -> bool:
        """Return whether ``pips`` can leave an account by force without any number wrapping."""
        return self.has_room(token, -pips, max(pips - self.owns(account, token), 0))

    def hold(self, account: int, token: int, pips: int) -> None:
        """Move ``pips`` from available to held, or back when negative."""
        self.available[account, token] -= pips
        self.held[account, token] += pips
        assert pips <= 0 or self.available[account, token] >= 0, (account, token)
        assert self.held[account, token] >= 0, (account, token)
