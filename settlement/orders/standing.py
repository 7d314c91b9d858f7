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


class Saved(NamedTuple):
    """What a snapshot keeps of it."""

    standing: dict[int, Standing]
    expiries: list[tuple[int, int]]
    key_of_order: dict[int, tuple[bytes, bytes]]
    lots_of_key_order: dict[int, int]


class StandingOrders:
    """Orders by engine's id."""

    def __init__(self) -> None:
        self._standing: dict[int, Standing] = {}
        self._expiries: list[tuple[int, int]] = []
        """A heap of (expiry, order), with orders that have left."""
        self._key_orders: dict[tuple[bytes, bytes], set[int]] = {}
        self._key_of_order: dict[int, tuple[bytes, bytes]] = {}
        self._lots: dict[int, int] = {}
        """What a session key's orders have open: what they lose without a trade it gets back."""

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
        return Saved(self._standing, self._expiries, self._key_of_order, self._lots)

    def load(self, saved: Saved) -> None:
        """Take what ``save`` returned."""
        self._standing, self._expiries, self._key_of_order, self._lots = saved
        self._key_orders = {}
        for order_id, key in saved.key_of_order.items():
            self._key_orders.setdefault(key, set()).add(order_id)

    def of(self, order_id: int) -> Standing | None:
        """Return an order that stands."""
        return self._standing.get(order_id)

    def key_of(self, order_id: int) -> tuple[bytes, bytes] | None:
        """Return account and session key of an order that stands, if a session key signed it."""
        return self._key_of_order.get(order_id)

    def of_key(self, account: bytes, key: bytes) -> list[int]:
        """Return the orders that a session key signed."""
        return sorted(self._key_orders.get((account, key), ()))

    def has_expired(self, now_ns: int) -> bool:
        """Return whether an order stands whose time is over."""
        while self._expiries and self._expiries[0][1] not in self._standing:
            heapq.heappop(self._expiries)
        return bool(self._expiries) and self._expiries[0][0] * NS <= now_ns

    def traded(self, order_id: int, lots_left: int) -> None:
        """An order that may stand has ``lots_left`` after a trade."""
        if order_id in self._lots:
            self._lots[order_id] = lots_left

    def shrank(self, order_id: int, lots_left: int) -> int:
        """A session key's order has ``lots_left`` without a trade; return how many went."""
        gone = self._lots[order_id] - lots_left
        self._lots[order_id] = lots_left
        return gone

    def opened(self, order: SignedOrder, order_id: int, lots: int) -> None:
        """An order stands, with ``lots`` open."""
        self._standing[order_id] = Standing(lane_of(order), order.digest, order.client_id)
        heapq.heappush(self._expiries, (order.expiry, order_id))
        if len(self._expiries) > 2 * len(self._standing) + EXPIRIES_SPARE:
            # Most are of orders that left long before they would have expired.
            self._expiries = [due for due in self._expiries if due[1] in self._standing]
            heapq.heapify(self._expiries)
        if order.signer != order.account:
            key = (order.account, order.signer)
            self._key_of_order[order_id] = key
            self._lots[order_id] = lots
            self._key_orders.setdefault(key, set()).add(order_id)

    def closed(self, order_id: int) -> Standing | None:
        """An order left, if it stood; return what stood there."""
        key = self._key_of_order.pop(order_id, None)
        if key is not None:
            del self._lots[order_id]
            self._key_orders[key].discard(order_id)
            if not self._key_orders[key]:
                del self._key_orders[key]
        return self._standing.pop(order_id, None)
