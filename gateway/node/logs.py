"""Where does every line of the log come from, and what may stand in it?

Configured once, by the command line. Our own loggers, uvicorn's, asyncio's and every library's go
one way: a fault becomes one short line (never a local variable), secrets are taken out, values are
cut, the same fault is said once an interval and counted, and a thread writes, so that the event
loop never waits for whoever reads the log. One fault a request used to stop everybody for seconds.
"""

import atexit
import logging
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import orjson
import structlog

FRAMES_MAX: Final = 6
VALUE_CHARS_MAX: Final = 400
LINE_CHARS_MAX: Final = 4_000
LINES_WAITING_MAX: Final = 2_000
REPEATS_SECONDS: Final = 60
REPEATS_KEPT_MAX: Final = 256
FLUSH_SECONDS: Final = 2.0

REDACTED: Final = "[redacted]"

_SECRET_NAME: Final = re.compile(
    r"authorization|cookie|token$|secret|api.?key|password|private.?key", re.IGNORECASE
)
_HEADER: Final = re.compile(
    r"(?i)(?P<name>\b(?:authorization|(?:set-)?cookie)['\"]?\s*[:,=]\s*b?['\"]?)[^'\"\r\n)]+"
)
_CREDENTIAL: Final = re.compile(r"(?i)(?P<name>\b(?:bearer|basic)\s+)[^'\"\s,)]+")
_API_KEY: Final = re.compile(r"\b(?:tbk|whsec)_[\w+/=-]+")
_URL: Final = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?:[^\s/@'\"]*@)?(?P<host>[^\s/?#'\"]+)"
    r"[^\s'\"]*",
    re.IGNORECASE,
)
_PATH_OF_URL: Final = re.compile(r"(?P<name>with url: )/\S+")

Event = MutableMapping[str, Any]


def redacted(text: str) -> str:
    """Return ``text`` without what looks like a secret: credentials, and a URL's path and query,
    for that is where nodes want their keys."""
    text = _URL.sub(lambda found: found["scheme"] + found["host"], text)
    text = _PATH_OF_URL.sub(lambda found: found["name"] + REDACTED, text)
    for words in (_HEADER, _CREDENTIAL):
        text = words.sub(lambda found: found["name"] + REDACTED, text)
    return _API_KEY.sub(REDACTED, text)


def brief(error: BaseException) -> str:
    """Return one line for a fault: what it is, and the innermost lines it came through."""
    return f"{type(error).__name__}: {_cut(redacted(str(error)))} at {_places(error)}"


def _places(error: BaseException) -> str:
    """Name the innermost frames by file, line and function. Source and variables are not read:
    that was the expensive part, and where secrets were."""
    places: deque[str] = deque(maxlen=FRAMES_MAX)
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        path = Path(code.co_filename)
        places.append(f"{path.parent.name}/{path.name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(places)) or "nowhere"


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX] + "..."


def _faults_in_one_line(_: object, __: str, event: Event) -> Event:
    """Replace ``exc_info`` by a short line; what renders it would read every local variable."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["fault"] = brief(error)
    return event


def _without_secrets(_: object, __: str, event: Event) -> Event:
    """Redact and cut every value."""
    for name, shown in event.items():
        if _SECRET_NAME.search(name):
            event[name] = REDACTED
        elif isinstance(shown, Mapping | list | tuple | set | BaseException):
            event[name] = _cut(redacted(repr(shown)))
        elif isinstance(shown, str):
            event[name] = _cut(redacted(shown)) if name != "fault" else shown
    return event


class Repeats:
    """Says a fault once an interval; counts the others and says at the next turn how many.

    Only lines that carry a fault or come from a library: what we say on purpose is all said.
    ``now`` is a monotonic clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._said: dict[tuple[str, ...], tuple[float, int]] = {}

    def __call__(self, _: object, __: str, event: Event) -> Event:
        """See structlog's processors."""
        is_foreign = event.pop("is_foreign", False)
        if "fault" not in event and not is_foreign:
            return event
        # What differs from one occurrence to the next (a path, a port) does not make it another.
        fault = str(event.get("fault", "")).rpartition(" at ")
        place = fault[2] + fault[0].partition(":")[0]
        key = (
            str(event.get("logger")),
            str(event.get("level")),
            str(event.get("event"))[:80],
            place,
        )
        now = self._now()
        said, count = self._said.get(key, (now - REPEATS_SECONDS, 0))
        if now - said < REPEATS_SECONDS:
            self._said[key] = (said, count + 1)
            raise structlog.DropEvent
        if len(self._said) >= REPEATS_KEPT_MAX:
            self._said.pop(next(iter(self._said)))
        self._said[key] = (now, 0)
        if count:
            event["repeated"] = count
        return event


def _named(logger: Any, __: str, event: Event) -> Event:
    """Say which part speaks."""
    event.setdefault("logger", getattr(logger, "name", "tillbook"))
    return event


def _as_json(_: object, __: str, event: Event) -> str:
    line = orjson.dumps(dict(event), default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    if len(line) <= LINE_CHARS_MAX:
        return line
    names = ("timestamp", "level", "logger", "event", "fault")
    kept = {name: str(event[name])[:VALUE_CHARS_MAX] for name in names if name in event}
    return orjson.dumps({**kept, "cut": True}).decode()


class Writer:
    """A thread that writes lines. ``write`` never waits; what does not fit is counted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._changed = threading.Condition()
        self._writing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Take one line."""
        with self._changed:
            if len(self._lines) >= LINES_WAITING_MAX:
                self._dropped += 1
                return
            self._lines.append(line)
            self._changed.notify_all()

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait until all is written, or for ``seconds``: nobody may be reading."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._writing, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                lines, self._writing = list(self._lines), True
                self._lines.clear()
                dropped, self._dropped = self._dropped, 0
            if dropped:
                lines.append(f"{dropped} lines were dropped: nobody read the log fast enough")
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                # A log that nobody can read any more is no reason to stop an exchange.
                continue


class _Lines:
    """What structlog calls to have a rendered line written."""

    def __init__(self, writer: Writer, name: str) -> None:
        self._writer = writer
        self.name = name

    def msg(self, line: str) -> None:
        """Write one line of any level."""
        self._writer.write(line)

    debug = info = warning = error = exception = msg

    def critical(self, line: str) -> None:
        """Write a line that may be the last one."""
        self._writer.write(line)
        self._writer.flush()


class _Foreign(logging.Handler):
    """Hands what libraries log to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        log = structlog.get_logger(record.name)
        log.log(
            max(record.levelno, logging.INFO),
            record.getMessage().strip(),
            exc_info=record.exc_info,
            is_foreign=True,
        )


def configure_logging(stream: TextIO | None = None, level: int = logging.INFO) -> Writer:
    """Configure structlog and ``logging``, once a process; lines go to ``stream`` or stderr."""
    out = sys.stderr if stream is None else stream
    writer = Writer(out)
    renderer: Any = structlog.dev.ConsoleRenderer() if out.isatty() else _as_json
    structlog.configure(
        processors=[
            _named,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _faults_in_one_line,
            Repeats(),
            _without_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _Lines(writer, str(names[0]) if names else "tillbook"),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Foreign()]
    root.setLevel(logging.WARNING)
    logging.raiseExceptions = False
    atexit.register(writer.flush)
    return writer
