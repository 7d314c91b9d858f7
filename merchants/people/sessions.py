"""Who is behind this cookie, and until when?

A token is 256 random bits; its hash is kept, so the database opens no session. A session ends when
nobody used it for a while, at its end whatever happens, and when its owner says so.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from merchants.people.audit import Deed, note
from merchants.people.roles import Person
from merchants.records.database import is_there, reading, transaction
from merchants.records.people import SignIn

NS: Final = 10**9
TOKEN_SIZE: Final = 32
TOKEN_CHARS_MAX: Final = 64
IDLE_S: Final = 2 * 3600
LIFE_S: Final = 24 * 3600
RECOVERED_S: Final = 900
"""A session that began with a recovery code is for making new keys, and short."""

TOUCH_S: Final = 60
"""How often it is written down that a session is in use."""

SESSIONS_MAX: Final = 20
"""Of one person; the oldest goes."""

AGENT_CHARS_MAX: Final = 120
SIGN_IN_OF_TOKEN: Final = "SELECT 1 FROM sign_ins WHERE token_hash = ?"


class Opened(NamedTuple):
    """A new session; the token is in this answer only."""

    token: str
    session_id: str
    ends_ns: int


class Origin(NamedTuple):
    """From where somebody asks: his network's prefix, and what his browser says it is."""

    network: str
    agent: str


class Seen(NamedTuple):
    """Whose session it is, and whether it is time to ``touch`` it."""

    person: Person
    is_stale: bool


def token_hash(token: str) -> bytes:
    """Return what is kept of a token: no salt, for it is 256 random bits."""
    return hashlib.sha256(token.encode()).digest()


def new_token(entropy: Callable[[int], bytes], prefix: str) -> str:
    """Return a token of 256 random bits."""
    return prefix + urlsafe_b64encode(entropy(TOKEN_SIZE)).decode().rstrip("=")


class Sessions:
    """Opens, reads and ends sessions."""

    def __init__(
        self, database: Engine, clock: Callable[[], int], entropy: Callable[[int], bytes]
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    def open(
        self, session: Session, user_id: str, origin: Origin, how: str, *, recovered: bool = False
    ) -> Opened:
        """Open a session in the caller's transaction; ``how`` goes into the log."""
        now_ns = self._clock()
        rows = session.scalars(
            select(SignIn)
            .where(SignIn.user_id == user_id)
            .order_by(SignIn.created_ns.desc())
            .offset(SESSIONS_MAX - 1)
        ).all()
        for row in rows:
            session.delete(row)
        token = new_token(self._entropy, "tbs_")
        ends_ns = now_ns + (RECOVERED_S if recovered else LIFE_S) * NS
        name = "ses_" + self._entropy(12).hex()
        session.add(
            SignIn(
                token_hash=token_hash(token),
                id=name,
                user_id=user_id,
                created_ns=now_ns,
                used_ns=now_ns,
                ends_ns=ends_ns,
                network=origin.network,
                agent=origin.agent[:AGENT_CHARS_MAX],
                recovered=recovered,
            )
        )
        person = Person(user_id, name, origin.network, recovered)
        note(session, person, now_ns, Deed(f"session.{how}", name))
        return Opened(token, name, ends_ns)

    def read(self, token: str, network: str) -> Seen | None:
        """Return whose token it is; None when there is no such session, or it is over."""
        if not token or len(token) > TOKEN_CHARS_MAX:
            return None
        wanted = token_hash(token)
        if not is_there(self._database, SIGN_IN_OF_TOKEN, wanted):
            return None
        with reading(self._database) as session:
            row = session.get(SignIn, wanted)
            if row is None or not self._is_open(row):
                return None
            person = Person(row.user_id, row.id, network, row.recovered)
            return Seen(person, self._clock() - row.used_ns > TOUCH_S * NS)

    def _is_open(self, row: SignIn) -> bool:
        now_ns = self._clock()
        return now_ns < row.ends_ns and now_ns < row.used_ns + IDLE_S * NS

    def touch(self, session_id: str) -> None:
        """Note that a session is in use, where that was not noted lately."""
        now_ns = self._clock()
        with transaction(self._database) as session:
            row = session.scalar(select(SignIn).where(SignIn.id == session_id))
            if row is not None and now_ns - row.used_ns > TOUCH_S * NS:
                row.used_ns = now_ns

    def of(self, user_id: str) -> list[SignIn]:
        """Return a person's open sessions, the newest first."""
        query = (
            select(SignIn)
            .where(SignIn.user_id == user_id)
            .order_by(SignIn.created_ns.desc())
            .limit(SESSIONS_MAX)
        )
        with reading(self._database) as session:
            return [row for row in session.scalars(query) if self._is_open(row)]

    def end(self, person: Person, session_id: str) -> bool:
        """End one of a person's own sessions; False if he has no such one."""
        with transaction(self._database) as session:
            row = session.scalar(
                select(SignIn).where(SignIn.id == session_id, SignIn.user_id == person.user_id)
            )
            if row is None:
                return False
            session.delete(row)
            note(session, person, self._clock(), Deed("session.ended", session_id))
        return True

    def end_others(self, session: Session, person: Person) -> int:
        """End all of a person's sessions but this one, in the caller's transaction."""
        others = (SignIn.user_id == person.user_id, SignIn.id != person.session_id)
        count = session.scalar(select(func.count()).select_from(SignIn).where(*others)) or 0
        session.execute(delete(SignIn).where(*others))
        return count

    def forget_ended(self, session: Session, limit: int) -> None:
        """Drop rows of sessions that are over."""
        over = select(SignIn.token_hash).where(SignIn.ends_ns <= self._clock()).limit(limit)
        session.execute(delete(SignIn).where(SignIn.token_hash.in_(over)))
