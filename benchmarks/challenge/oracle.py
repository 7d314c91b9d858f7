"""What must an engine report and answer, said with the reference's book?

Slow and plain. A modify is a cancel and a new order of the same side; a message that names an id
which does not rest is rejected; a new order whose id still rests is acknowledged and cancelled at
once, because the interface has no word for refusing it.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.challenge.layout import MESSAGE, REPORT
from benchmarks.challenge.words import MessageType, ReportType
from engine.reference.book import Market, Order
from engine.types import Side

Row = tuple[int, int, int, int, int, int, int, int]
"""Type, side, sequence, order id, price, quantity, maker and taker of a report."""

COLUMNS: Final = (
    *("type", "side", "sequence", "order_id", "price_ticks", "quantity"),
    *("maker_order_id", "taker_order_id"),
)
NO_BID: Final = -(2**63)
NO_ASK: Final = 2**63 - 1


class Oracle:
    """One symbol's book and everything reported so far."""

    def __init__(self) -> None:
        """Begin with an empty book."""
        self._market = Market(0, 1, lot_pips=1, tick_pips=1, maker_ppm=0, taker_ppm=0)
        self._resting: dict[int, Order] = {}
        self.rows: list[Row] = []

    def play(self, messages: NDArray[Any]) -> None:
        """Carry out ``messages`` in order."""
        assert messages.dtype == MESSAGE, messages.dtype
        columns = ("type", "order_id", "sequence", "price_ticks", "quantity", "side", "ioc")
        rows: Iterable[Any] = zip(*(messages[name].tolist() for name in columns), strict=True)
        for kind, order_id, sequence, price, quantity, side, ioc in rows:
            if kind == MessageType.NEW:
                self._new(order_id, sequence, price, quantity, side, bool(ioc))
            elif kind == MessageType.CANCEL:
                self._cancel(order_id, sequence)
            else:
                self._modify(order_id, sequence, price, quantity)

    def _report(self, kind: int, sequence: int, order: Order, quantity: int) -> None:
        self.rows.append(
            (kind, order.side, sequence, order.order_id, order.price_ticks, quantity, 0, 0)
        )

    def _new(
        self, order_id: int, sequence: int, price: int, quantity: int, side: int, ioc: bool
    ) -> None:
        order = Order(order_id, 0, 0, side, price, quantity, expiry_ns=0)
        self._report(ReportType.ORDER_ACK, sequence, order, quantity)
        if order_id in self._resting:
            self._report(ReportType.CANCEL_ACK, sequence, order, quantity)
            return
        self._match(order, sequence)
        if order.lots > 0 and ioc:
            self._report(ReportType.CANCEL_ACK, sequence, order, order.lots)
        elif order.lots > 0:
            self._rest(order)

    def _cancel(self, order_id: int, sequence: int) -> None:
        order = self._resting.get(order_id)
        if order is None:
            self.rows.append((ReportType.CANCEL_REJECT, 0, sequence, order_id, 0, 0, 0, 0))
            return
        self._report(ReportType.CANCEL_ACK, sequence, order, order.lots)
        self._leave(order)

    def _modify(self, order_id: int, sequence: int, price: int, quantity: int) -> None:
        order = self._resting.get(order_id)
        if order is None:
            self.rows.append((ReportType.MODIFY_REJECT, 0, sequence, order_id, 0, 0, 0, 0))
            return
        self._leave(order)
        order.price_ticks, order.lots = price, quantity
        self._report(ReportType.MODIFY_ACK, sequence, order, quantity)
        self._match(order, sequence)
        if order.lots > 0:
            self._rest(order)

    def _match(self, taker: Order, sequence: int) -> None:
        while taker.lots > 0 and self._market.crossed_by(taker.side, taker.price_ticks):
            maker = self._market.first(1 - taker.side)
            traded = min(taker.lots, maker.lots)
            taker.lots -= traded
            maker.lots -= traded
            ids = (maker.order_id, taker.order_id)
            self.rows.append(
                (ReportType.TRADE, taker.side, sequence, 0, maker.price_ticks, traded, *ids)
            )
            if maker.lots == 0:
                self._leave(maker)

    def _rest(self, order: Order) -> None:
        self._resting[order.order_id] = order
        self._market.insert(order)

    def _leave(self, order: Order) -> None:
        del self._resting[order.order_id]
        self._market.delete(order)

    @property
    def orders_resting(self) -> int:
        """Return how many orders rest."""
        return len(self._resting)

    @property
    def levels(self) -> int:
        """Return at how many prices orders rest."""
        return sum(len(ladder) for ladder in self._market.sides)

    def best_bid(self) -> int:
        """Return the highest price of a resting buy, or NO_BID."""
        best = self._market.best(Side.BUY)
        return NO_BID if best is None else best

    def best_ask(self) -> int:
        """Return the lowest price of a resting sell, or NO_ASK."""
        best = self._market.best(Side.SELL)
        return NO_ASK if best is None else best

    def depth_at(self, price_ticks: int, side: int) -> int:
        """Return the open lots of all orders of ``side`` at one price."""
        queue = self._market.sides[side].get(price_ticks, {})
        return sum(order.lots for order in queue.values())

    def reports(self) -> NDArray[Any]:
        """Return everything reported so far as an array."""
        reports = np.zeros(len(self.rows), REPORT)
        reports[list(COLUMNS)] = np.array(self.rows, [(name, REPORT[name]) for name in COLUMNS])
        return reports
