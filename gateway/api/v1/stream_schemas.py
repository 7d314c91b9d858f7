"""What shape has each frame that the stream sends?

Structs, as in ``schemas``: the code writes them, the AsyncAPI document is generated from them, and
a test holds real frames against it. ``channel`` is the channel that a frame belongs to, ``type``
what it is there. ``FRAMES`` has all of them, ``REPLIES`` what each verb is answered with.
"""

from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec

from gateway.api.v1 import schemas, verb_schemas
from gateway.http.problems import Problem

T = TypeVar("T")

FrameId = int | str | None

SCHEMAS: Final = "#/components/schemas/"


def _of(kind: str) -> msgspec.Meta:
    return msgspec.Meta(pattern=f"^{kind}:", description=f"{kind}: and the market's symbol")


BookChannel = Annotated[str, _of("book")]
L3Channel = Annotated[str, _of("l3")]
BboChannel = Annotated[str, _of("bbo")]
TickerChannel = Annotated[str, _of("ticker")]
TradesChannel = Annotated[str, _of("trades")]
CandlesChannel = Annotated[str, _of("candles")]


class _Frame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the stream sends."""


# Answers


class Answer(_Frame, Generic[T], frozen=True, kw_only=True):
    """What was asked for under ``id`` is done."""

    id: FrameId
    result: T


class Refused(_Frame, frozen=True, kw_only=True):
    """What was asked for under ``id`` was refused; the problem document is that of REST."""

    id: FrameId
    error: Problem


class Subscribed(_Frame, frozen=True, kw_only=True):
    """The ``channel``, or all ``channels``, are followed, or are not any more."""

    channel: str | msgspec.UnsetType = msgspec.UNSET
    channels: list[str] | msgspec.UnsetType = msgspec.UNSET


class LoggedIn(_Frame, frozen=True, kw_only=True):
    """Whose session it is, and until when, in unix seconds."""

    account: str
    expires_at: int
    cancel_on_disconnect: bool


# What everybody may hear


class BookSnapshot(_Frame, frozen=True, kw_only=True):
    """A book after engine event ``u``, up to 1,000 levels of a side; begin anew from it whenever
    one comes."""

    channel: BookChannel
    type: Literal["snapshot"] = "snapshot"
    market: str
    u: int
    checksum: int
    bids: list[schemas.Level]
    asks: list[schemas.Level]


class BookDiff(_Frame, frozen=True, kw_only=True):
    """The levels that changed, with their new totals; 0 lots means that the level is gone. A slow
    reader gets wider diffs."""

    channel: BookChannel
    type: Literal["diff"] = "diff"
    U: int
    u: int
    prev: int
    checksum: int
    time_ns: str
    bids: list[schemas.Level]
    asks: list[schemas.Level]


class L3Snapshot(_Frame, frozen=True, kw_only=True):
    """A book order by order, as ``/v1/markets/SYMBOL/l3`` has it. It comes again where a reader was
    so slow that too many changes waited: begin anew from it."""

    channel: L3Channel
    type: Literal["snapshot"] = "snapshot"
    market: str
    u: int
    checksum: int
    bids: list[schemas.L3Order]
    asks: list[schemas.L3Order]
    bids_known_to: int | None
    asks_known_to: int | None


class L3Change(msgspec.Struct, frozen=True):
    """``kind`` is ``add``: a new order, last in the queue of its price; ``change``: the order has
    ``lots`` in sight now and keeps its place; ``remove``: it shows nothing any more."""

    kind: Literal["add", "change", "remove"]
    side: Literal["buy", "sell"]
    order_id: str
    price_ticks: int
    lots: int


class L3Diff(_Frame, frozen=True, kw_only=True):
    """What has changed in the book order by order, to be done in this order. ``prev`` is the ``u``
    before, ``U`` the event behind it; ``checksum`` is of the book after ``u``."""

    channel: L3Channel
    type: Literal["diff"] = "diff"
    U: int
    u: int
    prev: int
    checksum: int
    time_ns: str
    changes: list[L3Change]


class Bbo(_Frame, frozen=True, kw_only=True):
    """The best level of each side after engine event ``u``; null where there is none. A slow reader
    gets the last one only."""

    channel: BboChannel
    type: Literal["snapshot", "bbo"]
    u: int
    time_ns: str
    bid: schemas.Level | None
    ask: schemas.Level | None


class TickerFrame(_Frame, frozen=True, kw_only=True):
    """The ticker of a market after engine event ``u``. A slow reader gets the last one only."""

    channel: TickerChannel
    type: Literal["snapshot", "ticker"]
    u: int
    time_ns: str
    ticker: schemas.Ticker


class TradesSnapshot(_Frame, frozen=True, kw_only=True, rename={"begin": "from"}):
    """The last 50 trades, newest first; or, with ``from``, those that came behind that trade:
    ``complete`` says whether all of these are kept (the last 1,000 are)."""

    channel: TradesChannel
    type: Literal["snapshot"] = "snapshot"
    trades: list[schemas.PublicTrade]
    begin: int | msgspec.UnsetType = msgspec.UNSET
    complete: bool | msgspec.UnsetType = msgspec.UNSET


class NewTrades(_Frame, frozen=True, kw_only=True):
    """Trades, oldest first; ``prev`` is the trade before them in this market."""

    channel: TradesChannel
    type: Literal["trades"] = "trades"
    prev: int
    trades: list[schemas.PublicTrade]


class TradeBusted(_Frame, frozen=True, kw_only=True):
    """A trade was undone: the chain would not have it."""

    channel: TradesChannel
    type: Literal["trade_busted"] = "trade_busted"
    event: int
    trade_id: int


class TradesSettled(_Frame, frozen=True, kw_only=True):
    """The trades of a range have come further on their way to the chain, but the ``busted``."""

    channel: TradesChannel
    type: Literal["settlement"] = "settlement"
    first_trade: int
    last_trade: int
    busted: list[int]
    state: str
    batch: int | None
    tx_hash: str | None


class CandlesFrame(_Frame, frozen=True, kw_only=True):
    """Candles of one interval that are new or have changed, oldest first: each replaces the one of
    the same ``start``. One with 0 ``trades`` is gone: its trades were undone. A slow reader gets
    the last word on each."""

    channel: CandlesChannel
    type: Literal["snapshot", "candles"]
    market: str
    interval: str
    candles: list[schemas.Candle]


class StatusSnapshot(_Frame, frozen=True, kw_only=True):
    """Whether the exchange and each market take orders, as ``/v1/status`` has it."""

    channel: Literal["status"] = "status"
    type: Literal["snapshot"] = "snapshot"
    status: str
    missing: list[str]
    restrictions: list[str]
    time_ns: str
    markets: list[schemas.MarketStatus]


class MarketStatusFrame(_Frame, frozen=True, kw_only=True):
    """A market is in another phase, has another band or other terms, or is new."""

    channel: Literal["status"] = "status"
    type: Literal["market"] = "market"
    event: int
    market: str
    phase: str
    band: schemas.Band | None


class ExchangeStatus(_Frame, frozen=True, kw_only=True):
    """The exchange as a whole takes more or less than before."""

    channel: Literal["status"] = "status"
    type: Literal["exchange"] = "exchange"
    status: str
    missing: list[str]
    restrictions: list[str]


# What an account hears


class OrdersSnapshot(_Frame, frozen=True, kw_only=True):
    """The oldest open orders (``next``, if not null, is the ``after`` of ``/v1/orders`` for more)
    and the last fills, after frame ``number``."""

    channel: Literal["orders"] = "orders"
    type: Literal["snapshot"] = "snapshot"
    event: int
    number: int
    orders: list[schemas.OwnOrder]
    next: int | None
    fills: list[schemas.OwnFill]


class OrderFrame(_Frame, frozen=True, kw_only=True):
    """What became of an order, and how it was then. ``amended``, ``cancelled`` and ``unfilled``
    name the lots that left untraded, and why."""

    channel: Literal["orders"] = "orders"
    type: Literal["accepted", "rested", "armed", "triggered", "amended", "cancelled", "unfilled"]
    event: int
    number: int
    prev: int
    order: schemas.OwnOrder
    removed: str | msgspec.UnsetType = msgspec.UNSET
    removed_lots: int | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET


class FillFrame(_Frame, frozen=True, kw_only=True):
    """An order has traded."""

    channel: Literal["orders"] = "orders"
    type: Literal["fill"] = "fill"
    event: int
    number: int
    prev: int
    fill: schemas.OwnFill


class OwnTradeBusted(_Frame, frozen=True, kw_only=True):
    """A trade of the account was undone; ``fill`` is null if it is too old to be kept."""

    channel: Literal["orders"] = "orders"
    type: Literal["trade_busted"] = "trade_busted"
    event: int
    number: int
    prev: int
    trade_id: int
    market: str
    side: str
    base_pips: str
    quote_pips: str
    fee_pips: str
    reason: str
    fill: schemas.OwnFill | None


class OwnSettled(_Frame, frozen=True, kw_only=True):
    """Trades of the account have come further on their way to the chain. That is not of the log, so
    it has no number of its own: it was told behind frame ``number``."""

    channel: Literal["orders"] = "orders"
    type: Literal["settlement"] = "settlement"
    number: int
    trades: list[int]
    state: str
    batch: int | None
    tx_hash: str | None


class Missed(_Frame, frozen=True, kw_only=True, rename={"begin": "from"}):
    """Frames that were missed since ``from``, as they were told, up to 64 a time; ``number`` is the
    last there is."""

    channel: Literal["orders"] = "orders"
    type: Literal["missed"] = "missed"
    begin: int
    number: int
    frames: Annotated[
        list[Any],
        msgspec.Meta(
            extra_json_schema={
                "items": {
                    "oneOf": [
                        {"$ref": f"{SCHEMAS}{frame}"}
                        for frame in ("OrderFrame", "FillFrame", "OwnTradeBusted")
                    ]
                }
            }
        ),
    ]


class SettledTrades(msgspec.Struct, frozen=True):
    """Trades of the account, and how far they are."""

    trades: list[int]
    settlement: schemas.SettlementState


class OwnSettlements(_Frame, frozen=True, kw_only=True):
    """How far the account's last 500 fills are, behind the frames that were missed."""

    channel: Literal["orders"] = "orders"
    type: Literal["settlements"] = "settlements"
    number: int
    settlements: list[SettledTrades]


class Resync(_Frame, frozen=True, kw_only=True, rename={"begin": "from"}):
    """What came behind frame ``from`` is not kept any more: a snapshot follows; see also
    ``/v1/orders/ended`` and ``/v1/fills``."""

    channel: Literal["orders"] = "orders"
    type: Literal["resync"] = "resync"
    begin: int
    number: int


class BalancesFrame(_Frame, frozen=True, kw_only=True):
    """Balances of the account up to engine event ``event``, and up to frame ``number`` of its
    orders: in a snapshot all, in an update those that may have changed. They are absolute, so the
    next word on a token replaces the last."""

    channel: Literal["balances"] = "balances"
    type: Literal["snapshot", "update"]
    event: int
    number: int
    balances: list[schemas.BalanceRow]


class SessionEnded(_Frame, frozen=True, kw_only=True):
    """The session is over by which the channel was heard: it is left."""

    channel: Literal["orders", "balances"]
    type: Literal["ended"] = "ended"
    error: Problem


# The end


class ShuttingDown(_Frame, frozen=True, kw_only=True):
    """The last frame before the close code 1012: come again."""

    event: Literal["shutdown"] = "shutdown"


class SlowConsumer(_Frame, frozen=True, kw_only=True):
    """Why a reader was given up: no answer to a request, so it has no status."""

    type: str
    title: str
    outcome: Literal["SLOW_CONSUMER"] = "SLOW_CONSUMER"
    code: Literal[-2] = -2
    detail: str
    retryable: bool


class TooSlow(_Frame, frozen=True, kw_only=True):
    """The last frame before the close code 1013, to a reader for whom too much waited. ``resume``
    says for each channel from which number on to follow it again; null: it begins with a
    snapshot."""

    error: SlowConsumer
    resubscribe: list[str]
    resume: dict[str, int | None]


class SentTooMuch(_Frame, frozen=True, kw_only=True):
    """The last frame before the close code 1008, to whom no refusal stops."""

    error: Problem


FRAMES: Final[tuple[type[msgspec.Struct], ...]] = (
    BookSnapshot, BookDiff, L3Snapshot, L3Diff, Bbo, TickerFrame, TradesSnapshot, NewTrades,
    TradeBusted, TradesSettled, CandlesFrame, StatusSnapshot, MarketStatusFrame, ExchangeStatus,
    OrdersSnapshot, OrderFrame, FillFrame, OwnTradeBusted, OwnSettled, Missed, OwnSettlements,
    Resync, BalancesFrame, SessionEnded, ShuttingDown, TooSlow,
    SentTooMuch,
)  # fmt: skip

REPLIES: Final[dict[str, object]] = {
    "subscribe": Answer[Subscribed],
    "unsubscribe": Answer[Subscribed],
    "login": Answer[LoggedIn],
    "place": Answer[schemas.Placed],
    "place_batch": Answer[verb_schemas.PlaceResults],
    "replace": Answer[verb_schemas.Replaced],
    "cancel": Answer[schemas.Cancelled],
    "cancel_batch": Answer[verb_schemas.CancelResults],
    "cancel_all": Answer[verb_schemas.CancelledAll],
    "amend": Answer[verb_schemas.Amended],
    "cancel_after": Answer[verb_schemas.Armed],
    "ping": Answer[schemas.Time],
}
"""By verb: what it is answered with, unless it is refused."""
