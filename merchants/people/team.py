"""Who belongs to a store, and how does somebody come to?

The wallet that owns a store makes whoever signs in with it an owner. Everybody else is invited: the
link holds a token, whose hash is kept; who follows it, signed in, joins once. A store is never left
without an owner, and nobody but an owner makes another.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.people.audit import Deed, note
from merchants.people.roles import MANAGE_TEAM, SCOPES, Actor, Person, Role
from merchants.people.sessions import new_token, token_hash
from merchants.records.database import reading, transaction
from merchants.records.people import Invitation, Membership, User
from merchants.records.rejection import Rejection
from merchants.records.tables import Store

NS: Final = 10**9
INVITATION_S: Final = 7 * 24 * 3600
MEMBERS_MAX: Final = 100
INVITATIONS_MAX: Final = 50
STORES_MAX: Final = 100
"""Of one person, in one answer."""


class Member(NamedTuple):
    """Somebody in a store."""

    user_id: str
    name: str
    wallet: bytes | None
    role: Role
    since_ns: int


class Mine(NamedTuple):
    """A store that a person belongs to."""

    store_id: str
    name: str
    role: Role
    closed_ns: int | None


class Invited(NamedTuple):
    """A new invitation; the token is in this answer only."""

    id: str
    token: str
    ends_ns: int


class Team:
    """Memberships and invitations."""

    def __init__(
        self, database: Engine, clock: Callable[[], int], entropy: Callable[[int], bytes]
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    def actor(self, person: Person, store_id: str) -> Actor | None:
        """Return what a person is in a store; None if he is nothing there, or it is not there."""
        with reading(self._database) as session:
            return self.actor_in(session, person, store_id)

    def actor_in(self, session: Session, person: Person, store_id: str) -> Actor | None:
        """Return what a person is in a store, in the caller's transaction."""
        row = session.get(Membership, (store_id, person.user_id))
        if row is None:
            return None
        is_closed = session.get_one(Store, store_id).closed_ns is not None
        return Actor(person, store_id, Role(row.role), is_closed)

    def store(self, store_id: str) -> Store:
        """Return a store that somebody is a member of."""
        with reading(self._database) as session:
            return session.get_one(Store, store_id)

    def stores_of(self, user_id: str) -> list[Mine]:
        """Return the stores that a person belongs to, the oldest first."""
        query = (
            select(Membership, Store.name, Store.closed_ns)
            .join(Store, Store.id == Membership.store_id)
            .where(Membership.user_id == user_id)
            .order_by(Membership.created_ns, Membership.store_id)
            .limit(STORES_MAX)
        )
        with reading(self._database) as session:
            return [
                Mine(row.store_id, name, Role(row.role), closed_ns)
                for row, name, closed_ns in session.execute(query)
            ]

    def members(self, store_id: str) -> list[Member]:
        """Return everybody in a store."""
        query = (
            select(Membership, User)
            .join(User, User.id == Membership.user_id)
            .where(Membership.store_id == store_id)
            .order_by(Membership.created_ns, Membership.user_id)
            .limit(MEMBERS_MAX)
        )
        with reading(self._database) as session:
            return [
                Member(user.id, user.name, user.wallet, Role(row.role), row.created_ns)
                for row, user in session.execute(query)
            ]

    def invitations(self, store_id: str) -> list[Invitation]:
        """Return a store's invitations that nobody has followed yet."""
        query = (
            select(Invitation)
            .where(Invitation.store_id == store_id, Invitation.ends_ns > self._clock())
            .order_by(Invitation.created_ns)
            .limit(INVITATIONS_MAX)
        )
        with reading(self._database) as session:
            return list(session.scalars(query))

    def own(self, session: Session, person: Person, wallet: bytes) -> None:
        """Make a person an owner of all stores whose wallet is his, in the caller's transaction:
        he has just shown that it is."""
        his = select(Membership.store_id).where(Membership.user_id == person.user_id)
        stores = select(Store.id).where(Store.wallet == wallet, Store.id.not_in(his))
        for store_id in session.scalars(stores.limit(STORES_MAX)).all():
            self.join(session, person, store_id, Role.OWNER)

    def join(self, session: Session, person: Person, store_id: str, role: Role) -> None:
        """Make a person a member, in the caller's transaction."""
        now_ns = self._clock()
        row = session.get(Membership, (store_id, person.user_id))
        before = None if row is None else row.role
        if row is None:
            row = Membership(store_id=store_id, user_id=person.user_id, created_ns=now_ns)
            session.add(row)
        row.role = role.value
        note(session, person, now_ns, Deed("member.joined", person.user_id, store_id, before, role))

    def invite(
        self, session: Session, person: Person, store_id: str, role: Role
    ) -> Invited | Rejection:
        """Make an invitation, in the caller's transaction."""
        now_ns = self._clock()
        here = Invitation.store_id == store_id
        session.execute(delete(Invitation).where(here, Invitation.ends_ns <= now_ns))
        count = session.scalar(select(func.count()).select_from(Invitation).where(here)) or 0
        if count >= INVITATIONS_MAX:
            why = f"{INVITATIONS_MAX} invitations are open already"
            return Rejection(Outcome.FORBIDDEN, {"why": why})
        token = new_token(self._entropy, "tbi_")
        row = Invitation(
            token_hash=token_hash(token),
            id="inv_" + self._entropy(12).hex(),
            store_id=store_id,
            role=role.value,
            invited_by=person.user_id,
            created_ns=now_ns,
            ends_ns=now_ns + INVITATION_S * NS,
        )
        session.add(row)
        note(session, person, now_ns, Deed("invitation.made", row.id, store_id, after=role))
        return Invited(row.id, token, row.ends_ns)

    def is_invited(self, token: str) -> bool:
        """Return whether an invitation with that token is open."""
        with reading(self._database) as session:
            row = session.get(Invitation, token_hash(token))
            return row is not None and row.ends_ns > self._clock()

    def accept(self, session: Session, person: Person, token: str) -> str | Rejection:
        """Use an invitation up, in the caller's transaction; return the store's id."""
        row = session.get(Invitation, token_hash(token))
        if row is None or row.ends_ns <= self._clock():
            return Rejection(Outcome.NOT_FOUND, {"why": "no such invitation, or it is over"})
        count = session.scalar(
            select(func.count()).select_from(Membership).where(Membership.store_id == row.store_id)
        )
        if (count or 0) >= MEMBERS_MAX:
            return Rejection(Outcome.FORBIDDEN, {"why": f"a store has {MEMBERS_MAX} people"})
        known = session.get(Membership, (row.store_id, person.user_id))
        # No invitation takes away what somebody may, nor leaves him keys that may more than he.
        if known is None or SCOPES[Role(known.role)] <= SCOPES[Role(row.role)]:
            self.join(session, person, row.store_id, Role(row.role))
        session.delete(row)
        return row.store_id

    def withdraw(self, actor: Actor, invitation_id: str) -> bool:
        """Call an invitation off; False if the store has no such one."""
        with transaction(self._database) as session:
            row = session.scalar(
                select(Invitation).where(
                    Invitation.id == invitation_id, Invitation.store_id == actor.store_id
                )
            )
            if row is None:
                return False
            session.delete(row)
            deed = Deed("invitation.withdrawn", invitation_id, actor.store_id, row.role)
            note(session, actor.person, self._clock(), deed)
        return True

    def change(
        self, session: Session, actor: Actor, user_id: str, role: Role | None
    ) -> Rejection | None:
        """Give a member another role, or none, in the caller's transaction."""
        row = session.get(Membership, (actor.store_id, user_id))
        if row is None:
            return Rejection(Outcome.NOT_FOUND, {"user": user_id})
        before = Role(row.role)
        if before is Role.OWNER and role is not Role.OWNER and self._owners(session, row) == 1:
            return Rejection(Outcome.FORBIDDEN, {"why": "a store always has an owner"})
        if role is None:
            session.delete(row)
        else:
            row.role = role.value
        if role is None or MANAGE_TEAM not in SCOPES[role]:
            self._withdraw_all_of(session, actor, user_id)
        kind = "member.removed" if role is None else "member.changed"
        deed = Deed(kind, user_id, actor.store_id, before, role)
        note(session, actor.person, self._clock(), deed)
        return None

    def leave(self, session: Session, store_id: str) -> None:
        """Let nobody but owners belong to a store, and nobody come, in the caller's transaction."""
        others = (Membership.store_id == store_id, Membership.role != Role.OWNER.value)
        session.execute(delete(Membership).where(*others))
        session.execute(delete(Invitation).where(Invitation.store_id == store_id))

    def _withdraw_all_of(self, session: Session, actor: Actor, user_id: str) -> None:
        """Call off what somebody invited who may invite no more: he may have kept a link to come
        back by, as an owner."""
        his = select(Invitation).where(
            Invitation.store_id == actor.store_id, Invitation.invited_by == user_id
        )
        for row in session.scalars(his).all():
            session.delete(row)
            deed = Deed("invitation.withdrawn", row.id, actor.store_id, row.role)
            note(session, actor.person, self._clock(), deed)

    def _owners(self, session: Session, row: Membership) -> int:
        owners = (Membership.store_id == row.store_id, Membership.role == Role.OWNER.value)
        return session.scalar(select(func.count()).select_from(Membership).where(*owners)) or 0
