"""What does the engine do, command by command, in plain Python?

The same machine as ``engine.core``, written for the reader: objects, dictionaries, big integers.
It shares no code with the kernels, so that a mistake has to be made twice to go unnoticed.
"""

import numpy as np

from engine.commands import COMMAND, Commands, Kind
from engine.events import EVENT, EventKind, Events
from engine.reference import canon, check
from engine.reference.book import Market, Order
from engine.reference.ledger import Ledger
from engine.reference.slots import Slots
from engine.reference.terms import (
    DECREMENT,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    POST_ONLY,
    REFUSALS,
    SINGLE_SHOT,
    takes_orders,
    terms_agree,
)
from engine.types import (
    ALL_MARKETS,
    FEE_MAX_PPM,
    FILLS_MAX,
    LOTS_MAX,
    MONEY_MAX,
    Limits,
    Outcome,
    Phase,
    Side,
    TimeInForce,
    fee_pips,
)

Row = dict[str, int]


class Engine:
    """All markets and the whole ledger of one shard; the oracle."""

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
        self.slots = Slots(limits)
        self.orders: dict[int, Order] = {}
        """Every resting order by id."""
        self._events: list[tuple[int, ...]] = []
        self._carry_out = {
            Kind.LIST_TOKEN: self.list_token,
            Kind.LIST_MARKET: self.list_market,
            Kind.OPEN_ACCOUNT: self.open_account,
            Kind.DEPOSIT: self.deposit,
            Kind.WITHDRAW: self.withdraw,
            Kind.PLACE: self.place,
            Kind.CANCEL: self.cancel,
            Kind.AMEND: self.amend,
            Kind.CANCEL_ALL: self.cancel_all,
            Kind.SET_PHASE: self.set_phase,
            Kind.CLOCK: self.clock,
            Kind.EXIT_BEGIN: self.exit_begin,
            Kind.EXIT_END: self.exit_end,
        }

    def apply(self, commands: Commands) -> Events:
        """Carry out ``commands`` in order and return all their events.

        Sequences must follow the last one applied without a gap (AssertionError otherwise).
        """
        assert commands.dtype == COMMAND and commands.ndim == 1, commands.dtype
        wanted = np.arange(self.sequence + 1, self.sequence + 1 + commands.size)
        assert (commands["sequence"] == wanted).all(), f"commands must start at {wanted[:1]}"
        self._events = []
        names = commands.dtype.names
        assert names is not None
        for values in commands.tolist():
            self.step(dict(zip(names, values, strict=True)))
        return np.array(self._events, dtype=EVENT)

    def step(self, row: Row) -> None:
        """Carry out one command, or refuse it."""
        self.sequence = row["sequence"]
        self.time_ns = max(self.time_ns, row["time_ns"])
        carry_out = self._carry_out.get(row["kind"])  # type: ignore[call-overload]
        outcome = Outcome.UNKNOWN_COMMAND if carry_out is None else carry_out(row)
        if outcome != Outcome.ACCEPTED:
            self.emit(
                EventKind.REJECTED,
                outcome=outcome,
                account=row["account"],
                order_id=row["order_id"],
            )

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
        self._events.append(
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
        lots: int,
        outcome: Outcome = Outcome.ACCEPTED,
        gone: int = 0,
    ) -> None:
        """Add an event about one order."""
        self.emit(
            kind,
            side=order.side,
            outcome=outcome,
            market=order.market,
            account=order.account,
            order_id=order.order_id,
            price_ticks=order.price_ticks,
            amount=lots,
            order_left=gone,
        )

    # Listings, accounts and money.

    def list_token(self, row: Row) -> Outcome:
        """Carry out LIST_TOKEN."""
        if row["token"] != self.ledger.tokens:
            return Outcome.BAD_LISTING
        if self.ledger.tokens == self.limits.tokens:
            return Outcome.CAPACITY
        self.ledger.list_token()
        self.emit(EventKind.TOKEN_LISTED, token=row["token"])
        return Outcome.ACCEPTED

    def list_market(self, row: Row) -> Outcome:
        """Carry out LIST_MARKET."""
        base, quote = row["account"], row["token"]
        lot_pips, tick_pips = row["order_id"], row["price_ticks"]
        maker_ppm, taker_ppm = row["amount"], row["fee_cap_ppm"]
        if row["market"] != len(self.markets):
            return Outcome.BAD_LISTING
        if len(self.markets) == self.limits.markets:
            return Outcome.CAPACITY
        if max(base, quote) >= self.ledger.tokens:
            return Outcome.UNKNOWN_TOKEN
        money_is_sane = 0 < lot_pips <= MONEY_MAX and 0 < tick_pips <= MONEY_MAX
        fees_are_sane = 0 <= maker_ppm <= FEE_MAX_PPM and 0 <= taker_ppm <= FEE_MAX_PPM
        if base == quote or not money_is_sane or not fees_are_sane:
            return Outcome.BAD_LISTING
        self.markets.append(Market(base, quote, lot_pips, tick_pips, maker_ppm, taker_ppm))
        self.emit(EventKind.MARKET_LISTED, market=row["market"])
        return Outcome.ACCEPTED

    def open_account(self, row: Row) -> Outcome:
        """Carry out OPEN_ACCOUNT."""
        if row["account"] != len(self.exits):
            return Outcome.BAD_LISTING
        if len(self.exits) == self.limits.accounts:
            return Outcome.CAPACITY
        self.exits.append(0)
        self.emit(EventKind.ACCOUNT_OPENED, account=row["account"])
        return Outcome.ACCEPTED

    def unknown_owner(self, row: Row) -> Outcome:
        """Return why there is no such balance, or ACCEPTED."""
        if row["token"] >= self.ledger.tokens:
            return Outcome.UNKNOWN_TOKEN
        if row["account"] >= len(self.exits):
            return Outcome.UNKNOWN_ACCOUNT
        return Outcome.ACCEPTED

    def deposit(self, row: Row) -> Outcome:
        """Carry out DEPOSIT."""
        account, token, amount = row["account"], row["token"], row["amount"]
        unknown = self.unknown_owner(row)
        if unknown:
            return unknown
        if amount < 1 or self.ledger.supply[token] + amount > MONEY_MAX:
            return Outcome.AMOUNT_OUT_OF_RANGE
        self.ledger.bring_in(account, token, amount)
        self.emit(EventKind.DEPOSITED, account=account, token=token, amount=amount)
        return Outcome.ACCEPTED

    def withdraw(self, row: Row) -> Outcome:
        """Carry out WITHDRAW."""
        account, token, amount = row["account"], row["token"], row["amount"]
        unknown = self.unknown_owner(row)
        if unknown:
            return unknown
        if self.exits[account]:
            return Outcome.ACCOUNT_FROZEN
        if not 1 <= amount <= MONEY_MAX:
            return Outcome.AMOUNT_OUT_OF_RANGE
        if amount > self.ledger.available[account, token]:
            return Outcome.INSUFFICIENT_BALANCE
        self.ledger.take_out(account, token, amount)
        self.emit(EventKind.WITHDRAWN, account=account, token=token, amount=amount)
        return Outcome.ACCEPTED

    def exit_begin(self, row: Row) -> Outcome:
        """Carry out EXIT_BEGIN: the account's orders go, in slot order."""
        account = row["account"]
        if account >= len(self.exits):
            return Outcome.UNKNOWN_ACCOUNT
        self.exits[account] += 1
        self.emit(EventKind.EXIT_BEGUN, account=account)
        self.sweep(account, ALL_MARKETS, Outcome.EXITING)
        return Outcome.ACCEPTED

    def sweep(self, account: int, market: int, why: Outcome) -> int:
        """Remove an account's orders in one market or all, in slot order; return how many."""
        gone = [
            order
            for order in self.in_slot_order()
            if order.account == account and market in (order.market, ALL_MARKETS)
        ]
        for order in gone:
            self.remove(order, why)
        return len(gone)

    def cancel_all(self, row: Row) -> Outcome:
        """Carry out CANCEL_ALL."""
        account, market = row["account"], row["market"]
        if market != ALL_MARKETS and market >= len(self.markets):
            return Outcome.UNKNOWN_MARKET
        if account >= len(self.exits):
            return Outcome.UNKNOWN_ACCOUNT
        count = self.sweep(account, market, Outcome.CANCELLED_BY_OWNER)
        self.emit(EventKind.CANCELLED_ALL, market=market, account=account, amount=count)
        return Outcome.ACCEPTED

    def set_phase(self, row: Row) -> Outcome:
        """Carry out SET_PHASE."""
        if row["market"] >= len(self.markets):
            return Outcome.UNKNOWN_MARKET
        if not Phase.OPEN <= row["amount"] <= Phase.HALTED:
            return Outcome.BAD_PHASE
        self.markets[row["market"]].phase = row["amount"]
        self.emit(EventKind.PHASE_SET, market=row["market"], amount=row["amount"])
        return Outcome.ACCEPTED

    def exit_end(self, row: Row) -> Outcome:
        """Carry out EXIT_END."""
        account, token, amount = row["account"], row["token"], row["amount"]
        unknown = self.unknown_owner(row)
        if unknown:
            return unknown
        if not self.exits[account]:
            return Outcome.NOT_FROZEN
        if not 0 <= amount <= MONEY_MAX:
            return Outcome.AMOUNT_OUT_OF_RANGE
        if amount > self.ledger.available[account, token]:
            return Outcome.INSUFFICIENT_BALANCE
        self.exits[account] -= 1
        self.ledger.take_out(account, token, amount)
        self.emit(EventKind.EXIT_ENDED, account=account, token=token, amount=amount)
        return Outcome.ACCEPTED

    # Orders.

    def judge(self, row: Row) -> Outcome:
        """Return ACCEPTED or the first reason to refuse a PLACE."""
        if row["market"] >= len(self.markets):
            return Outcome.UNKNOWN_MARKET
        market, account = self.markets[row["market"]], row["account"]
        side, price_ticks, lots = row["side"], row["price_ticks"], row["amount"]
        if account >= len(self.exits):
            return Outcome.UNKNOWN_ACCOUNT
        if not terms_agree(side, row["tif"], row["flags"]):
            return Outcome.BAD_ORDER
        if self.exits[account]:
            return Outcome.ACCOUNT_FROZEN
        if not takes_orders(market.phase, row["flags"]):
            return REFUSALS[Phase(market.phase)]
        if not 0 < price_ticks < self.limits.ladder_ticks:
            return Outcome.PRICE_OUT_OF_RANGE
        if not 0 < lots <= LOTS_MAX:
            return Outcome.QUANTITY_OUT_OF_RANGE
        if not market.amounts_fit(lots, price_ticks):
            return Outcome.NOTIONAL_OUT_OF_RANGE
        if row["fee_cap_ppm"] < max(market.maker_ppm, market.taker_ppm):
            return Outcome.FEE_CAP_TOO_LOW
        if row["expiry_ns"] <= self.time_ns:
            return Outcome.ORDER_EXPIRED
        if row["flags"] & POST_ONLY and market.crossed_by(side, price_ticks):
            return Outcome.POST_ONLY_WOULD_TRADE
        needed = market.hold_pips(side, price_ticks, lots)
        if self.ledger.available[account, market.paid_token(side)] < needed:
            return Outcome.INSUFFICIENT_BALANCE
        if not self.slots.any_left():
            return Outcome.CAPACITY
        return Outcome.ACCEPTED

    def place(self, row: Row) -> Outcome:
        """Carry out PLACE: hold the worst case, match, then rest, drop or be done."""
        outcome = self.judge(row)
        if outcome != Outcome.ACCEPTED:
            return outcome
        order = Order(
            self.slots.take(),
            row["market"],
            row["account"],
            row["side"],
            row["price_ticks"],
            row["amount"],
            row["expiry_ns"],
        )
        self.set_hold(order)
        self.emit_order(EventKind.ACCEPTED, order, order.lots)

        single_shot = bool(row["flags"] & SINGLE_SHOT)
        self_mode = row["flags"] & DECREMENT
        fills_max = FILLS_MAX if single_shot else None
        if row["tif"] == TimeInForce.FOK and not self.fills_whole(order, self_mode, fills_max):
            why = Outcome.NOT_FILLABLE_WHOLE
        else:
            why = self.match(order, self_mode, fills_max)

        if order.lots and why == Outcome.ACCEPTED and row["tif"] == TimeInForce.GTC:
            self.markets[order.market].insert(order)
            self.orders[order.order_id] = order
            self.emit_order(EventKind.RESTED, order, order.lots)
            return Outcome.ACCEPTED
        if order.lots:
            why = why or Outcome.IMMEDIATE_REMAINDER
            self.emit_order(EventKind.UNFILLED, order, order.lots, why)
            order.lots = 0
            self.set_hold(order)
        self.slots.give_back(order.order_id)
        return Outcome.ACCEPTED

    def fills_whole(self, taker: Order, self_mode: int, fills_max: int | None) -> bool:
        """Return whether ``taker`` would be filled to its last lot."""
        lots, fills = taker.lots, 0
        for maker in self.markets[taker.market].queue_against(taker.side, taker.price_ticks):
            if maker.expiry_ns <= self.time_ns:
                continue
            if maker.account == taker.account:
                if self_mode == EXPIRE_MAKER:
                    continue
                return False
            if fills == fills_max:
                return False
            fills += 1
            lots -= maker.lots
            if lots <= 0:
                return True
        return False

    def match(self, taker: Order, self_mode: int, fills_max: int | None) -> Outcome:
        """Fill ``taker`` while it meets prices it accepts; return why it had to stop early."""
        market = self.markets[taker.market]
        fills = 0
        while taker.lots and market.crossed_by(taker.side, taker.price_ticks):
            if fills == fills_max:
                return Outcome.FILLS_EXHAUSTED
            maker = market.first_against(taker.side)
            if maker.expiry_ns <= self.time_ns:
                self.remove(maker, Outcome.EXPIRED)
                continue
            if maker.account == taker.account:
                if not self.survives_itself(taker, maker, self_mode):
                    return Outcome.SELF_TRADE
                continue
            self.trade(market, taker, maker)
            fills += 1
        return Outcome.ACCEPTED

    def survives_itself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        """Deal with an own order that ``taker`` meets; return whether ``taker`` goes on."""
        if self_mode == EXPIRE_TAKER:
            return False
        if self_mode != DECREMENT:
            self.remove(maker, Outcome.SELF_TRADE)
            return self_mode == EXPIRE_MAKER
        if maker.lots > taker.lots:
            self.shrink(maker, maker.lots - taker.lots, Outcome.SELF_TRADE)
            return False
        gone = maker.lots
        self.remove(maker, Outcome.SELF_TRADE)
        if gone == taker.lots:
            return False
        self.shrink(taker, taker.lots - gone, Outcome.SELF_TRADE)
        return True

    def trade(self, market: Market, taker: Order, maker: Order) -> None:
        """Exchange what both still want, at the maker's price."""
        lots = min(taker.lots, maker.lots)
        notional = market.notional(lots, maker.price_ticks)
        fee = fee_pips(notional, market.taker_ppm)
        maker_fee = fee_pips(notional, market.maker_ppm)
        for order, own_fee in ((taker, fee), (maker, maker_fee)):
            order.lots -= lots
            self.set_hold(order)
            self.settle(market, order, lots, notional, own_fee)
        self.emit(
            EventKind.TRADE,
            side=taker.side,
            market=taker.market,
            account=taker.account,
            maker_account=maker.account,
            order_id=taker.order_id,
            maker_id=maker.order_id,
            price_ticks=maker.price_ticks,
            amount=lots,
            order_left=taker.lots,
            maker_left=maker.lots,
            fee=fee,
            maker_fee=maker_fee,
        )
        if not maker.lots:
            self.forget(maker)

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        """Move the money of one side of one fill."""
        base_pips = lots * market.lot_pips
        account = order.account
        if order.side == Side.BUY:
            self.ledger.add(account, market.base, base_pips)
            self.ledger.add(account, market.quote, -notional - fee)
        else:
            self.ledger.add(account, market.base, -base_pips)
            self.ledger.add(account, market.quote, notional - fee)
        self.ledger.fees[market.quote] += fee

    def set_hold(self, order: Order) -> None:
        """Hold for ``order`` exactly what its open lots can cost, and free the rest."""
        market = self.markets[order.market]
        wanted = market.hold_pips(order.side, order.price_ticks, order.lots)
        token = market.paid_token(order.side)
        self.ledger.hold(order.account, token, wanted - order.held_pips)
        order.held_pips = wanted

    def resting_of(self, row: Row) -> Order | Outcome:
        """Return the order a command names, or why its account may not touch it."""
        if row["account"] >= len(self.exits):
            return Outcome.UNKNOWN_ACCOUNT
        order = self.orders.get(row["order_id"])
        if order is None:
            return Outcome.NOT_RESTING
        return order if order.account == row["account"] else Outcome.NOT_OWNER

    def cancel(self, row: Row) -> Outcome:
        """Carry out CANCEL."""
        order = self.resting_of(row)
        if isinstance(order, Outcome):
            return order
        self.remove(order, Outcome.CANCELLED_BY_OWNER)
        return Outcome.ACCEPTED

    def amend(self, row: Row) -> Outcome:
        """Carry out AMEND: fewer lots, same place."""
        order = self.resting_of(row)
        if isinstance(order, Outcome):
            return order
        if self.markets[order.market].phase == Phase.HALTED:
            return Outcome.MARKET_HALTED
        if row["amount"] < 1:
            return Outcome.QUANTITY_OUT_OF_RANGE
        if row["amount"] >= order.lots:
            return Outcome.AMEND_NOT_SMALLER
        self.shrink(order, row["amount"], Outcome.ACCEPTED)
        return Outcome.ACCEPTED

    def shrink(self, order: Order, lots: int, why: Outcome) -> None:
        """Leave ``order``, which may rest or still be coming in, only ``lots`` open."""
        gone = order.lots - lots if order.order_id in self.orders else 0
        order.lots = lots
        self.set_hold(order)
        self.emit_order(EventKind.AMENDED, order, lots, why, gone)

    def clock(self, row: Row) -> Outcome:
        """Carry out CLOCK: expired orders go, in slot order."""
        for order in self.in_slot_order():
            if order.expiry_ns <= self.time_ns:
                self.remove(order, Outcome.EXPIRED)
        return Outcome.ACCEPTED

    def in_slot_order(self) -> list[Order]:
        """Return all resting orders by slot."""
        return sorted(self.orders.values(), key=lambda order: order.order_id & (2**32 - 1))

    def remove(self, order: Order, why: Outcome) -> None:
        """Cancel a resting order."""
        self.emit_order(EventKind.CANCELLED, order, order.lots, why)
        order.lots = 0
        self.set_hold(order)
        self.forget(order)

    def forget(self, order: Order) -> None:
        """Take an order without open lots out of the book."""
        self.markets[order.market].delete(order)
        del self.orders[order.order_id]
        self.slots.give_back(order.order_id)

    # Queries.

    @property
    def orders_live(self) -> int:
        """Return how many orders rest, in all markets."""
        return len(self.orders)

    def available(self, account: int, token: int) -> int:
        """Return the pips of ``token`` that ``account`` can spend now."""
        assert 0 <= account < len(self.exits) and 0 <= token < self.ledger.tokens
        return self.ledger.available[account, token]

    def held(self, account: int, token: int) -> int:
        """Return the pips of ``token`` held for resting orders of ``account``."""
        assert 0 <= account < len(self.exits) and 0 <= token < self.ledger.tokens
        return self.ledger.held[account, token]

    def fees(self, token: int) -> int:
        """Return the pips of ``token`` earned as fees."""
        return self.ledger.fees[token]

    def supply(self, token: int) -> int:
        """Return the pips of ``token`` deposited and not withdrawn."""
        return self.ledger.supply[token]

    def best(self, market: int, side: Side) -> int | None:
        """Return the best price in ticks on ``side``, or None when it is empty."""
        return self.markets[market].best(side)

    def depth(self, market: int, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return (price_ticks, lots) of at most ``levels`` prices of ``side``, best first."""
        ladder = self.markets[market].sides[side]
        prices = list(self.markets[market].prices(side))[:levels]
        return [(price, sum(order.lots for order in ladder[price].values())) for price in prices]

    def state_hash(self) -> bytes:
        """Return 32 bytes that are equal in two engines exactly when their states are."""
        return canon.state_hash(self)

    def check(self) -> None:
        """Assert the invariants over the whole state; slow."""
        check.check(self)
