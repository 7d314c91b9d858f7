"""What does the exchange answer?

The fields that a trader needs; what else an answer holds is ignored, so a newer exchange may say
more. ``document`` of the client gives everything.
"""

import msgspec


class Settlement(msgspec.Struct, frozen=True):
    """How far a trade is: matched, batched, submitted, mined, final, or busted."""

    state: str
    batch: int | None = None
    tx_hash: str | None = None


class Trade(msgspec.Struct, frozen=True):
    """A fill that an order met as it came in."""

    trade_id: int
    price: str
    quantity: str
    fee: str


class Placed(msgspec.Struct, frozen=True):
    """An order was taken and is on disk. ``ended`` says why nothing rests; None if any does."""

    order_id: str
    sequence: int
    digest: str
    client_id: str = ""
    fills: list[Trade] | None = None
    resting_lots: int | None = None
    ended: str | None = None


class Order(msgspec.Struct, frozen=True):
    """One of the account's orders, open (``ended`` is None) or not."""

    order_id: str
    sequence: int
    client_id: str
    digest: str
    market: str
    side: str
    price: str
    quantity: str
    lots_open: int
    lots_filled: int
    open: str
    ended: str | None = None


class Fill(msgspec.Struct, frozen=True):
    """One of the account's fills, with how far it is on chain."""

    trade_id: int
    order_id: str
    role: str
    market: str
    side: str
    price: str
    quantity: str
    fee: str
    settlement: Settlement


class Balance(msgspec.Struct, frozen=True):
    """What the account has of one token, in whole tokens."""

    symbol: str
    token: str
    available: str
    held: str


class Level(msgspec.Struct, frozen=True):
    """One price of a book."""

    price: str
    quantity: str
    price_ticks: int
    lots: int


class Book(msgspec.Struct, frozen=True):
    """A book after engine event ``u``, best prices first."""

    u: int
    checksum: int
    bids: list[Level]
    asks: list[Level]
