"""Where may a shop show its checkout over its own page?

In none, until the shop has named its sites: whoever may put a page of ours into his may draw what
he likes around it, and over it. Origins go into a header as they stand, so they are held to what an
origin is.
"""

import re
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Engine

from engine.types import Outcome
from merchants.records.database import reading, transaction
from merchants.records.embedding import Embedding, embedders_of
from merchants.records.rejection import Rejection
from merchants.records.tables import Store
from merchants.stores.hosts import is_plain

ORIGINS_MAX: Final = 10
ORIGIN_CHARS_MAX: Final = 300

_PORT: Final = "(:[1-9][0-9]{0,4})?"
_ORIGIN: Final = re.compile(
    rf"https://(?P<host>[a-z0-9.-]+){_PORT}|http://(localhost|127\.0\.0\.1){_PORT}"
)
"""Without TLS anybody on the way could draw the page: that is for a developer's own machine."""


class Embeddings:
    """Keeps stores' own sites."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def of(self, store_id: str) -> tuple[str, ...]:
        """Return a store's sites; any thread may ask."""
        with reading(self._database) as session:
            return embedders_of(session, store_id)

    def change(self, store_id: str, origins: Sequence[str]) -> tuple[str, ...] | Rejection:
        """Let these sites show the checkout, and no others. Rejects MALFORMED for what is no origin
        of a site with TLS, UNKNOWN_STORE."""
        wanted = tuple(dict.fromkeys(map(_spelled, origins)))
        for origin in wanted:
            if not _is_origin(origin):
                why = "an origin is https://, a host and perhaps a port, with nothing behind it"
                return Rejection(Outcome.MALFORMED, {"origin": origin[:80], "why": why})
        if len(wanted) > ORIGINS_MAX:
            return Rejection(Outcome.MALFORMED, {"origins": str(len(wanted))})
        with transaction(self._database) as session:
            if session.get(Store, store_id) is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            session.merge(Embedding(store_id=store_id, origins=" ".join(wanted)))
        return wanted


def _is_origin(origin: str) -> bool:
    found = None if len(origin) > ORIGIN_CHARS_MAX else _ORIGIN.fullmatch(origin)
    return found is not None and (found["host"] is None or is_plain(found["host"]))


def _spelled(origin: str) -> str:
    """Return an origin as browsers spell it."""
    lower = origin.strip().lower()
    scheme = lower.partition(":")[0]
    return lower.removesuffix({"https": ":443", "http": ":80"}.get(scheme, "\0"))
