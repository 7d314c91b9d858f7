"""What does the oracle remember, and what does it say?

Everything the other modules share. They decide; here it is kept.
"""

from collections import Counter

from engine.events import EventKind
from engine.reference.book import Market, Order
from engine.reference.ledger import Ledger
from engine.reference.slots import Slots
from engine.types import LOTS_MAX, PRICE_MAX, Limits, Outcome

SLOT_MASK = 2**32 - 1
NOWHERE = PRICE_MAX + 1, 0
"""Between which prices nothing has been traded."""


class State:
    """All markets, accounts, orders and money of one shard, and the events of this batch."""

    def __init__(self, limits: Limits) -> None:
        """Begin empty."""
        self.limits = limits
        self.sequence = 0
        self.time_ns = 0
        self.event_index = 0
        self.trade_id = 0
        self.ledger = Ledger()
        self.markets: list[Market] = []
        self.exits: list[int] = []
        """By account: exits begun and not ended."""
        self.deadlines: dict[int, int] = {}
        """By account that has set one: when all its orders shall be cancelled."""
        self.slots = Slots(limits)
        self.orders: dict[int, Order] = {}
        """Every resting or armed order by id."""
        self.order_counts: Counter[int] = Counter()
        """How many of them each account has."""
        self.events: list[tuple[int, ...]] = []
        self.low_ticks, self.high_ticks = NOWHERE
        """Between which prices this command has traded; an empty range to begin with."""
        self.fills_max = min(limits.fills, LOTS_MAX)
        self.passes_max = min(limits.passes, 2**31)
        self.trades_left, self.work_left = limits.trades, limits.work
        """How many trades, and how many orders that leave, are passed over or wake, this command
        may still cause."""

    def begin(self, sequence: int, time_ns: int) -> None:
        """Let the next command begin."""
        self.sequence = sequence
        self.time_ns = max(self.time_ns, time_ns)
        self.low_ticks, self.high_ticks = NOWHERE
        self.trades_left, self.work_left = self.limits.trades, self.limits.work

    # What is said.

    def emit(
        self,
        kind: EventKind,
        *,
        side: int = 0,
        outcome: Outcome = Outcome.ACCEPTED,
        market: int = 0,
        token: int = 0,
        account: int = 0,
        maker_account: int = 0,
        order_id: int = 0,
        maker_id: int = 0,
        price_ticks: int = 0,
        amount: int = 0,
        order_left: int = 0,
        maker_left: int = 0,
        fee: int = 0,
        maker_fee: int = 0,
    ) -> None:
        """Add one event, numbered; a trade gets the next trade number."""
        self.event_index += 1
        self.trade_id += kind == EventKind.TRADE
        self.trades_left -= kind == EventKind.TRADE
        self.events.append(
            (
                kind,
                side,
                outcome,
                market,
                token,
                account,
                maker_account,
                self.sequence,
                self.event_index,
                order_id,
                maker_id,
                price_ticks,
                amount,
                order_left,
                maker_left,
                self.trade_id if kind == EventKind.TRADE else 0,
                fee,
                maker_fee,
            )
        )

    def emit_order(
        self,
        kind: EventKind,
        order: Order,
        outcome: Outcome = Outcome.ACCEPTED,
        order_left: int = 0,
    ) -> None:
        """Add an event about one order as it is now."""
        self.emit(
            kind,
            side=order.side,
            outcome=outcome,
            market=order.market,
            account=order.account,
            order_id=order.order_id,
            price_ticks=order.price_ticks,
            amount=order.lots,
            order_left=order_left,
            maker_left=order.hidden,
        )

    # What is held, and who is where.

    def set_hold(self, order: Order) -> None:
        """Hold for ``order`` exactly what its open lots can cost, and free the rest."""
        market = self.markets[order.market]
        wanted = market.hold_pips(order.side, order.price_ticks, order.lots_open)
        token = market.paid_token(order.side)
        self.ledger.hold(order.account, token, wanted - order.held_pips)
        order.held_pips = wanted

    def insert(self, order: Order) -> None:
        """Put an order into the queue where it rests, or waits for its trigger."""
        self.markets[order.market].insert(order)
        self.orders[order.order_id] = order
        self.order_counts[order.account] += 1

    def detach(self, order: Order) -> None:
        """Take an order out of its queue; it keeps its id and its hold."""
        self.markets[order.market].delete(order)
        del self.orders[order.order_id]
        self.order_counts[order.account] -= 1

    # Who is asked for.

    def is_expired(self, order: Order) -> bool:
        """Return whether an order may not trade any more."""
        return order.expiry_ns <= self.time_ns

    def in_slot_order(self) -> list[Order]:
        """Return all resting and armed orders by slot."""
        return sorted(self.orders.values(), key=lambda order: order.order_id & SLOT_MASK)
