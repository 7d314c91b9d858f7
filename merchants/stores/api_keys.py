"""Which program speaks for which shop, and what may it do?

A store has several keys, each with scopes of its own. A key is shown once; its hash is kept,
without salt: it is 256 random bits, which no dictionary reaches.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select, update
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.records.api_keys import ApiKey
from merchants.records.database import is_there, reading, transaction
from merchants.records.rejection import Rejection
from merchants.records.tables import Store
from merchants.stores.scopes import INCLUDED, opened

API_KEY_SIZE: Final = 32
PREFIX: Final = "tbk_"
HINT_CHARS: Final = len(PREFIX) + 4
KEY_OF_HASH: Final = "SELECT 1 FROM api_keys WHERE hash = ?"

KEYS_MAX: Final = 100
"""Keys of one store that work."""

PAGE_MAX: Final = 100

USED_NS: Final = 60 * 10**9
"""How exact it is kept when a key was used last: each note is a write."""

USED_MAX: Final = 10_000
"""Keys whose use is noted in one go; of more the last used are."""


MADE: Final = "made"
ROTATED: Final = "rotated"
REVOKED: Final = "revoked"

KeyNews = Callable[[Session, ApiKey, str, int], None]
"""Tells a shop, in the transaction of the change, that a key was made, rotated or revoked, at unix
nanoseconds."""


class Holder(NamedTuple):
    """Who speaks for a store, and what he may do: ``scopes`` with all that they include.
    ``user_id`` is the person that he is, or whose key he has; empty where nobody is known.
    ``by_session`` is one who is signed in and shows no key."""

    store: Store
    key_id: str
    scopes: frozenset[str]
    user_id: str = ""
    by_session: bool = False

    def may(self, scope: str) -> bool:
        """Return whether ``scope`` is among his."""
        return scope in self.scopes


class KeyMade(NamedTuple):
    """The only answer that ever carries an API key."""

    row: ApiKey
    api_key: str


class ApiKeys:
    """Makes, finds, replaces and revokes API keys."""

    def __init__(
        self,
        database: Engine,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        tell: KeyNews,
    ) -> None:
        self._database = database
        self._tell = tell
        self._clock = clock
        self._entropy = entropy
        self._used: OrderedDict[str, int] = OrderedDict()
        """When keys were used that is not written down yet."""
        self.ended = 0
        """How often keys were ended since the start: who remembers a key looks again then."""
        self._noted_ns = 0

    def new(self, store_id: str, label: str, scopes: Iterable[str], made_by: str) -> KeyMade:
        """Return a key and its row, which the caller adds."""
        api_key = PREFIX + urlsafe_b64encode(self._entropy(API_KEY_SIZE)).decode().rstrip("=")
        row = ApiKey(
            id="key_" + self._entropy(16).hex(),
            store_id=store_id,
            hash=hash_of(api_key),
            hint=api_key[:HINT_CHARS],
            label=label,
            scopes=" ".join(sorted(set(scopes))),
            created_ns=self._clock(),
            made_by=made_by,
        )
        return KeyMade(row, api_key)

    def make(self, by: Holder, label: str, scopes: Iterable[str]) -> KeyMade | Rejection:
        """Make a key of the store that ``by`` speaks for. Rejects MALFORMED for scopes that there
        are not, FORBIDDEN for what ``by`` may not do himself, and where there are too many keys."""
        with transaction(self._database) as session:
            return self.make_in(session, by, label, scopes)

    def make_in(
        self, session: Session, by: Holder, label: str, scopes: Iterable[str]
    ) -> KeyMade | Rejection:
        """Make a key in the caller's transaction, as ``make``."""
        wanted = set(scopes)
        unknown = sorted(wanted - set(INCLUDED))
        if unknown or not wanted:
            why = "there is no such permission" if unknown else "a key without a permission"
            return Rejection(Outcome.MALFORMED, {"scopes": " ".join(unknown), "why": why})
        beyond = sorted(opened(wanted) - by.scopes)
        if beyond:
            why = "nobody gives what he has not got"
            return Rejection(Outcome.FORBIDDEN, {"scopes": " ".join(beyond), "why": why})
        full = self._why_full(session, by.store.id)
        if full is not None:
            return full
        made = self.new(by.store.id, label, wanted, by.user_id)
        session.add(made.row)
        self._tell(session, made.row, MADE, made.row.created_ns)
        return made

    def replace(self, by: Holder, key_id: str, former_s: int) -> KeyMade | Rejection:
        """Make a key like one of the store's, which works ``former_s`` seconds more. Rejects
        NOT_FOUND for a key that does not work, else as ``make``."""
        with transaction(self._database) as session:
            former = self._working(session, by.store.id, key_id)
            if former is None:
                return Rejection(Outcome.NOT_FOUND, {"key": key_id})
            beyond = sorted(opened(former.scopes.split(" ")) - by.scopes)
            if beyond:
                why = "nobody gives what he has not got"
                return Rejection(Outcome.FORBIDDEN, {"scopes": " ".join(beyond), "why": why})
            full = self._why_full(session, by.store.id)
            if full is not None and former_s:
                return full
            made = self.new(by.store.id, former.label, former.scopes.split(" "), by.user_id)
            session.add(made.row)
            self.replaced(session, former, former_s)
            self._tell(session, made.row, MADE, made.row.created_ns)
        return made

    def replaced(self, session: Session, former: ApiKey, former_s: int) -> None:
        """Let a key that another has replaced work ``former_s`` seconds more, in the caller's
        transaction."""
        now_ns = self._clock()
        ends_ns = now_ns + former_s * 10**9
        former.ends_ns = min(former.ends_ns or ends_ns, ends_ns)
        self.ended += 1
        self._tell(session, former, ROTATED, now_ns)

    def revoke(self, store_id: str, key_id: str) -> ApiKey | Rejection:
        """Let a key work no more, from now on. Rejects NOT_FOUND for one that does not."""
        with transaction(self._database) as session:
            row = self._working(session, store_id, key_id)
            if row is None:
                return Rejection(Outcome.NOT_FOUND, {"key": key_id})
            self._end(session, row)
            return row

    def _end(self, session: Session, row: ApiKey) -> None:
        row.ends_ns = self._clock()
        self.ended += 1
        self._tell(session, row, REVOKED, row.ends_ns)

    def end_of(
        self, session: Session, store_id: str, user_id: str, allowed: frozenset[str]
    ) -> None:
        """End, in the caller's transaction, the keys of a person that may more than ``allowed``:
        he may no more himself, and may have kept them."""
        his = select(ApiKey).where(ApiKey.store_id == store_id, ApiKey.made_by == user_id)
        for row in session.scalars(his.where(self._is_working())).all():
            if not opened(row.scopes.split(" ")) <= allowed:
                self._end(session, row)

    def end_all(self, session: Session, store_id: str) -> None:
        """End all keys of a store, in the caller's transaction, without a word of each."""
        self.ended += 1
        all_of_it = update(ApiKey).where(ApiKey.store_id == store_id, self._is_working())
        session.execute(
            all_of_it.values(ends_ns=self._clock()).execution_options(synchronize_session=False)
        )

    def _is_working(self) -> ColumnElement[bool]:
        return or_(ApiKey.ends_ns.is_(None), ApiKey.ends_ns > self._clock())

    def _working(self, session: Session, store_id: str, key_id: str) -> ApiKey | None:
        row = session.get(ApiKey, key_id)
        return row if row is not None and row.store_id == store_id and self.works(row) else None

    def _why_full(self, session: Session, store_id: str) -> Rejection | None:
        working = select(func.count()).where(ApiKey.store_id == store_id, self._is_working())
        if (session.scalar(working) or 0) < KEYS_MAX:
            return None
        why = "a store has no more keys that work; revoke one"
        return Rejection(Outcome.FORBIDDEN, {"why": why, "most": str(KEYS_MAX)})

    def works(self, row: ApiKey) -> bool:
        """Return whether a key works now."""
        return row.ends_ns is None or row.ends_ns > self._clock()

    def authenticate(self, api_key: str) -> Holder | None:
        """Return who speaks with this key. Only reads, any thread may."""
        wanted = hash_of(api_key)
        if not is_there(self._database, KEY_OF_HASH, wanted):
            return None
        with reading(self._database) as session:
            row = session.scalar(select(ApiKey).where(ApiKey.hash == wanted))
            if row is None or not hmac.compare_digest(row.hash, wanted) or not self.works(row):
                return None
            store = session.get_one(Store, row.store_id)
        return Holder(store, row.id, opened(row.scopes.split(" ")), row.made_by)

    def label_of(self, key_id: str) -> str:
        """Return what a key is called, empty if there is none. Only reads, any thread may."""
        with reading(self._database) as session:
            row = session.get(ApiKey, key_id)
            return "" if row is None else row.label

    def used(self, key_id: str) -> None:
        """Note that a key was used; ``write_used`` writes it down."""
        self._used[key_id] = self._clock()
        self._used.move_to_end(key_id)
        if len(self._used) > USED_MAX:
            self._used.popitem(last=False)

    def write_used(self) -> None:
        """Write down when keys were used, once a minute."""
        now_ns = self._clock()
        if not self._used or now_ns - self._noted_ns < USED_NS:
            return
        self._noted_ns = now_ns
        rows = [{"id": key_id, "used_ns": used_ns} for key_id, used_ns in self._used.items()]
        with transaction(self._database) as session:
            session.execute(update(ApiKey), rows)
        self._used.clear()

    def of_store(
        self, store_id: str, before: str | None = None, limit: int = PAGE_MAX
    ) -> list[ApiKey] | None:
        """Return a store's keys, the newest first: those behind its key ``before``; None where it
        has no such key. Only reads, any thread may."""
        query = select(ApiKey).where(ApiKey.store_id == store_id)
        with reading(self._database) as session:
            if before is not None:
                last = session.get(ApiKey, before)
                if last is None or last.store_id != store_id:
                    return None
                older = ApiKey.created_ns < last.created_ns
                twin = and_(ApiKey.created_ns == last.created_ns, ApiKey.id > before)
                query = query.where(or_(older, twin))
            query = query.order_by(ApiKey.created_ns.desc(), ApiKey.id)
            return list(session.scalars(query.limit(min(limit, PAGE_MAX))))


def hash_of(api_key: str) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(api_key.encode()).digest()
