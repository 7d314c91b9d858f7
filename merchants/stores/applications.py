"""Which application gets a key of a shop because its owner said so in his browser?

The application names itself and where the key is to be sent. Neither is proven: the owner reads
where it goes, and confirms exactly that. Keys are kept as hashes, so who asks again gets a new one
instead of the one he has, which ends a day later.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, select

from engine.types import Outcome
from merchants.records.api_keys import ApiKey
from merchants.records.applications import Application
from merchants.records.database import transaction
from merchants.records.rejection import Rejection
from merchants.stores.api_keys import ApiKeys, Holder, KeyMade
from merchants.stores.hosts import is_plain

FORMER_S: Final = 86_400
"""How long the key works on that was replaced: the new one may not have arrived."""

REDIRECT_CHARS_MAX: Final = 2_000
PORT_MAX: Final = 65_535

# What browsers and we read alike: no userinfo, no name in other letters than a certificate has, no
# backslash, space or control character. Plain HTTP only where it does not leave the machine.
_REDIRECT: Final = re.compile(
    r"(?P<origin>(?:https://(?P<host>[A-Za-z0-9.-]{1,253})"
    r"|http://(?:localhost|127\.0\.0\.1))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?)"
    r"(?:/[A-Za-z0-9/._~!$&'()*+,;=:@%-]*)?"
    r"(?:\?[A-Za-z0-9/?._~!$&'()*+,;=:@%\[\]-]*)?"
)


class Wish(NamedTuple):
    """What an application asks for. ``redirect`` is where its key is to be sent, empty for nowhere;
    ``identifier`` is empty where it does not say that it is the same one as before."""

    name: str
    identifier: str
    redirect: str
    scopes: tuple[str, ...]


def origin_of(redirect: str) -> str | None:
    """Return the scheme, host and port that a key would be sent to; None where it may not go
    there: to HTTPS, or to this machine."""
    if len(redirect) > REDIRECT_CHARS_MAX:
        return None
    found = _REDIRECT.fullmatch(redirect)
    if found is None or int(found["port"] or 0) > PORT_MAX:
        return None
    if found["host"] is not None and not is_plain(found["host"].lower()):
        return None
    return found["origin"].lower()


class Applications:
    """Gives applications keys."""

    def __init__(self, database: Engine, clock: Callable[[], int], keys: ApiKeys) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys

    def authorize(self, by: Holder, wish: Wish) -> KeyMade | Rejection:
        """Make a key for an application; one that the same application was given for the same
        origin ends a day later. Rejects MALFORMED for a redirect that is none, else as
        ``ApiKeys.make``."""
        origin = origin_of(wish.redirect) if wish.redirect else ""
        if origin is None:
            why = "a key is sent to https only, or to this machine"
            return Rejection(Outcome.MALFORMED, {"redirect": wish.redirect, "why": why})
        with transaction(self._database) as session:
            made = self._keys.make_in(session, by, wish.name, wish.scopes)
            if isinstance(made, Rejection) or not origin or not wish.identifier:
                return made
            ended = select(ApiKey.id).where(
                ApiKey.store_id == by.store.id, ApiKey.ends_ns <= self._clock()
            )
            here = Application.store_id == by.store.id
            session.execute(delete(Application).where(here, Application.key_id.in_(ended)))
            session.flush()  # A row names the key, which has to be there first.
            row = session.get(Application, (by.store.id, wish.identifier, origin))
            if row is None:
                found = Application(
                    store_id=by.store.id,
                    identifier=wish.identifier,
                    origin=origin,
                    key_id=made.row.id,
                )
                session.add(found)
                return made
            self._keys.replaced(session, session.get_one(ApiKey, row.key_id), FORMER_S)
            row.key_id = made.row.id
        return made


def permissions(scopes: Iterable[str], store_id: str) -> list[str]:
    """Return scopes as BTCPay's clients read them: each with its store behind a colon."""
    return [f"{scope}:{store_id}" if "." in scope else scope for scope in scopes]
