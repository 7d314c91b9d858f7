"""When may a shop be closed, and what ends with it?

Nothing of its books: rows, invoices and reports stay, and its owners may read them. It sells
nothing more, its keys work no more, nobody is told anything more. That is refused while money of
its customers or of its own is under way, with what that is: a shop that wants to close takes no
new invoices (``Store.paused``) until the last has ended. What comes after that for an old invoice
is the wallet's as ever, weighed, sold and kept by itself: an address cannot be taken back.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Engine, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from engine.types import Outcome
from merchants.records.database import transaction
from merchants.records.exception_policies import ExceptionPolicy
from merchants.records.pay_buttons import PayButton
from merchants.records.pots import Pot, keep_gathered
from merchants.records.refunds import REFUND_UNDER_WAY, Refund
from merchants.records.rejection import Rejection
from merchants.records.tables import (
    CONVERSION_UNDER_WAY,
    INVOICE_UNDER_WAY,
    Conversion,
    Invoice,
    Store,
)
from merchants.stores.api_keys import ApiKeys, Holder

COUNTED_MAX: Final = 100
"""Of each kind so many are counted: who asks needs to know that there are, and which is one."""


class Closed(NamedTuple):
    """A store that is being closed, by whom, at unix nanoseconds."""

    store: Store
    by: Holder
    now_ns: int


Ending = Callable[[Session, Closed], None]
"""What else ends with a store, in the same transaction."""


class Closing:
    """Closes stores."""

    def __init__(
        self,
        database: Engine,
        clock: Callable[[], int],
        keys: ApiKeys,
        endings: Sequence[Ending],
    ) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._endings = endings

    def close(self, by: Holder) -> Store | Rejection:
        """Close the store of ``by``; again is once. Rejects UNKNOWN_STORE, and MORE_REMAINS while
        money is under way, with how many of what there are and the name of one."""
        with transaction(self._database) as session:
            store = session.get(Store, by.store.id)
            if store is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": by.store.id})
            if store.closed_ns is not None:
                return store
            open_still = under_way(session, store.id)
            if open_still:
                why = "money is under way; take no new invoices, and close it when that has ended"
                return Rejection(Outcome.MORE_REMAINS, {"why": why, **open_still})
            now_ns = self._clock()
            store.closed_ns = now_ns
            # Too little for a sale, or there would be one: it stays on the wallet's account.
            keep_gathered(session, store.id)
            policy = session.get(ExceptionPolicy, store.id)
            if policy is not None:
                session.delete(policy)  # Nobody would pay the refund that it opens.
            self._end_buttons(session, store.id, now_ns)
            self._keys.end_all(session, store.id)
            for ending in self._endings:
                ending(session, Closed(store, by, now_ns))
            return store

    def _end_buttons(self, session: Session, store_id: str, now_ns: int) -> None:
        mine = (PayButton.store_id == store_id, PayButton.ended_ns.is_(None))
        session.execute(
            update(PayButton)
            .where(*mine)
            .values(ended_ns=now_ns)
            .execution_options(synchronize_session=False)
        )


def why_shut(store: Store) -> Rejection | None:
    """Return why a store takes no new invoices, and gives none a new price; None if it does."""
    if store.closed_ns is not None:
        why = "the shop has closed"
    elif store.paused:
        why = "the shop takes no new invoices just now"
    else:
        return None
    return Rejection(Outcome.INVOICE_CLOSED, {"store": store.id, "why": why})


def under_way(session: Session, store_id: str) -> dict[str, str]:
    """Return what of a store has not ended: how many of each kind, a hundred at most, and which is
    one of them."""
    found: dict[str, str] = {}
    kinds: tuple[tuple[str, InstrumentedAttribute[str], tuple[ColumnElement[bool], ...]], ...] = (
        ("invoice", Invoice.id, (Invoice.store_id == store_id,)),
        ("conversion", Conversion.id, (Conversion.store_id == store_id,)),
        ("refund", Refund.id, (Refund.store_id == store_id,)),
    )
    waits = (INVOICE_UNDER_WAY, CONVERSION_UNDER_WAY, REFUND_UNDER_WAY)
    for (kind, name, mine), under in zip(kinds, waits, strict=True):
        some = select(name.label("id")).where(under, *mine).limit(COUNTED_MAX).subquery()
        count, one = session.execute(select(func.count(), func.min(some.c.id))).one()
        if count:
            found |= {f"open_{kind}s": str(count), kind: one}
    # One with neither is less than a lot, or waits for more by the store's policy.
    selling = or_(Pot.look_at_ns.is_not(None), Pot.slices_left > 0)
    pots = select(func.count()).where(Pot.store_id == store_id, Pot.pips > 0, selling)
    count = session.scalar(pots) or 0
    return found | ({"open_pots": str(count)} if count else {})
