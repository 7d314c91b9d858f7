"""What does an order use up, and how is that undone?

A nonce, a client id and a session key's notional are spent when an order is admitted, before the
journal has it. One that never gets there is rolled back by its ``Undo``, the youngest first; what
a snapshot keeps is a copy on which all that is in flight is rolled back.
"""

from dataclasses import dataclass
from typing import NamedTuple

from settlement.orders.first_answers import FirstAnswers
from settlement.orders.key_budgets import KeyBudgets
from settlement.orders.nonces import Before, Nonces
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal

Signed = SignedOrder | SignedWithdrawal


class Undo(NamedTuple):
    """Something that was admitted, and what stood at its nonce's place before it."""

    signed: Signed
    before: Before


@dataclass(frozen=True)
class Reservations:
    """All that an order or withdrawal uses up."""

    nonces: Nonces
    answers: FirstAnswers
    budgets: KeyBudgets

    def copy(self) -> "Reservations":
        """Return a copy to roll back on."""
        return Reservations(self.nonces.copy(), self.answers.copy(), self.budgets.copy())

    def spend(self, signed: Signed) -> Undo:
        """Use up what ``signed`` needs."""
        if isinstance(signed, SignedWithdrawal):
            return Undo(signed, self.nonces.spend_withdrawal(signed))
        self.answers.spend(signed)
        self.budgets.spend(signed)
        return Undo(signed, self.nonces.spend(signed))

    def undo(self, undo: Undo) -> None:
        """Roll back a ``spend``; the youngest must be undone first."""
        self.nonces.put_back(*undo)
        if isinstance(undo.signed, SignedOrder):
            self.answers.undo(undo.signed)
            self.budgets.undo(undo.signed)
