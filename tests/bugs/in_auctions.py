"""At which price, among whom and inside which bounds: mistakes about whole markets."""

from engine.reference.auction import Auction, Candidate
from engine.reference.book import Market, Order
from engine.reference.ledger import fee_of
from engine.reference.markets import Markets
from engine.reference.validate import Row, Validation
from engine.types import Outcome, Phase, Side


class AuctionTakesTheFirstOfTheBest(Auction):
    """Of several prices with the same volume the lowest is taken without a second look."""

    def clearing_price(self, market: Market) -> int:
        candidates = self.candidates(market)
        most = max(candidate.volume for candidate in candidates)
        return next(c.price_ticks for c in candidates if c.volume == most)


class AuctionForgetsTheLastPrice(Auction):
    """A tie is broken by the lowest price, wherever the market was before."""

    def clearing_price(self, market: Market) -> int:
        last, market.last_ticks = market.last_ticks, 0
        try:
            return super().clearing_price(market)
        finally:
            market.last_ticks = last


class AuctionLooksAtBidsOnly(Auction):
    """The price must be one that somebody bids."""

    def candidates(self, market: Market) -> list[Candidate]:
        bids = market.sides[Side.BUY]
        found = super().candidates(market)
        return [candidate for candidate in found if candidate.price_ticks in bids] or found


class AuctionIgnoresHiddenLots(Auction):
    """The price is found by the lots in sight."""

    def candidates(self, market: Market) -> list[Candidate]:
        hidden = [
            (order, order.hidden)
            for ladder in market.sides
            for queue in ladder.values()
            for order in queue.values()
        ]
        for order, _ in hidden:
            order.hidden = 0
        try:
            return super().candidates(market)
        finally:
            for order, lots in hidden:
                order.hidden = lots


class AuctionPaysAtTheLimit(Auction):
    """The buyer pays what it bid, not the one price."""

    def exchange(
        self, market: Market, buyer: Order, seller: Order, lots: int, price_ticks: int
    ) -> None:
        super().exchange(market, buyer, seller, lots, buyer.price_ticks)


class AuctionChargesTheBuyerAsTaker(Auction):
    """One side pays the taker's fee though nobody took."""

    def exchange(
        self, market: Market, buyer: Order, seller: Order, lots: int, price_ticks: int
    ) -> None:
        notional = market.notional(lots, price_ticks)
        fees = fee_of(notional, market.taker_ppm), fee_of(notional, max(market.maker_ppm, 0))
        self.matching.exchange(market, buyer, seller, lots, price_ticks, fees, Outcome.AUCTION)
        self.matching.after_filled(buyer)
        self.matching.after_filled(seller)


class AuctionPaysRebates(Auction):
    """Both sides earn a rebate that nobody pays."""

    def exchange(
        self, market: Market, buyer: Order, seller: Order, lots: int, price_ticks: int
    ) -> None:
        fees = (fee_of(market.notional(lots, price_ticks), market.maker_ppm),) * 2
        self.matching.exchange(market, buyer, seller, lots, price_ticks, fees, Outcome.AUCTION)
        self.matching.after_filled(buyer)
        self.matching.after_filled(seller)


class AuctionTradesWithItself(Auction):
    """A buyer and a seller of one account trade."""

    def decrement(self, order: Order, lots: int) -> None:
        market = self.state.markets[order.market]
        if order.side == Side.BUY:
            self.exchange(market, order, market.first(Side.SELL), lots, order.price_ticks)


class AuctionLetsTheDeadTrade(Auction):
    """What has expired is not swept before the price is found."""

    def uncross(self, number: int) -> bool:
        now_ns, self.state.time_ns = self.state.time_ns, -1
        try:
            return super().uncross(number)
        finally:
            self.state.time_ns = now_ns


class AuctionWakesNoStop(Auction):
    """Its price counts for no trigger."""

    def uncross(self, number: int) -> bool:
        low, high = self.state.low_ticks, self.state.high_ticks
        is_over = super().uncross(number)
        self.state.low_ticks, self.state.high_ticks = low, high
        return is_over


class AuctionGoesOnAtAnotherPrice(Auction):
    """The price of an auction that takes several commands is found anew by each."""

    def uncross(self, number: int) -> bool:
        self.state.markets[number].auction_ticks = 0
        return super().uncross(number)


class AuctionTakesNoRest(Auction):
    """An auction is done in one command, however many trades it takes."""

    def may_go_on(self) -> bool:
        return True


class OrdersComeIntoAnAuctionThatGoesOn(Markets):
    """A market collects orders while its auction is not over."""

    def set_phase(self, row: Row) -> Outcome:
        outcome = super().set_phase(row)
        for market in self.state.markets:
            if market.auction_ticks and market.phase == Phase.CANCEL_ONLY:
                market.phase = Phase.AUCTION
        return outcome


class AuctionIsOpenTrading(Validation):
    """In an auction an order may take."""

    def validate(self, row: Row, old: Order | None = None) -> Outcome:
        outcome = super().validate(row, old)
        if outcome != Outcome.MARKET_IN_AUCTION:
            return outcome
        market = self.state.markets[row["market"]]
        market.phase = Phase.OPEN
        try:
            return super().validate(row, old)
        finally:
            market.phase = Phase.AUCTION


class BandIsCheckedOnTheWrongSide(Market):
    """A buy is held to the lower bound and a sell to the upper one."""

    def outside_band(self, side: int, price_ticks: int) -> bool:
        if self.band_high == 0:
            return False
        return price_ticks < self.band_low if side == Side.BUY else price_ticks > self.band_high


class BandLeavesWhatRests(Markets):
    """A new band bounds new orders only."""

    def set_band(self, row: Row) -> Outcome:
        orders, self.state.orders = self.state.orders, {}
        try:
            return super().set_band(row)
        finally:
            self.state.orders = orders


class TermsLeaveOrders(Markets):
    """The orders of a market survive a change of its tick."""

    def set_terms(self, row: Row) -> Outcome:
        orders, self.state.orders = self.state.orders, {}
        try:
            return super().set_terms(row)
        finally:
            self.state.orders = orders


class TermsKeepTheLastPrice(Markets):
    """The last price is taken along into other units."""

    def set_terms(self, row: Row) -> Outcome:
        known = row["market"] < len(self.state.markets)
        last = self.state.markets[row["market"]].last_ticks if known else 0
        outcome = super().set_terms(row)
        if outcome == Outcome.ACCEPTED:
            self.state.markets[row["market"]].last_ticks = last
        return outcome


class DelistedMarketsMayOpenAgain(Markets):
    """A delisting can be taken back by a phase."""

    def set_phase(self, row: Row) -> Outcome:
        outcome = super().set_phase(row)
        if outcome == Outcome.MARKET_DELISTED and row["amount"] == Phase.OPEN:
            self.state.markets[row["market"]].phase = Phase.OPEN
        return outcome


class PoisonHaltsEverything(Markets):
    """One bad command stops all markets."""

    def poison(self, row: Row) -> Outcome:
        for market in self.state.markets:
            market.phase = max(market.phase, int(Phase.HALTED))
        return super().poison(row)


class PhaseOfTheFirstMarket(Validation):
    """One phase for all markets."""

    def validate(self, row: Row, old: Order | None = None) -> Outcome:
        if row["market"] >= len(self.state.markets):
            return super().validate(row, old)
        market = self.state.markets[row["market"]]
        phase, market.phase = market.phase, self.state.markets[0].phase
        try:
            return super().validate(row, old)
        finally:
            market.phase = phase
