"""What may a client say on the stream?

One tagged union, decoded and checked by msgspec in one step. ``id`` comes back with the answer.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from engine.types import Outcome
from gateway.api.v1.orders import PlaceOrder
from gateway.http.body import DECODE_ERRORS, malformed
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import TOKEN_CHARS_MAX

CHANNELS_AT_ONCE: Final = 300

FrameId = Annotated[int, Meta(ge=0, le=2**53)] | Annotated[str, Meta(max_length=64)] | None
Channel = Annotated[str, Meta(min_length=1, max_length=64)]
SequenceNumber = Annotated[int, Meta(ge=0, le=2**53)]
OrderIdText = Annotated[str, Meta(min_length=1, max_length=19)]


class _Frame(Struct, forbid_unknown_fields=True, frozen=True, tag_field="op", kw_only=True):
    id: FrameId = None


class Subscribe(_Frame, frozen=True, tag="subscribe", rename={"begin_at": "from"}):
    """Follow a channel or several: book:SYMBOL, l3:SYMBOL, bbo:SYMBOL, ticker:SYMBOL,
    trades:SYMBOL, candles:SYMBOL:INTERVAL, status, and after login orders or balances.

    With ``from``, of ``orders`` the number of the last frame that is known, of ``trades`` the last
    trade, what came later is told instead of a snapshot. For several channels it is an object from
    channel to number.
    """

    channel: Channel | None = None
    channels: Annotated[list[Channel], Meta(min_length=1, max_length=CHANNELS_AT_ONCE)] | None = (
        None
    )
    begin_at: SequenceNumber | dict[Channel, SequenceNumber | None] | None = None

    def names(self) -> list[str]:
        """Return all channels, each once; raises ``Rejection`` unless there are some."""
        if (self.channel is None) == (self.channels is None):
            raise Rejection(Outcome.MALFORMED, "either `channel` or `channels`")
        return [self.channel] if self.channel else list(dict.fromkeys(self.channels or ()))

    def begin(self, name: str) -> int | None:
        """Return from which number on a channel is wanted; None if with a snapshot."""
        return self.begin_at.get(name) if isinstance(self.begin_at, dict) else self.begin_at


class Unsubscribe(_Frame, frozen=True, tag="unsubscribe"):
    """Stop following a channel."""

    channel: Channel


class LogIn(_Frame, frozen=True, tag="login"):
    """Prove the account with a token from /v1/sessions."""

    token: Annotated[str, Meta(max_length=TOKEN_CHARS_MAX)]


class Place(_Frame, frozen=True, tag="place"):
    """Place one signed order; it carries its own proof, so no login is needed."""

    order: PlaceOrder


class Cancel(_Frame, frozen=True, tag="cancel"):
    """Take one of the account's orders off the book."""

    order_id: OrderIdText


class Ping(_Frame, frozen=True, tag="ping"):
    """Ask for the time."""


AnyFrame = Subscribe | Unsubscribe | LogIn | Place | Cancel | Ping


class _Named(Struct):
    id: FrameId = None


_frames: msgspec.json.Decoder[AnyFrame] = msgspec.json.Decoder(AnyFrame)
_names = msgspec.json.Decoder(_Named)


def frame_of(text: str) -> AnyFrame:
    """Return the frame in ``text``; raises ``Rejection`` for anything else."""
    try:
        return _frames.decode(text)
    except DECODE_ERRORS as error:
        raise malformed(error) from None


def id_of(text: str) -> int | str | None:
    """Return the id of a frame that was refused, if it can be read."""
    try:
        return _names.decode(text).id
    except DECODE_ERRORS:
        return None


def binary_rejected() -> Rejection:
    """Return the rejection of a binary frame."""
    return Rejection(Outcome.MALFORMED, "frames are JSON text")
