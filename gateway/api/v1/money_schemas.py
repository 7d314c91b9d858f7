"""What shape has each answer about money that came in or went out?"""

import msgspec


class DepositRow(msgspec.Struct, frozen=True):
    """A deposit that was credited. ``ref`` is what whoever paid has sent along, null if nothing."""

    sequence: int
    time_ns: str
    symbol: str
    token: str
    amount: str
    amount_pips: str
    tx_hash: str
    block_number: int
    ref: str | None


class Deposits(msgspec.Struct, frozen=True):
    """The account's last deposits, newest first. ``next``, if not null, is the ``before`` of the
    next page; of an account the last 500 are kept."""

    deposits: list[DepositRow]
    next: int | None


class WithdrawalRow(msgspec.Struct, frozen=True):
    """A withdrawal.

    ``state``: ``debited`` (it waits for the batches before it), ``countersigned`` (anybody may send
    it), ``submitted``, ``mined``, ``final``; ``refused`` (the contract would not have it; it is
    given back, or sent again), or ``returned`` (given back, ``returned_pips`` of it, because of
    ``reason``). ``tx_hash`` is that of the operator's newest transaction, null before there is one.
    """

    sequence: int
    time_ns: str
    digest: str
    symbol: str
    token: str
    amount: str
    amount_pips: str
    to: str
    nonce: str
    expiry: int
    state: str
    tx_hash: str | None
    returned_pips: str | None
    reason: str | None


class Withdrawals(msgspec.Struct, frozen=True):
    """The account's last withdrawals, newest first. ``next`` and how many are kept as with
    deposits."""

    withdrawals: list[WithdrawalRow]
    next: int | None
