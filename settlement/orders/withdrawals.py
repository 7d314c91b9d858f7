"""Which withdrawals are worth asking the chain for?

Each costs the operator gas, so what the contract or a token would refuse anyway, what is worth less
than its gas, and a second one while the first is on its way, is refused at the door. So is one that
lasts longer than an exit takes: once countersigned it can be sent until it expires, and must not
find other money where an exit has taken what it was debited from.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from engine.types import Outcome
from settlement.chain.deploy import LEAST_WITHDRAWAL_PIPS
from settlement.orders.catalog import Token
from settlement.orders.nonces import NS, Rejection
from settlement.protocol.evidence import SignedWithdrawal

NOBODY: Final = bytes(20)

EXIT_MARGIN_S: Final = 3_600
"""An exit may have been asked for so long ago without our knowing: blocks that are not deep enough,
a node that lags, a clock that is slow."""


def lasts_max_s(exit_delay_s: int) -> int:
    """Return how long a withdrawal may last, where an exit takes ``exit_delay_s``."""
    return exit_delay_s - min(EXIT_MARGIN_S, exit_delay_s // 2)


class OpenWithdrawal(msgspec.Struct):
    """One that was debited and neither paid for good nor given back."""

    sequence: int
    account: bytes
    token: bytes
    amount: int
    taken: int = 0
    """Pips of it that an exit took from the vault."""

    @property
    def left(self) -> int:
        """Return the pips that are still its owner's."""
        return self.amount - self.taken


class OpenBook(Protocol):
    """Who knows what is not paid yet."""

    def unpaid(self, account: bytes, token: bytes) -> OpenWithdrawal | None:
        """Return the newest withdrawal of ``account`` that may still have to be paid."""


class Withdrawals:
    """The rules, and the withdrawals that are on their way to the journal or to the chain."""

    def __init__(
        self,
        contracts: frozenset[bytes],
        least_pips: Mapping[str, int],
        book: OpenBook,
        exit_delay_s: int,
    ) -> None:
        """``contracts`` are ours and can never be paid; ``least_pips`` is by token symbol,
        ``exit_delay_s`` the contract's."""
        self._contracts = contracts
        self._least_pips = least_pips
        self._book = book
        self._lasts_max_s = lasts_max_s(exit_delay_s)
        self._in_flight: set[tuple[bytes, bytes]] = set()

    def rejection(
        self, withdrawal: SignedWithdrawal, token: Token, now_ns: int
    ) -> Rejection | None:
        """Return why ``withdrawal`` is not taken, whatever its account has."""
        to = withdrawal.to
        if self.is_lost(to) or to == token.address:
            detail = {"to": f"0x{to.hex()}", "why": "what is paid there is lost"}
            return Rejection(Outcome.BAD_RECEIVER, detail)
        latest = now_ns // NS + self._lasts_max_s
        if withdrawal.expiry > latest:
            detail = {"expiry": str(withdrawal.expiry), "latest": str(latest)}
            return Rejection(Outcome.EXPIRY_TOO_FAR, detail)
        least = self.least(token)
        if withdrawal.amount < least:
            return Rejection(Outcome.BELOW_LEAST_WITHDRAWAL, {"least": str(least)})
        if (withdrawal.account, token.address) in self._in_flight:
            return Rejection(Outcome.WITHDRAWAL_OPEN, {})
        found = self._book.unpaid(withdrawal.account, token.address)
        if found is not None:
            return Rejection(Outcome.WITHDRAWAL_OPEN, {"sequence": str(found.sequence)})
        return None

    def is_lost(self, to: bytes) -> bool:
        """Return whether nobody can take out again what is paid to ``to``."""
        return to == NOBODY or to in self._contracts

    def least(self, token: Token) -> int:
        """Return the least pips of ``token`` that are paid out."""
        return self._least_pips.get(token.symbol, LEAST_WITHDRAWAL_PIPS)

    def unpaid(self, account: bytes, token: bytes) -> OpenWithdrawal | None:
        """Return what an exit of ``account`` may have taken."""
        return self._book.unpaid(account, token)

    def begun(self, withdrawal: SignedWithdrawal) -> None:
        """It is on its way to the journal."""
        self._in_flight.add((withdrawal.account, withdrawal.token))

    def answered(self, withdrawal: SignedWithdrawal) -> None:
        """It is in the journal, or will never be."""
        self._in_flight.discard((withdrawal.account, withdrawal.token))
