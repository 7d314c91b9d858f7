"""How is written down what people did, so that nobody can say later that it was otherwise?

A row goes into the transaction of what it tells of. Of the thing itself there are only hashes of
how it was and how it is: whoever has the thing can show that it is that one, and a list of rows
tells no secret.
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
    """Add a row to the log, in the caller's transaction."""
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
