"""What is told on a stream, and how is it written?

Each piece of news carries its stream's name, because the same event is written twice at most: plain
for who follows one stream, wrapped with its name for who follows several on one connection.
"""

from typing import Any, Self

import msgspec

from engine.types import Side
from gateway.api.binance.numbers import milliseconds, price_text, quantity_text
from gateway.http.websocket import text_frame
from gateway.views.books import BookDiff
from gateway.views.channels import News

encode = msgspec.json.encode


class Line(News, frozen=True):
    """An event, written already; each must be told."""

    stream: str
    payload: bytes

    def text(self) -> bytes:
        """Return the event as JSON."""
        return self.payload


class Latest(Line, frozen=True):
    """An event that a newer one of its stream makes void."""

    is_mergeable = True

    def merged(self, newer: Self) -> Self:
        """See ``News``."""
        return newer


class Depth(News, frozen=True):
    """Levels that changed, from update ``U`` to ``u``: two of them merge into one wider one."""

    is_mergeable = True

    stream: str
    name: str
    diff: BookDiff

    def takes(self, newer: Self) -> bool:
        """See ``News``."""
        return self.diff.takes(newer.diff)

    def merged(self, newer: Self) -> Self:
        """See ``News``."""
        return msgspec.structs.replace(newer, diff=self.diff.merged(newer.diff))

    def text(self) -> bytes:
        """Return the event as JSON."""
        diff, market = self.diff, self.diff.market
        sides: dict[Side, list[tuple[str, str]]] = {Side.BUY: [], Side.SELL: []}
        for (side, ticks), lots in diff.changed.items():
            sides[side].append((price_text(market, ticks), quantity_text(market, lots)))
        return encode(
            {
                "e": "depthUpdate",
                "E": milliseconds(diff.time_ns),
                "s": self.name,
                "U": diff.prev + 1,
                "u": diff.u,
                "b": sides[Side.BUY],
                "a": sides[Side.SELL],
            }
        )


def plain_frame(news: News) -> bytes:
    """Return the frame of an event as it is."""
    assert isinstance(news, Line | Depth), "nothing else is told here"
    return text_frame(news.text())


def named_frame(news: News) -> bytes:
    """Return the frame of an event with the name of its stream around it."""
    assert isinstance(news, Line | Depth), "nothing else is told here"
    if not news.stream:  # An answer, which is of no stream.
        return text_frame(news.text())
    return text_frame(b'{"stream":%b,"data":%b}' % (encode(news.stream), news.text()))


def said(content: Any) -> Line:
    """Return what only one client is told."""
    return Line("", encode(content))
