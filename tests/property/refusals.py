"""Could this refusal be true? What the audit can tell from its own books.

Not every reason can be told from outside (a capacity, garbage in a field), but an engine that
refuses what it ought to take is as wrong as one that takes what it ought to refuse.
"""

from collections.abc import Callable, Mapping
from typing import Final

from engine.commands import Kind
from engine.types import MONEY_MAX, PRICE_MAX, MoneyFlag, OrderFlag, Outcome, Phase, TimeInForce
from tests.property.shadow import Listing, Open, Shadow, toward

Row = dict[str, int]

CLOSED: Final = {
    Outcome.MARKET_POST_ONLY: Phase.POST_ONLY,
    Outcome.MARKET_CANCEL_ONLY: Phase.CANCEL_ONLY,
    Outcome.MARKET_HALTED: Phase.HALTED,
    Outcome.MARKET_IN_AUCTION: Phase.AUCTION,
    Outcome.MARKET_DELISTED: Phase.DELISTED,
}


MONEY_KINDS: Final = (Kind.WITHDRAW, Kind.EXIT_END)


class Asked:
    """One command that was refused, and what it was about."""

    def __init__(self, shadow: Shadow, row: Row, now_ns: int) -> None:
        self.shadow, self.row, self.now_ns = shadow, row, now_ns
        self.order: Open | None = shadow.resting.get(row["order_id"])
        self.order = self.order or shadow.armed.get(row["order_id"])
        by_order = row["kind"] in (Kind.REPLACE, Kind.AMEND) and self.order is not None
        self.number = self.order.market if by_order and self.order else row["market"]
        self.side = self.order.side if by_order and self.order else row["side"]

    @property
    def market(self) -> Listing:
        """Return the market it was about."""
        return self.shadow.listings[self.number]

    def not_resting(self) -> bool:
        """There is no such order, or it is armed and was to be replaced."""
        armed = self.order is not None and bool(self.order.trigger)
        return self.order is None or (armed and self.row["kind"] == Kind.REPLACE)

    def not_owner(self) -> bool:
        """The order is somebody else's."""
        return self.order is not None and self.order.account != self.row["account"]

    def outside_band(self) -> bool:
        """It could have traded outside the band."""
        return not self.market.allows(self.side, self.row["price_ticks"])

    def would_trigger(self) -> bool:
        """The last trade has reached the trigger."""
        away = toward(self.side) * (self.row["order_id"] - self.market.last)
        return bool(self.row["flags"] & OrderFlag.STOP) and self.market.last > 0 and away <= 0

    def would_trade(self) -> bool:
        """A post-only order meets somebody, and has no place behind him if it asked for one."""
        first = self.shadow.first(self.number, 1 - self.side)
        sign = toward(self.side)
        if first is None or sign * self.row["price_ticks"] < sign * first.price:
            return False
        if not self.row["flags"] & OrderFlag.REPRICE:
            return bool(self.row["flags"] & OrderFlag.POST_ONLY)
        behind = first.price - sign
        notional = self.market.notional(self.row["amount"], behind)
        return not (1 <= behind <= PRICE_MAX and notional <= MONEY_MAX // 2)

    def too_poor(self) -> bool:
        """What the account has is not enough, with what an order to be replaced would free."""
        row, account = self.row, self.row["account"]
        if row["kind"] == Kind.BUST:
            return self.too_poor_to_go_back()
        if row["kind"] in MONEY_KINDS and row["flags"] & MoneyFlag.ALWAYS:
            return False
        if row["kind"] in MONEY_KINDS:
            token, needed = row["token"], row["amount"]
        else:
            token, needed = self.market.worst(self.side, row["amount"], row["price_ticks"])
        held = self.shadow.held()
        has = self.shadow.owned[account, token] - held.get((account, token), 0)
        if row["kind"] == Kind.REPLACE and self.order is not None:
            has += self.market.worst(self.side, self.order.all_lots, self.order.price)[1]
        return has < needed

    def too_poor_to_go_back(self) -> bool:
        """The buyer, the seller or the venue no longer has what the trade gave it."""
        row, held = self.row, self.shadow.held()
        if self.shadow.fees[self.market.quote] < row["order_id"] + row["expiry_ns"]:
            return True
        if row["flags"] & MoneyFlag.ALWAYS:
            return False
        buyer, seller = row["account"], row["fee_cap_ppm"]
        base, quote = (buyer, self.market.base), (seller, self.market.quote)
        return (
            self.shadow.owned[base] - held.get(base, 0) < row["price_ticks"]
            or self.shadow.owned[quote] - held.get(quote, 0) < row["amount"] - row["expiry_ns"]
        )

    def too_small(self) -> bool:
        """It is below the least notional, or would be; of an iceberg the part it would show."""
        row, order = self.row, self.order
        if row["kind"] == Kind.AMEND and order is not None:
            notional = self.market.notional(row["amount"], order.trigger or order.price)
            return notional < self.market.least_pips
        display = row["order_id"] if row["flags"] & OrderFlag.ICEBERG else 0
        if display and row["kind"] == Kind.REPLACE and order is not None:
            display = order.display
        trigger = row["order_id"] if row["flags"] & OrderFlag.STOP else 0
        numbers = row["price_ticks"], row["amount"], 0, row["expiry_ns"], row["tif"], row["flags"]
        asked = Open(0, self.number, self.side, row["account"], *numbers, display, 0, trigger)
        return self.shadow.is_small(asked)

    def closed(self, phase: Phase) -> bool:
        """The market is in that phase, and the phase forbids it."""
        if self.market.phase != phase:
            return False
        posts = bool(self.row["flags"] & OrderFlag.POST_ONLY)
        if self.row["kind"] == Kind.AMEND:
            return phase == Phase.HALTED
        if phase == Phase.POST_ONLY:
            return not posts
        waits = self.row["tif"] == TimeInForce.GTC or bool(self.row["flags"] & OrderFlag.STOP)
        return phase != Phase.AUCTION or posts or not waits


JUDGED: Final[Mapping[Outcome, Callable[[Asked], bool]]] = {
    Outcome.NOT_RESTING: Asked.not_resting,
    Outcome.NOT_OWNER: Asked.not_owner,
    Outcome.INSUFFICIENT_BALANCE: Asked.too_poor,
    Outcome.OUTSIDE_BAND: Asked.outside_band,
    Outcome.BELOW_LEAST_NOTIONAL: Asked.too_small,
    Outcome.IN_DEBT: lambda asked: asked.shadow.owes(asked.row["account"]),
    Outcome.STOP_WOULD_TRIGGER: Asked.would_trigger,
    Outcome.POST_ONLY_WOULD_TRADE: Asked.would_trade,
    Outcome.ORDER_EXPIRED: lambda asked: asked.row["expiry_ns"] <= asked.now_ns,
    Outcome.DEADLINE_PASSED: lambda asked: asked.row["expiry_ns"] <= asked.now_ns,
    Outcome.FEE_CAP_TOO_LOW: lambda asked: (
        asked.row["fee_cap_ppm"] < max(asked.market.maker_ppm, asked.market.taker_ppm)
    ),
}


def may_be_true(shadow: Shadow, row: Row, outcome: int, now_ns: int) -> bool:
    """Return whether a command may have been refused for this reason."""
    asked, why = Asked(shadow, row, now_ns), Outcome(outcome)
    if why in CLOSED:
        return asked.closed(CLOSED[why])
    return JUDGED[why](asked) if why in JUDGED else True
