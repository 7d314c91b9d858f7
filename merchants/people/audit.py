"""How is written down what people did, so that nobody can say later that it was otherwise?

A row goes into the transaction of what it tells of. Of the thing itself there are only hashes of
how it was and how it is: whoever has the thing can show that it is that one, and a list of rows
tells no secret. What nobody has to confirm has so many rows a day and person; what comes on top is
counted in the last of them, which stays as it was but for that.
"""

from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from merchants.people.roles import Person
from merchants.records.database import reading
from merchants.records.people import AuditRow

AUDIT_PAGE_MAX: Final = 100
DAY_NS: Final = 86_400 * 10**9
ROWS_A_DAY: Final = 100
"""Rows of one person and UTC day that tell of one kind of what nobody has to confirm."""

UNCONFIRMED: Final = ("session.", "user.renamed")
"""How the kinds begin that somebody may do without end: he signs in, and out."""
NOBODY: Final = Person("", "", "", recovered=False)
"""Who is named where the clock did it."""


def hash_of(thing: object) -> bytes:
    """Return the hash of a thing's canonical JSON; of None nothing at all."""
    return b"" if thing is None else sha256(msgspec.json.encode(thing, order="sorted")).digest()


class Deed(NamedTuple):
    """What was done to which thing, of which store (empty: of one's own account), and what it was
    and is: only hashes of that are kept."""

    kind: str
    subject: str
    store_id: str = ""
    before: object = None
    after: object = None


def note(session: Session, person: Person, now_ns: int, deed: Deed) -> None:
    """Add a row to the log, in the caller's transaction, or count what it has enough rows of."""
    if deed.kind.startswith(UNCONFIRMED) and _is_counted(session, person, now_ns, deed.kind):
        return
    session.add(
        AuditRow(
            at_ns=now_ns,
            store_id=deed.store_id,
            user_id=person.user_id,
            network=person.network,
            kind=deed.kind,
            subject=deed.subject,
            before_hash=hash_of(deed.before),
            after_hash=hash_of(deed.after),
        )
    )


def _is_counted(session: Session, person: Person, now_ns: int, kind: str) -> bool:
    """Count what somebody does once more in his last row of it, if today has enough of them."""
    mine = (AuditRow.user_id == person.user_id, AuditRow.kind == kind)
    newest = select(AuditRow).where(*mine).order_by(AuditRow.id.desc()).limit(1)
    first = session.scalar(newest.offset(ROWS_A_DAY - 1))
    if first is None or first.at_ns < now_ns - now_ns % DAY_NS:
        return False
    last = session.scalar(newest)
    assert last is not None, "there is one that is older"
    last.times += 1
    return True


def store_log(database: Engine, store_id: str, before: int | None, limit: int) -> list[AuditRow]:
    """Return what was done to a store, the newest first: what came before the row ``before``."""
    query = select(AuditRow).where(AuditRow.store_id == store_id)
    if before is not None:
        query = query.where(AuditRow.id < before)
    query = query.order_by(AuditRow.id.desc()).limit(min(limit, AUDIT_PAGE_MAX))
    with reading(database) as session:
        return list(session.scalars(query))


def own_log(database: Engine, user_id: str, before: int | None, limit: int) -> list[AuditRow]:
    """Return what a person did, the newest first."""
    query = select(AuditRow).where(AuditRow.user_id == user_id)
    if before is not None:
        query = query.where(AuditRow.id < before)
    query = query.order_by(AuditRow.id.desc()).limit(min(limit, AUDIT_PAGE_MAX))
    with reading(database) as session:
        return list(session.scalars(query))
