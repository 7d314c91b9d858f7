"""What may a client say on the stream?

One tagged union, decoded and checked by msgspec in one step. ``id`` comes back with the answer.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from engine.types import Outcome
from gateway.api.v1.encoding import ClientId
from gateway.api.v1.orders import PlaceOrder, RecvWindowMs, SentMs
from gateway.api.v1.verbs import MANY_MAX, LotsOpen, Mode, Named, OrderIdText, SwitchSeconds
from gateway.http.body import DECODE_ERRORS, malformed
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import TOKEN_CHARS_MAX

CHANNELS_AT_ONCE: Final = 640

FrameId = Annotated[int, Meta(ge=0, le=2**53)] | Annotated[str, Meta(max_length=64)] | None
Channel = Annotated[str, Meta(min_length=1, max_length=64)]
SequenceNumber = Annotated[int, Meta(ge=0, le=2**53)]


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
    """Prove the account with a token from /v1/sessions. With ``cancel_on_disconnect`` all of its
    orders are cancelled when this connection ends, however it does, or that session."""

    token: Annotated[str, Meta(max_length=TOKEN_CHARS_MAX)]
    cancel_on_disconnect: bool = False


class Place(_Frame, frozen=True, tag="place"):
    """Place one signed order; it carries its own proof, so no login is needed."""

    order: PlaceOrder


class _Timed(_Frame, frozen=True, kw_only=True):
    sent_ms: SentMs = None
    recv_window_ms: RecvWindowMs = None


class PlaceMany(_Timed, frozen=True, tag="place_batch"):
    """Place up to 50 signed orders, with a result each."""

    orders: Annotated[list[PlaceOrder], Meta(min_length=1, max_length=MANY_MAX)]


class Replace(_Timed, frozen=True, tag="replace"):
    """Cancel an order and place another; ``mode`` as in ``POST /v1/orders/replace``."""

    cancel: Named
    order: PlaceOrder
    mode: Mode = "STOP_ON_FAILURE"


class Cancel(_Timed, frozen=True, tag="cancel"):
    """Take one of the account's orders off the book, by id or client id."""

    order_id: OrderIdText | None = None
    client_id: ClientId | None = None


class CancelMany(_Timed, frozen=True, tag="cancel_batch"):
    """Take up to 50 of the account's orders off the book, with a result each."""

    orders: Annotated[list[Named], Meta(min_length=1, max_length=MANY_MAX)]


class CancelAll(_Timed, frozen=True, tag="cancel_all"):
    """Take all of the account's orders off the book, of one market if it is named."""

    market: Annotated[str, Meta(max_length=32)] | None = None


class Amend(_Timed, frozen=True, tag="amend"):
    """Leave one of the account's orders fewer lots open; it keeps its place."""

    lots_open: LotsOpen
    order_id: OrderIdText | None = None
    client_id: ClientId | None = None


class CancelAfter(_Timed, frozen=True, tag="cancel_after"):
    """Cancel all of the account's orders in so many seconds, unless this is said again."""

    seconds: SwitchSeconds


class Ping(_Frame, frozen=True, tag="ping"):
    """Ask for the time."""


Verb = Place | PlaceMany | Replace | Cancel | CancelMany | CancelAll | Amend | CancelAfter
"""What is done with orders; ``stream.verbs`` does it."""

AnyFrame = Subscribe | Unsubscribe | LogIn | Verb | Ping


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
