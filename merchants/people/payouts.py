"""When does a store's money go to another wallet?

A day after it was asked for and confirmed: long enough for the other owners, who are told at once,
to cancel it. Then ``Payouts.take_effect`` changes the wallet, again after a crash in between, so
that changing to the same wallet twice must be once.
"""

from collections.abc import Callable
from typing import Final, Protocol

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.people.audit import NOBODY, Deed, note
from merchants.people.roles import Actor, Person
from merchants.records.database import reading, transaction
from merchants.records.people import PayoutChange
from merchants.records.rejection import Rejection
from merchants.records.tables import Store

NS: Final = 10**9
WAIT_S: Final = 24 * 3600
CHANGES_SHOWN: Final = 25

WAITING: Final = "waiting"
CANCELLED: Final = "cancelled"
DONE: Final = "done"
REFUSED: Final = "refused"


class Wallets(Protocol):
    """Who gives a store another wallet."""

    def change_wallet(self, store_id: str, wallet: bytes) -> Rejection | None:
        """Let ``wallet`` own what the store earns from now on; to the same twice is once."""


News = Callable[[Session, PayoutChange, int], None]
"""Tells a shop, in the transaction of the change, what became of one at a time (unix ns)."""


def tell_nobody(_session: Session, _change: PayoutChange, _now_ns: int) -> None:
    """Stands where nobody listens."""


class Payouts:
    """Changes of stores' wallets, which wait."""

    def __init__(
        self,
        database: Engine,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        wallets: Wallets,
        is_lost: Callable[[bytes], bool],
        tell: News,
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self.wallets = wallets
        self._is_lost = is_lost
        self._tell = tell

    def ask(self, session: Session, actor: Actor, wallet: bytes) -> PayoutChange | Rejection:
        """Write a change down, in the caller's transaction. Rejects BAD_WALLET, and
        IDEMPOTENCY_CONFLICT while another one waits."""
        if self._is_lost(wallet):
            return Rejection(Outcome.BAD_WALLET, {"wallet": "0x" + wallet.hex()})
        store = session.get_one(Store, actor.store_id)
        if store.wallet == wallet:
            return Rejection(Outcome.BAD_WALLET, {"why": "it is the store's wallet already"})
        waiting = select(PayoutChange.id).where(
            PayoutChange.store_id == actor.store_id, PayoutChange.state == WAITING
        )
        other = session.scalar(waiting)
        if other is not None:
            return Rejection(Outcome.IDEMPOTENCY_CONFLICT, {"waiting": other})
        now_ns = self._clock()
        change = PayoutChange(
            id="pay_" + self._entropy(12).hex(),
            store_id=actor.store_id,
            wallet=wallet,
            asked_by=actor.person.user_id,
            asked_ns=now_ns,
            due_ns=now_ns + WAIT_S * NS,
            state=WAITING,
        )
        session.add(change)
        wallets = (store.wallet.hex(), wallet.hex())
        note(session, actor.person, now_ns, Deed("payout.asked", change.id, store.id, *wallets))
        self._tell(session, change, now_ns)
        return change

    def cancel(self, actor: Actor, change_id: str) -> PayoutChange | Rejection:
        """Call a change off. Rejects NOT_FOUND, and INVOICE_CLOSED where it waits no more."""
        with transaction(self._database) as session:
            change = session.get(PayoutChange, change_id)
            if change is None or change.store_id != actor.store_id:
                return Rejection(Outcome.NOT_FOUND, {"change": change_id})
            if change.state != WAITING:
                return Rejection(Outcome.FORBIDDEN, {"why": f"it is {change.state} already"})
            self._cancel(session, actor.person, change)
            return change

    def cancel_of(self, session: Session, actor: Actor, user_id: str) -> None:
        """Call off, in the caller's transaction, what somebody asked for who may not any more."""
        his = select(PayoutChange).where(
            PayoutChange.store_id == actor.store_id,
            PayoutChange.asked_by == user_id,
            PayoutChange.state == WAITING,
        )
        for change in session.scalars(his).all():
            self._cancel(session, actor.person, change)

    def cancel_all(self, session: Session, person: Person, store_id: str) -> None:
        """Call off, in the caller's transaction, what waits of a store."""
        waiting = (PayoutChange.store_id == store_id, PayoutChange.state == WAITING)
        for change in session.scalars(select(PayoutChange).where(*waiting)).all():
            self._cancel(session, person, change)

    def _cancel(self, session: Session, person: Person, change: PayoutChange) -> None:
        self._end(session, change, CANCELLED, person.user_id)
        deed = Deed("payout.cancelled", change.id, change.store_id, change.wallet.hex())
        note(session, person, self._clock(), deed)

    def of(self, store_id: str) -> tuple[bytes, list[PayoutChange]]:
        """Return a store's wallet and the changes of it, the newest first."""
        query = (
            select(PayoutChange)
            .where(PayoutChange.store_id == store_id)
            .order_by(PayoutChange.asked_ns.desc())
            .limit(CHANGES_SHOWN)
        )
        with reading(self._database) as session:
            return session.get_one(Store, store_id).wallet, list(session.scalars(query))

    def take_effect(self, limit: int) -> None:
        """Change the wallets of stores whose change has waited long enough."""
        now_ns = self._clock()
        due = (
            select(PayoutChange)
            .where(PayoutChange.state == WAITING, PayoutChange.due_ns <= now_ns)
            .order_by(PayoutChange.due_ns)
            .limit(limit)
        )
        with reading(self._database) as session:
            changes = list(session.scalars(due))
        for change in changes:
            # The store first, the note behind it: a crash in between changes it once more.
            refused = self.wallets.change_wallet(change.store_id, change.wallet)
            with transaction(self._database) as session:
                row = session.get_one(PayoutChange, change.id)
                if row.state != WAITING:
                    continue
                row.why = "" if refused is None else refused.detail.get("why", refused.outcome.name)
                self._end(session, row, DONE if refused is None else REFUSED, "")
                deed = Deed(f"payout.{row.state}", row.id, row.store_id, after=row.wallet.hex())
                note(session, NOBODY, now_ns, deed)

    def _end(self, session: Session, change: PayoutChange, state: str, by: str) -> None:
        now_ns = self._clock()
        change.state, change.ended_by, change.ended_ns = state, by, now_ns
        self._tell(session, change, now_ns)
