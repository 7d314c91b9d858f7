"""Which orders stand in the book, where, until when, and who signed them?

Lanes from the log's side: each half carries one order at a time, and is free when that has left.
"""

import heapq
from typing import Final, NamedTuple

from engine.kept import Kept
from settlement.orders.nonces import NS, Lane, lane_of
from settlement.protocol.evidence import SignedOrder

EXPIRIES_SPARE: Final = 1024


class Standing(Kept, frozen=True):
    """An order in the book: its lane half, digest and client id."""

    lane: Lane
    digest: bytes
    client_id: str


class KeyOrder(NamedTuple):
    """An order in the book that a session key signed: who did, how many lots of it are open, and
    what one of them takes off the key's notional. That is the signed limit and no price of the
    book: there a post-only order may stand at a better one."""

    key: tuple[bytes, bytes]
    lots: int
    lot_quote_pips: int


class Saved(NamedTuple):
    """What a snapshot keeps of it."""

    standing: dict[int, Standing]
    expiries: list[tuple[int, int]]
    key_orders: dict[int, KeyOrder]


class StandingOrders:
    """Orders by engine's id."""

    def __init__(self) -> None:
        self._standing: dict[int, Standing] = {}
        self._expiries: list[tuple[int, int]] = []
        """A heap of (expiry, order), with orders that have left."""
        self._of_key: dict[tuple[bytes, bytes], set[int]] = {}
        self._key_orders: dict[int, KeyOrder] = {}

    def __len__(self) -> int:
        return len(self._standing)

    def __contains__(self, order_id: int) -> bool:
        return order_id in self._standing

    @property
    def expiry_count(self) -> int:
        """Return how many deadlines are kept, those of orders that have left included."""
        return len(self._expiries)

    def save(self) -> Saved:
        """Return what a snapshot keeps; to be written down at once."""
        return Saved(self._standing, self._expiries, self._key_orders)

    def load(self, saved: Saved) -> None:
        """Take what ``save`` returned."""
        self._standing, self._expiries, self._key_orders = saved
        self._of_key = {}
        for order_id, order in saved.key_orders.items():
            self._of_key.setdefault(order.key, set()).add(order_id)

    def of(self, order_id: int) -> Standing | None:
        """Return an order that stands."""
        return self._standing.get(order_id)

    def key_order(self, order_id: int) -> KeyOrder | None:
        """Return an order that stands, if a session key signed it."""
        return self._key_orders.get(order_id)

    def of_key(self, account: bytes, key: bytes) -> list[int]:
        """Return the orders that a session key signed."""
        return sorted(self._of_key.get((account, key), ()))

    def has_expired(self, now_ns: int) -> bool:
        """Return whether an order stands whose time is over."""
        while self._expiries and self._expiries[0][1] not in self._standing:
            heapq.heappop(self._expiries)
        return bool(self._expiries) and self._expiries[0][0] * NS <= now_ns

    def opened(self, order: SignedOrder, order_id: int, lots: int, lot_pips: int) -> None:
        """An order stands, with so many lots of that size open."""
        self._standing[order_id] = Standing(lane_of(order), order.digest, order.client_id)
        heapq.heappush(self._expiries, (order.expiry, order_id))
        if len(self._expiries) > 2 * len(self._standing) + EXPIRIES_SPARE:
            # Most are of orders that left long before they would have expired.
            self._expiries = [due for due in self._expiries if due[1] in self._standing]
            heapq.heapify(self._expiries)
        if order.signer != order.account:
            key = (order.account, order.signer)
            lot_quote_pips = order.quote_amount * lot_pips // order.base_amount
            self._key_orders[order_id] = KeyOrder(key, lots, lot_quote_pips)
            self._of_key.setdefault(key, set()).add(order_id)

    def traded(self, order_id: int, lots: int) -> None:
        """Of an order so many lots are still open."""
        order = self._key_orders.get(order_id)
        if order is not None:
            self._key_orders[order_id] = order._replace(lots=lots)

    def closed(self, order_id: int) -> Standing | None:
        """An order left, if it stood; return what stood there."""
        order = self._key_orders.pop(order_id, None)
        if order is not None:
            self._of_key[order.key].discard(order_id)
            if not self._of_key[order.key]:
                del self._of_key[order.key]
        return self._standing.pop(order_id, None)
