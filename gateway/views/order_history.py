"""What became of an account's orders: those that stand, those that ended last, under which name?

All that stand are here, and of each account the last that ended; above a bound on all accounts
together the oldest go first. So a client that was away finds what it missed, and what it costs us
is known.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from typing import Final, NamedTuple

import msgspec

from engine.types import Outcome, Side

ENDED_MAX: Final = 500
"""Orders that have ended, kept an account."""

ENDED_TOTAL_MAX: Final = 200_000
"""And of all accounts together, so that many accounts are no way to fill the memory."""

FILLED: Final = "FILLED"
"""Why an order ended that traded to its last lot: no ``Outcome``, for nothing stopped it."""


class TimeRange(NamedTuple):
    """From when until before when something has happened, in unix nanoseconds."""

    from_ns: int
    until_ns: int


ALWAYS: Final = TimeRange(0, 2**63 - 1)


class Order(msgspec.Struct, gc=False):
    """One order that is being matched, rests or has ended."""

    order_id: int
    sequence: int
    market: int
    account: int
    side: Side
    price_ticks: int
    lots: int
    lots_open: int
    client_id: str
    digest: bytes
    time_ns: int
    lots_filled: int = 0
    reason: int = 0
    """The outcome that ended it; 0 while it stands, and if it was filled."""
    ended_event: int = 0
    """The event that ended it, 0 while it stands."""
    ended_ns: int = 0
    flags: int = 0
    """As they were signed (``OrderBits``)."""
    trigger_or_display: int = 0
    """As it was signed: see ``SignedOrder``."""
    quote_filled: int = 0
    """What its fills came to, in quote pips."""

    @property
    def why(self) -> str | None:
        """Return why it ended; None while it stands."""
        if not self.ended_event:
            return None
        return Outcome(self.reason).name if self.reason else FILLED


class Saved(msgspec.Struct):
    """All that an ``OrderHistory`` knows, as it stands in a snapshot."""

    orders: list[Order]
    standing: list[int]
    ended: list[Order]
    cut: dict[int, int]


class OrderHistory:
    """Orders by id, by digest and by their trader's own name."""

    def __init__(self) -> None:
        self._orders: dict[int, Order] = {}
        """Those that are being matched or stand."""
        self._open: dict[int, dict[int, Order]] = {}
        """Those that stand, of each account, oldest first."""
        self._ended: OrderedDict[int, Order] = OrderedDict()
        """All that ended and are kept, in the order in which they did: its front is found at once
        however many have left it, which a plain ``dict`` does not promise."""
        self._ended_of: dict[int, dict[int, Order]] = {}
        self._by_digest: dict[bytes, Order] = {}
        self._by_client_id: dict[tuple[int, str], Order] = {}
        """The last order of that name."""
        self._cut: dict[int, int] = {}
        """The last event that ended an order of the account which is forgotten."""

    def save(self) -> "Saved":
        """Return what ``load`` takes."""
        standing = [order_id for mine in self._open.values() for order_id in mine]
        orders, ended = list(self._orders.values()), list(self._ended.values())
        return Saved(orders, standing, ended, self._cut)

    def load(self, saved: "Saved") -> None:
        """Take what ``save`` returned."""
        for order in sorted(saved.ended + saved.orders, key=lambda order: order.sequence):
            self.accepted(order)
        for order in saved.ended:
            self.end(order)
        for order_id in saved.standing:
            self.stands(self._orders[order_id])
        self._cut = saved.cut

    def __getitem__(self, order_id: int) -> Order:
        """Return an order that has not ended."""
        return self._orders[order_id]

    def accepted(self, order: Order) -> None:
        """Take a new order."""
        self._orders[order.order_id] = order
        self._by_digest[order.digest] = order
        if order.client_id:
            self._by_client_id[order.account, order.client_id] = order

    def stands(self, order: Order) -> None:
        """Count an order among the open ones."""
        self._open.setdefault(order.account, {})[order.order_id] = order

    def end(self, order: Order) -> None:
        """Take an order from those that stand to those that ended; forget the oldest of these."""
        del self._orders[order.order_id]
        mine = self._open.get(order.account, {})
        mine.pop(order.order_id, None)
        if not mine:
            self._open.pop(order.account, None)
        ended_of = self._ended_of.setdefault(order.account, {})
        ended_of[order.order_id] = self._ended[order.order_id] = order
        if len(ended_of) > ENDED_MAX:
            self._forget(next(iter(ended_of.values())))
        if len(self._ended) > ENDED_TOTAL_MAX:
            self._forget(next(iter(self._ended.values())))

    def find(self, account: int, order_id: int) -> Order | None:
        """Return an order of ``account``; None if it has none such, or no more."""
        order = self._orders.get(order_id) or self._ended.get(order_id)
        return order if order is not None and order.account == account else None

    def find_digest(self, account: int, digest: bytes) -> Order | None:
        """As ``find``, by what was signed."""
        order = self._by_digest.get(digest)
        return order if order is not None and order.account == account else None

    def find_client_id(self, account: int, client_id: str) -> Order | None:
        """As ``find``, by the trader's own name; of several the last."""
        return self._by_client_id.get((account, client_id))

    def open_after(self, account: int, after: int, limit: int) -> list[Order]:
        """Return orders that stand and came behind sequence ``after``, oldest first."""
        mine = list(self._open.get(account, {}).values())
        start = bisect_right(mine, after, key=lambda order: order.sequence)
        return mine[start : start + limit]

    def ended_after(self, account: int, after: int, limit: int, within: TimeRange) -> list[Order]:
        """Return orders that ended behind event ``after`` and ``within`` a time, in the order in
        which they did."""
        mine = list(self._ended_of.get(account, {}).values())
        start = bisect_right(mine, after, key=lambda order: order.ended_event)
        start = bisect_left(mine, within.from_ns, start, key=lambda order: order.ended_ns)
        end = bisect_left(mine, within.until_ns, start, key=lambda order: order.ended_ns)
        return mine[start : min(end, start + limit)]

    def is_whole(self, account: int, after: int) -> bool:
        """Return whether all that ended behind event ``after`` are still kept."""
        return self._cut.get(account, 0) <= after

    def _forget(self, order: Order) -> None:
        self._cut[order.account] = order.ended_event
        del self._ended[order.order_id]
        mine = self._ended_of[order.account]
        del mine[order.order_id]
        if not mine:
            del self._ended_of[order.account]
        if self._by_digest.get(order.digest) is order:
            del self._by_digest[order.digest]
        name = order.account, order.client_id
        if self._by_client_id.get(name) is order:
            del self._by_client_id[name]
