"""What shape has each frame that the stream sends?

Structs, as in ``schemas``: the code writes them, and the AsyncAPI document is generated from them.
``channel`` is the channel that a frame belongs to, ``type`` what it is there.
"""

from typing import Literal

import msgspec

from gateway.api.v1 import schemas


class Bbo(msgspec.Struct, frozen=True, kw_only=True):
    """The best level of each side after engine event ``u``; null where there is none. A slow reader
    gets the last one only."""

    channel: str
    type: str
    u: int
    time_ns: str
    bid: schemas.Level | None
    ask: schemas.Level | None


class L3Change(msgspec.Struct, frozen=True):
    """``kind`` is ``add``: a new order, last in the queue of its price; ``change``: the order has
    ``lots`` in sight now and keeps its place; ``remove``: it shows nothing any more. What is told
    of an order that the reader does not know is behind what its snapshot showed."""

    kind: str
    side: str
    order_id: str
    price_ticks: int
    lots: int


class L3Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed in the book order by order, to be done in this order. ``prev`` is the ``u``
    before, ``U`` the event behind it; ``checksum`` is of the book after ``u``."""

    channel: str
    type: Literal["diff"] = "diff"
    U: int
    u: int
    prev: int
    checksum: int
    time_ns: str
    changes: list[L3Change]


class Ticker(msgspec.Struct, frozen=True, kw_only=True):
    """The ticker of a market after engine event ``u``. A slow reader gets the last one only."""

    channel: str
    type: str
    u: int
    time_ns: str
    ticker: schemas.Ticker


class Candles(msgspec.Struct, frozen=True, kw_only=True):
    """Candles of one interval that are new or have changed, oldest first: each replaces the one of
    the same ``start``. One with 0 ``trades`` is gone: its trades were undone."""

    channel: str
    type: str
    market: str
    interval: str
    candles: list[schemas.Candle]


class MarketStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A market is in another phase, has another band or other terms, or is new."""

    channel: str
    type: Literal["market"] = "market"
    event: int
    market: str
    phase: str
    band: schemas.Band | None


class ExchangeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The exchange as a whole takes more or less than before."""

    channel: str
    type: Literal["exchange"] = "exchange"
    status: str
    missing: list[str]
    restrictions: list[str]


class Balances(msgspec.Struct, frozen=True, kw_only=True):
    """Balances of the account up to engine event ``event``, and up to frame ``number`` of its
    orders: in a snapshot all, in an update those that may have changed. They are absolute, so the
    next word on a token replaces the last."""

    channel: str
    type: str
    event: int
    number: int
    balances: list[schemas.BalanceRow]


class Resync(msgspec.Struct, frozen=True, kw_only=True, rename={"begin": "from"}):
    """What came behind frame ``from`` is not kept any more: a snapshot follows, see also
    ``/v1/orders/ended`` and ``/v1/fills``."""

    channel: str
    type: Literal["resync"] = "resync"
    begin: int
    number: int


class SettledTrades(msgspec.Struct, frozen=True, kw_only=True):
    """Trades of the account, and how far they are."""

    trades: list[int]
    settlement: schemas.SettlementState


class OwnSettlements(msgspec.Struct, frozen=True, kw_only=True):
    """How far the account's last fills are, behind the frames that were missed."""

    channel: str = "orders"
    type: Literal["settlements"] = "settlements"
    number: int
    settlements: list[SettledTrades]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The session is over by which the channel was heard: it is left."""

    channel: str
    type: Literal["ended"] = "ended"
    error: dict[str, object]
