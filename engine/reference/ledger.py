"""Who owns what?"""

from collections import defaultdict

Key = tuple[int, int]
"""Account, token."""


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
        """Change what is available; a negative balance is our bug."""
        self.available[account, token] += pips
        assert self.available[account, token] >= 0, (account, token)

    def hold(self, account: int, token: int, pips: int) -> None:
        """Move ``pips`` from available to held, or back when negative."""
        self.available[account, token] -= pips
        self.held[account, token] += pips
        assert self.available[account, token] >= 0, (account, token)
        assert self.held[account, token] >= 0, (account, token)
