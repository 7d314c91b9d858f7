"""How deep has a payment to be before its invoice is settled, and when is it?

The engine books nothing that is less deep than the exchange wants, so a store can only ask for
more, the dearer the invoice the more. What is booked waits in ``processing`` until then, is
not sold, and its customer reads how many blocks there are.
"""

from typing import Final, NamedTuple

from sqlalchemy import Engine, delete

from engine.types import Outcome
from merchants.records.confirmations import ConfirmationStep, steps_of
from merchants.records.database import reading, transaction
from merchants.records.rejection import Rejection
from merchants.records.shares import booked_pips, ways_of, worth_pips
from merchants.records.states import ON_CHAIN
from merchants.records.tables import Invoice, Store

STEPS_MAX: Final = 8

CONFIRMATIONS_MAX: Final = 1_000
"""Blocks; more would outlast the day in which an invoice has to become final."""


class Step(NamedTuple):
    """From a price of ``from_pips`` on, ``confirmations``."""

    from_pips: int
    confirmations: int


class Confirmations:
    """Keeps stores' steps."""

    def __init__(self, database: Engine, least: int) -> None:
        """``least`` is how many the exchange waits for before it books anything."""
        self._database = database
        self._least = least

    def of(self, store_id: str) -> list[Step]:
        """Return a store's steps; any thread may ask."""
        with reading(self._database) as session:
            rows = steps_of(session, store_id)
            return [Step(row.from_pips, row.confirmations) for row in rows]

    def change(self, store_id: str, steps: list[Step]) -> list[Step] | Rejection:
        """Let invoices that are made from now on wait so. Rejects UNKNOWN_STORE, and MALFORMED
        where a step asks for less than the exchange waits for, or for less than one before it."""
        why = self._why_not(steps)
        if why:
            return Rejection(Outcome.MALFORMED, {"why": why, "least": str(self._least)})
        with transaction(self._database) as session:
            if session.get(Store, store_id) is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            session.execute(delete(ConfirmationStep).where(ConfirmationStep.store_id == store_id))
            for step in steps:
                session.add(ConfirmationStep(store_id=store_id, **step._asdict()))
        return steps

    def _why_not(self, steps: list[Step]) -> str:
        if len(steps) > STEPS_MAX:
            return f"there are at most {STEPS_MAX} steps"
        before = Step(-1, self._least)
        for step in steps:
            if step.confirmations < self._least:
                return "the exchange books nothing before it has its own confirmations"
            if step.from_pips <= before.from_pips or step.confirmations < before.confirmations:
                return "steps rise: a higher price, and no fewer confirmations"
            if step.confirmations > CONFIRMATIONS_MAX:
                return f"nobody waits for more than {CONFIRMATIONS_MAX} blocks"
            before = step
        return ""


def deep_at(invoice: Invoice, least_pips: int, newest_block: int) -> int | None:
    """Return in which block enough of what is booked will be deep enough; None if it is already.

    The earliest bookings that are enough decide: what comes behind them makes nobody wait.
    """
    if invoice.confirmations == 0:
        return None
    counted = dict.fromkeys((way.token for way in ways_of(invoice)), 0)
    block = 0
    for credit in sorted(invoice.credits, key=lambda row: row.block_number):
        if credit.token not in counted or credit.state not in ON_CHAIN:
            continue
        counted[credit.token] += credit.amount_pips
        block = credit.block_number
        worth = sum(
            worth_pips(invoice, way, min(booked_pips(way), counted[way.token]))
            for way in ways_of(invoice)
        )
        if worth >= least_pips:
            break
    deep = block + invoice.confirmations - 1
    return None if newest_block >= deep else deep
