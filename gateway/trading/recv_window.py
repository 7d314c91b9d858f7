"""Is a request still meant, however long it was on its way?

A trader may say when he sent something and how long it is good for. It is looked at when the
request comes in and once more right before its command is queued: what waited too long in between
is not carried out, and nothing of it is spent.
"""

from typing import Final, NamedTuple

from engine.types import Outcome
from gateway.trading.rejection import Rejection

MS: Final = 1_000_000

WINDOW_MS: Final = 5_000
"""How long a request is good for, if it says when it was sent and not how long."""

WINDOW_MS_MAX: Final = 60_000
AHEAD_MS_MAX: Final = 1_000
"""How far ahead of ours a sender's clock may be."""


class RecvWindow(NamedTuple):
    """When something was sent (unix milliseconds), and how long it is good for."""

    sent_ms: int
    lasts_ms: int

    def require(self, now_ns: int) -> None:
        """Raise ``Rejection`` unless it is still good, and was not sent in the future."""
        now_ms = now_ns // MS
        figures = {
            "sent_ms": self.sent_ms,
            "recv_window_ms": self.lasts_ms,
            "now_ms": now_ms,
        }
        if self.sent_ms > now_ms + AHEAD_MS_MAX:
            why = f"sent_ms is {self.sent_ms - now_ms} ms ahead of our clock"
            raise Rejection(Outcome.DEADLINE_PASSED, why, figures)
        if now_ms > self.sent_ms + self.lasts_ms:
            why = f"it came {now_ms - self.sent_ms} ms after it was sent, nothing was done"
            raise Rejection(Outcome.DEADLINE_PASSED, why, figures)


def window_of(sent_ms: int | None, lasts_ms: int | None) -> RecvWindow | None:
    """Return the window of a request; None if it states none."""
    if sent_ms is None:
        if lasts_ms is not None:
            raise Rejection(Outcome.MALFORMED, "recv_window_ms needs sent_ms")
        return None
    return RecvWindow(sent_ms, WINDOW_MS if lasts_ms is None else lasts_ms)
