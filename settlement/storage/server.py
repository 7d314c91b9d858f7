"""How are rows kept on a Postgres server, so that what is committed stays?

As in a file (``settlement.storage.database``): who writes has the only write lock from the
beginning of his transaction, who reads sees one moment and waits for nobody. The lock is the
server's advisory one, taken for the transaction, and each statement behind it sees all that was
committed before (READ COMMITTED): with one writer that is a serial order. SERIALIZABLE would find
out at the commit that two had met, and have it all done again; a transaction here that puts
something into other hands on its way is not to be done twice.

A server that is gone is waited for, ten seconds at most, as a locked file is. Who loses it in the
middle of a transaction cannot know whether that was committed: ``ServerLost`` ends the process,
and the next start reads in the rows how far they are.
"""

import ssl
import time
from contextlib import suppress
from typing import Any, Final

import pg8000.dbapi
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.exc import ArgumentError

LOST_MAX_S: Final = 10
"""How long a server that is not there is waited for."""

ANSWER_MAX_S: Final = 30
"""A server that is silent for so long is lost: there is nobody else who would notice."""

RETRY_S: Final = 1
CONNECTIONS_MAX: Final = 16
WRITERS: Final = 0x7469_6C6C
"""The number of the writers' lock, in the database that we are alone in."""

READS: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITES: Final = f"BEGIN; SELECT pg_advisory_xact_lock({WRITERS})"

ENDED: Final = ("57P01", "57P02", "57P03", "57P05")
"""SQLSTATEs of a server that goes, has crashed or is not up yet, and of a connection it ended."""

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class ServerLost(Exception):
    """The database server does not answer; in one line, without its password."""


class BadAddress(Exception):
    """What should say where the database is does not, or it cannot be used; in one line."""


def open_server(address: str) -> Engine:
    """Return the database at ``address``, a URL ``postgresql://user:password@host:port/name``.

    With ``?host=/directory`` it is reached over the socket there. Over a network it is reached with
    TLS and a certificate that is checked; ``?sslmode=disable`` is for a network of one's own.
    Raises ``BadAddress`` and ``ServerLost``.
    """
    url, reached_by = _parsed(address)
    engine = create_engine(
        url, pool_size=CONNECTIONS_MAX, max_overflow=0, pool_pre_ping=True, connect_args=reached_by
    )
    shown = url.render_as_string(hide_password=True)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Dialect, _record: object, _args: object, named: dict[str, Any]) -> Any:
        return _connection(shown, named)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads_only = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql(READS if reads_only else WRITES)

    @event.listens_for(engine, "handle_error", retval=True)
    def failed(context: ExceptionContext) -> BaseException | None:
        context.is_disconnect = context.is_disconnect or _is_loss(context.original_exception)
        if not context.is_disconnect or context.is_pre_ping:
            return None
        return ServerLost(f"{shown} was lost in the middle: {context.original_exception}")

    return engine


def _parsed(address: str) -> tuple[URL, dict[str, Any]]:
    """Return the URL for the driver and by what it is reached."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise BadAddress("the shops' database is named by a URL, postgresql://...") from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+pg8000"):
        raise BadAddress(f"{url.drivername} is no database that is known here: postgresql is")
    directory, mode = url.query.get("host", ""), url.query.get("sslmode", "")
    unknown = set(url.query) - {"host", "sslmode"}
    if unknown or mode not in ("", "disable", "verify-full") or not isinstance(directory, str):
        raise BadAddress("behind the ? of the shops' database may be host and sslmode, once")
    reached_by: dict[str, Any] = {"timeout": ANSWER_MAX_S, "application_name": "tillbook"}
    if directory:
        reached_by["unix_sock"] = f"{directory}/.s.PGSQL.{url.port or 5432}"
    elif mode == "verify-full" or (not mode and url.host not in LOOPBACK):
        reached_by["ssl_context"] = ssl.create_default_context()
    return url.set(drivername="postgresql+pg8000", query={}), reached_by


class _Connection(pg8000.dbapi.Connection):  # type: ignore[misc]
    """A connection that begins no transactions by itself, and may be closed though it is gone."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        # The driver would begin them without the lock.
        self.autocommit = True

    def close(self) -> None:
        """Close it."""
        with suppress(pg8000.dbapi.InterfaceError, OSError):
            super().close()


def _connection(shown: str, named: dict[str, Any]) -> _Connection:
    """Return a new connection, waiting for a server that is on its way up."""
    deadline = time.monotonic() + LOST_MAX_S
    while True:
        try:
            connection = _Connection(**named)
            break
        except (pg8000.dbapi.Error, OSError) as error:
            # One without TLS is there, or with a certificate that is not its own.
            if "SSL" in str(error) or not _is_loss(error):
                raise BadAddress(f"{shown} cannot be used: {_words(error)}") from None
            if time.monotonic() >= deadline:
                raise ServerLost(f"{shown} is not there: {_words(error)}") from None
        time.sleep(RETRY_S)
    cursor = connection.cursor()
    # Whatever the server's default is: a commit that returned survives its crash.
    cursor.execute("SET synchronous_commit TO on; SHOW fsync")
    if cursor.fetchone()[0] != "on":
        connection.close()
        raise BadAddress(f"{shown} has fsync off: it would lose what is committed")
    return connection


def _is_loss(error: BaseException | None) -> bool:
    """Return whether it is the connection that failed, not what was asked over it."""
    if isinstance(error, pg8000.dbapi.InterfaceError | OSError):
        return True
    said = error.args[0] if error is not None and error.args else None
    return isinstance(said, dict) and said.get("C") in ENDED


def _words(error: BaseException) -> str:
    """Return the server's own sentence, where it had said one."""
    said = error.args[0] if error.args else error
    return str(said.get("M", said)) if isinstance(said, dict) else str(error)
