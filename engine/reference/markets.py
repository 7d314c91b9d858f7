"""How does a market come to be, change, stand still and go?"""

from collections.abc import Callable

from engine.events import EventKind
from engine.reference.auction import Auction
from engine.reference.book import Market, Order
from engine.reference.cancel import Cancels
from engine.reference.state import State
from engine.reference.triggers import Triggers
from engine.reference.validate import Row
from engine.types import FEE_MAX_PPM, MONEY_MAX, PRICE_MAX, Outcome, Phase


def bad_terms(row: Row) -> bool:
    """Return whether the numbers of a listing make no sense; a rebate is a taker's to pay."""
    maker_ppm, taker_ppm = row["amount"], row["fee_cap_ppm"]
    return not (
        1 <= row["order_id"] <= MONEY_MAX
        and 1 <= row["price_ticks"] <= MONEY_MAX
        and 0 <= taker_ppm <= FEE_MAX_PPM
        and -taker_ppm <= maker_ppm <= FEE_MAX_PPM
        and 0 <= row["expiry_ns"] <= MONEY_MAX // 2
    )


def area_min(row: Row) -> int:
    """Return the fewest lots * ticks that cost as much as the least notional of a listing."""
    least_pips, tick_pips = row["expiry_ns"], row["price_ticks"]
    return -(-least_pips // tick_pips)


class Markets:
    """Carries out the operator's commands."""

    def __init__(
        self,
        state: State,
        market_kind: type[Market],
        cancels: Cancels,
        auction: Auction,
        triggers: Triggers,
    ) -> None:
        """Keep the markets of ``state``; opening one may uncross it and wake its stops."""
        self.state = state
        self.market_kind = market_kind
        self.cancels = cancels
        self.auction = auction
        self.triggers = triggers

    def list_market(self, row: Row) -> Outcome:
        """Carry out LIST_MARKET."""
        state, base, quote = self.state, row["account"], row["token"]
        if row["market"] != len(state.markets):
            return Outcome.BAD_LISTING
        if len(state.markets) == state.limits.markets:
            return Outcome.CAPACITY
        if max(base, quote) >= state.ledger.tokens:
            return Outcome.UNKNOWN_TOKEN
        if base == quote or bad_terms(row):
            return Outcome.BAD_LISTING
        lot_pips, tick_pips = row["order_id"], row["price_ticks"]
        maker_ppm, taker_ppm = row["amount"], row["fee_cap_ppm"]
        state.markets.append(
            self.market_kind(base, quote, lot_pips, tick_pips, maker_ppm, taker_ppm, area_min(row))
        )
        state.emit(EventKind.MARKET_LISTED, market=row["market"])
        return Outcome.ACCEPTED

    def validate_market(self, row: Row) -> Market | Outcome:
        """Return the market a command names, or why there is none to be changed."""
        if row["market"] >= len(self.state.markets):
            return Outcome.UNKNOWN_MARKET
        market = self.state.markets[row["market"]]
        return Outcome.MARKET_DELISTED if market.phase == Phase.DELISTED else market

    def empty(self, number: int, why: Outcome) -> bool:
        """Remove all orders of one market, in slot order, unless they are too many."""
        market = self.state.markets[number]
        if not self.sweep_few(lambda order: order.market == number, why):
            return False
        market.pending_low = market.pending_high = market.auction_ticks = 0
        return True

    def sweep_few(self, wanted: Callable[[Order], bool], why: Outcome) -> bool:
        """Remove the orders that are ``wanted``, unless they are too many for one command."""
        if sum(map(wanted, self.state.orders.values())) > self.state.limits.work:
            return False
        self.cancels.sweep(wanted, why)
        return True

    def set_terms(self, row: Row) -> Outcome:
        """Carry out SET_TERMS: no order survives, because none was meant in the new units."""
        market = self.validate_market(row)
        if isinstance(market, Outcome):
            return market
        if bad_terms(row):
            return Outcome.BAD_LISTING
        if not self.empty(row["market"], Outcome.TERMS_CHANGED):
            return Outcome.TOO_MANY_ORDERS
        market.lot_pips, market.tick_pips = row["order_id"], row["price_ticks"]
        market.maker_ppm, market.taker_ppm = row["amount"], row["fee_cap_ppm"]
        market.area_min = area_min(row)
        market.last_ticks = market.band_low = market.band_high = 0
        self.state.emit(EventKind.TERMS_SET, market=row["market"])
        return Outcome.ACCEPTED

    def delist(self, row: Row) -> Outcome:
        """Carry out DELIST."""
        market = self.validate_market(row)
        if isinstance(market, Outcome):
            return market
        if not self.empty(row["market"], Outcome.DELISTED):
            return Outcome.TOO_MANY_ORDERS
        market.phase = Phase.DELISTED
        self.state.emit(EventKind.MARKET_DELISTED, market=row["market"])
        return Outcome.ACCEPTED

    def set_band(self, row: Row) -> Outcome:
        """Carry out SET_BAND: what could trade outside the new band goes."""
        number, low, high = row["market"], row["price_ticks"], row["amount"]
        market = self.validate_market(row)
        if isinstance(market, Outcome):
            return market
        if (low, high) != (0, 0) and not 1 <= low <= high <= PRICE_MAX:
            return Outcome.BAD_BAND
        before = market.band_low, market.band_high
        market.band_low, market.band_high = low, high
        if not self.sweep_few(
            lambda order: (
                order.market == number and market.outside_band(order.side, order.price_ticks)
            ),
            Outcome.BAND_MOVED,
        ):
            market.band_low, market.band_high = before
            return Outcome.TOO_MANY_ORDERS
        self.state.emit(EventKind.BAND_SET, market=number, price_ticks=low, amount=high)
        return Outcome.ACCEPTED

    def set_phase(self, row: Row) -> Outcome:
        """Carry out SET_PHASE; where a crossed book opens its auction comes first."""
        number, phase = row["market"], row["amount"]
        market = self.validate_market(row)
        if isinstance(market, Outcome):
            return market
        if not Phase.OPEN <= phase <= Phase.AUCTION:
            return Outcome.BAD_PHASE
        self.triggers.recall_reach(number)
        outcome = Outcome.ACCEPTED
        if phase in (Phase.OPEN, Phase.POST_ONLY) and not self.auction.uncross(number):
            outcome = Outcome.MORE_REMAINS
            phase = Phase.CANCEL_ONLY if market.auction_ticks else market.phase
        elif phase == Phase.AUCTION:
            market.auction_ticks = 0
        market.phase = phase
        self.state.emit(EventKind.PHASE_SET, market=number, amount=phase, outcome=outcome)
        self.triggers.wake_stops(number)
        return Outcome.ACCEPTED

    def poison(self, row: Row) -> Outcome:
        """Carry out POISON: a command broke an assertion, so its market stops."""
        market = self.validate_market(row)
        if not isinstance(market, Outcome):
            market.phase = Phase.HALTED
        self.state.emit(
            EventKind.POISONED,
            outcome=Outcome.POISONED,
            market=row["market"],
            account=row["account"],
            order_id=row["order_id"],
        )
        return Outcome.ACCEPTED
