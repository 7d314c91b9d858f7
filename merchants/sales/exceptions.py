"""What is done by itself with money that does not come as it was asked for, and who decides it?

The store does (``merchants.records.exception_policies``). To give back is to open a refund: the
customer says on his invoice's page where it goes.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.records.database import reading, transaction
from merchants.records.exception_policies import (
    ExceptionAction,
    ExceptionPolicy,
    exception_policy_of,
)
from merchants.records.refunds import Refund, RefundVariant
from merchants.records.rejection import Rejection
from merchants.records.shares import ways_of, worth_pips
from merchants.records.tables import Invoice, Store
from merchants.sales.refund_amounts import left_pips, over_pips

PAID_ALREADY: Final = ("over", "other_token")
"""What no new price can be made for: there is nothing that it would ask for."""


class OpensRefunds(Protocol):
    """See ``merchants.sales.refunds.Refunds``."""

    def tell(self, changed: Callable[[Session, Invoice, int], None]) -> None:
        """Let ``changed`` know which invoice has other money left than it had."""

    def open(
        self,
        session: Session,
        invoice: Invoice,
        *,
        token: bytes,
        pips: int,
        variant: RefundVariant,
        reason: str,
        now_ns: int,
    ) -> Refund | Rejection:
        """Make a refund that needs no more than an address."""


class ExceptionRequest(NamedTuple):
    """What a store asks for."""

    late: ExceptionAction = ExceptionAction.KEEP
    short: ExceptionAction = ExceptionAction.KEEP
    over: ExceptionAction = ExceptionAction.KEEP
    other_token: ExceptionAction = ExceptionAction.KEEP


class ExceptionPolicies:
    """Keeps stores' policies."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def of(self, store_id: str) -> ExceptionPolicy:
        """Return a store's policy; any thread may ask."""
        with reading(self._database) as session:
            found = exception_policy_of(session, store_id)
            session.expunge_all()
            return found

    def change(self, store_id: str, request: ExceptionRequest) -> ExceptionPolicy | Rejection:
        """Do otherwise with what comes from now on. Rejects MALFORMED where a new price is asked
        for what is paid, UNKNOWN_STORE."""
        for name in PAID_ALREADY:
            if getattr(request, name) is ExceptionAction.REQUOTE:
                why = f"{name}: nothing is missing that a new price could ask for"
                return Rejection(Outcome.MALFORMED, {"why": why})
        with transaction(self._database) as session:
            if session.get(Store, store_id) is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            row = session.get(ExceptionPolicy, store_id)
            if row is None:
                row = ExceptionPolicy(store_id=store_id)
                session.add(row)
            for name, value in request._asdict().items():
                setattr(row, name, value)
            session.flush()
            return row


class Returns:
    """Gives back by policy. Every method runs in its caller's transaction; what a refund refuses,
    as what is less than may be withdrawn, stays where it is."""

    def __init__(self, refunds: OpensRefunds) -> None:
        self._refunds = refunds

    def all_of(
        self,
        session: Session,
        invoice: Invoice,
        tokens: Iterable[bytes],
        reason: str,
        now_ns: int,
    ) -> bool:
        """Give back what is left of each of ``tokens``; return whether anything is."""
        opened = [
            self._refunds.open(
                session,
                invoice,
                token=token,
                pips=0,
                variant=RefundVariant.RATE_THEN,
                reason=reason,
                now_ns=now_ns,
            )
            for token in tokens
            if left_pips(session, invoice.id, token)
        ]
        return any(isinstance(refund, Refund) for refund in opened)

    def over(
        self,
        session: Session,
        invoice: Invoice,
        unsold: Mapping[bytes, int],
        dust_pips: int,
        now_ns: int,
    ) -> dict[bytes, int]:
        """Give back what came on top of the price, as far as it is ``unsold``, and return how much
        that is by token. What is worth no more than ``dust_pips`` is not over."""
        returned = {}
        for way in ways_of(invoice):
            token = way.token
            over = over_pips(session, invoice, token, left_pips(session, invoice.id, token))
            pips = min(over, unsold.get(token, 0))
            if worth_pips(invoice, way, pips) <= dust_pips:
                continue
            refund = self._refunds.open(
                session,
                invoice,
                token=token,
                pips=pips,
                variant=RefundVariant.OVERPAID if pips == over else RefundVariant.CUSTOM,
                reason="more came than was asked for",
                now_ns=now_ns,
            )
            if isinstance(refund, Refund):
                returned[token] = refund.of_pips
        return returned
