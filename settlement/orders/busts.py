"""Which trade has a command undone?

A bust is a command like every other; the number of its trade stands in the evidence beside it.
"""

from typing import Final

from engine.commands import Kind
from engine.events import BustedTrade, EventKind, busted_trade
from engine.log_entries import Committed, LogEntry
from settlement.protocol.evidence import TradeBusted, evidence_of

# As plain numbers: reading a member of an enum costs Python 3.11 more than the question it is for.
_BUST: Final = int(Kind.BUST)
_TRADE_BUSTED: Final = int(EventKind.TRADE_BUSTED)


def busted_by(entry: LogEntry) -> TradeBusted | None:
    """Return which trade ``entry`` has undone; None for any other command."""
    if entry.command.kind != _BUST or not len(entry.events):
        return None
    if entry.answer[0].kind != _TRADE_BUSTED:
        return None
    return _named(entry)


def busted_at(batch: Committed, sequence: int) -> TradeBusted:
    """Return which trade command ``sequence`` of ``batch``, a BUST, has undone."""
    return _named(batch.entries[sequence - batch.first_sequence])


def moved_back_at(batch: Committed, sequence: int) -> BustedTrade:
    """Return what command ``sequence`` of ``batch``, a BUST that was carried out, gave back."""
    return busted_trade(batch.entries[sequence - batch.first_sequence].answer_row)


def _named(entry: LogEntry) -> TradeBusted:
    evidence = evidence_of(entry)
    assert isinstance(evidence, TradeBusted), "a bust names its trade"
    return evidence
