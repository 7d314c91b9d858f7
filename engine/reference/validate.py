"""May this order come in, and at which price would it rest?"""

from engine.reference.book import Market, Order
from engine.reference.state import State
from engine.types import (
    ICEBERG_SLICES_MAX,
    LOTS_MAX,
    PRICE_MAX,
    OrderFlag,
    Outcome,
    Phase,
    Side,
    TimeInForce,
)

Row = dict[str, int]

# Plain integers: in the oracle an operation on an IntFlag costs as much as a whole dict access.
POST_ONLY, SINGLE_SHOT = int(OrderFlag.POST_ONLY), int(OrderFlag.SINGLE_SHOT)
EXPIRE_TAKER, EXPIRE_MAKER = 0, int(OrderFlag.SELF_EXPIRE_MAKER)
EXPIRE_BOTH, DECREMENT = int(OrderFlag.SELF_EXPIRE_BOTH), int(OrderFlag.SELF_DECREMENT)
STOP, ICEBERG, REPRICE = int(OrderFlag.STOP), int(OrderFlag.ICEBERG), int(OrderFlag.REPRICE)
KNOWN_FLAGS = POST_ONLY | SINGLE_SHOT | DECREMENT | STOP | ICEBERG | REPRICE
REJECTIONS = {
    Phase.POST_ONLY: Outcome.MARKET_POST_ONLY,
    Phase.CANCEL_ONLY: Outcome.MARKET_CANCEL_ONLY,
    Phase.HALTED: Outcome.MARKET_HALTED,
    Phase.AUCTION: Outcome.MARKET_IN_AUCTION,
    Phase.DELISTED: Outcome.MARKET_DELISTED,
}


def rejection_by_phase(phase: int, tif: int, flags: int) -> Outcome:
    """Return ACCEPTED if a market in ``phase`` takes such an order, or why it does not."""
    if phase == Phase.OPEN:
        return Outcome.ACCEPTED
    if phase == Phase.POST_ONLY and flags & POST_ONLY:
        return Outcome.ACCEPTED
    if phase == Phase.AUCTION:
        # What waits for the auction must be able to wait: it rests, or it is armed.
        rests = tif == TimeInForce.GTC and not flags & POST_ONLY
        if rests or flags & STOP:
            return Outcome.ACCEPTED
    return REJECTIONS[Phase(phase)]


def bad_terms(side: int, tif: int, flags: int) -> bool:
    """Return whether side, time in force and flags contradict each other or are unknown."""
    if side not in (Side.BUY, Side.SELL) or flags & ~KNOWN_FLAGS:
        return True
    if flags & REPRICE and not flags & POST_ONLY:
        return True
    if flags & STOP and flags & (POST_ONLY | ICEBERG):
        return True
    if tif == TimeInForce.GTC:
        return bool(flags & SINGLE_SHOT)
    return tif not in (TimeInForce.IOC, TimeInForce.FOK) or bool(flags & (POST_ONLY | ICEBERG))


class Validation:
    """Looks at what is asked and at the state, and changes neither."""

    def __init__(self, state: State) -> None:
        """Look at ``state``."""
        self.state = state

    def validate(self, row: Row, old: Order | None = None) -> Outcome:
        """Return ACCEPTED or the first reason to reject an order that takes the place of ``old``.

        Market, account and terms come first, then its numbers, then what they meet, and last what
        it needs of the engine.
        """
        state = self.state
        if row["market"] >= len(state.markets):
            return Outcome.UNKNOWN_MARKET
        if row["account"] >= len(state.exits):
            return Outcome.UNKNOWN_ACCOUNT
        if bad_terms(row["side"], row["tif"], row["flags"]):
            return Outcome.BAD_ORDER
        if row["order_id"] and not row["flags"] & (STOP | ICEBERG):
            return Outcome.BAD_ORDER
        if state.exits[row["account"]]:
            return Outcome.ACCOUNT_FROZEN
        if state.ledger.owes(row["account"]):
            return Outcome.IN_DEBT
        market = state.markets[row["market"]]
        return (
            rejection_by_phase(market.phase, row["tif"], row["flags"])
            or self.numbers(market, row)
            or self.moment(market, row)
            or self.means(market, row, old)
        )

    def numbers(self, market: Market, row: Row) -> Outcome:
        """Return what is wrong with the numbers of an order, whenever it came."""
        price_ticks, lots, flags = row["price_ticks"], row["amount"], row["flags"]
        if not 1 <= price_ticks <= PRICE_MAX:
            return Outcome.PRICE_OUT_OF_RANGE
        if not 1 <= lots <= LOTS_MAX:
            return Outcome.QUANTITY_OUT_OF_RANGE
        if not market.amounts_fit(lots, price_ticks):
            return Outcome.NOTIONAL_OUT_OF_RANGE
        if flags & STOP and not 1 <= row["order_id"] <= PRICE_MAX:
            return Outcome.TRIGGER_OUT_OF_RANGE
        if flags & ICEBERG:
            display = row["order_id"]
            if not 1 <= display <= lots or lots > ICEBERG_SLICES_MAX * display:
                return Outcome.DISPLAY_OUT_OF_RANGE
        if market.outside_band(row["side"], price_ticks):
            return Outcome.OUTSIDE_BAND
        if row["fee_cap_ppm"] < max(market.maker_ppm, market.taker_ppm):
            return Outcome.FEE_CAP_TOO_LOW
        return Outcome.ACCEPTED

    def moment(self, market: Market, row: Row) -> Outcome:
        """Return why this order cannot come in now, though it could at another time."""
        if row["expiry_ns"] <= self.state.time_ns:
            return Outcome.ORDER_EXPIRED
        if row["flags"] & STOP and self.would_trigger(market, row["side"], row["order_id"]):
            return Outcome.STOP_WOULD_TRIGGER
        if self.price_behind(market, row) == 0:
            return Outcome.POST_ONLY_WOULD_TRADE
        if self.below_least(market, row):
            return Outcome.BELOW_LEAST_NOTIONAL
        return Outcome.ACCEPTED

    def below_least(self, market: Market, row: Row) -> bool:
        """Return whether an order, an iceberg's slice, is below the least notional."""
        special, is_stop = row["order_id"], row["flags"] & STOP
        lots = special if row["flags"] & ICEBERG else row["amount"]
        price_ticks = market.reckoned_price(
            row["side"], row["price_ticks"], special if is_stop else 0
        )
        return lots * price_ticks < market.area_min

    def would_trigger(self, market: Market, side: int, trigger_ticks: int) -> bool:
        """Return whether the last trade has already reached a trigger."""
        if market.last_ticks == 0:
            return False
        if side == Side.BUY:
            return market.last_ticks >= trigger_ticks
        return market.last_ticks <= trigger_ticks

    def price_behind(self, market: Market, row: Row) -> int:
        """Return the price at which an order comes in, 0 for a post-only one that cannot.

        One that asks for it is priced again, one tick behind the best opposite price.
        """
        side, price_ticks, flags = row["side"], row["price_ticks"], row["flags"]
        if not flags & POST_ONLY or not market.crossed_by(side, price_ticks):
            return price_ticks
        against = market.best(Side.SELL if side == Side.BUY else Side.BUY)
        if against is None or not flags & REPRICE:
            return 0
        behind = against - 1 if side == Side.BUY else against + 1
        fits = 1 <= behind <= PRICE_MAX and market.amounts_fit(row["amount"], behind)
        return behind if fits else 0

    def means(self, market: Market, row: Row, old: Order | None) -> Outcome:
        """Return whether the money and the slot for an order are there; ``old`` gives up its."""
        state = self.state
        token = market.paid_token(row["side"])
        needed = market.hold_pips(row["side"], row["price_ticks"], row["amount"])
        available = state.ledger.available[row["account"], token]
        if old is not None:
            available += old.held_pips
        if available < needed:
            return Outcome.INSUFFICIENT_BALANCE
        if self.has_too_many(row, old):
            return Outcome.ACCOUNT_ORDERS_EXHAUSTED
        if state.slots.slot_is_free() or (old is not None and state.slots.comes_back(old.order_id)):
            return Outcome.ACCEPTED
        return Outcome.CAPACITY

    def has_too_many(self, row: Row, old: Order | None) -> bool:
        """Return whether one more order that may rest or wait is more than an account may have."""
        if row["tif"] != TimeInForce.GTC and not row["flags"] & STOP:
            return False
        count = self.state.order_counts[row["account"]] - (old is not None)
        return count >= self.state.limits.account_orders
