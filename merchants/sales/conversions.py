"""How does what a shop was paid become stablecoin in its vault account?

Sold through the book like anybody's order: single-shot, signed by the session key that the
merchant's wallet approved, never under the limit. The signed order is stored before it is placed
and its fate is read from the journal alone, so a restart sends the same digest again or finds
that it was carried out; it can never sell twice.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, zip_longest
from types import MappingProxyType
from typing import Final

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from engine.events import EventKind
from engine.log_entries import LogEntry
from engine.types import LOTS_MAX, MONEY_MAX, PRICE_MAX, Outcome
from merchants.documents.sums import Sums, placed_pips, sums_of_one
from merchants.records import terms
from merchants.records.database import transaction
from merchants.records.due import UNRESOLVED
from merchants.records.grants import Grant
from merchants.records.options import Way
from merchants.records.policies import ConversionPolicy, policy_of
from merchants.records.pots import pot_ref
from merchants.records.queues import SETTLING, SETTLING_MANY, STORES_TO_SELL_FOR, TO_SELL_FIRST
from merchants.records.shares import booked_pips, ways_of
from merchants.records.states import CONVERSION_EDGES, ConversionState, moved
from merchants.records.tables import Conversion, Fill, Invoice, Order
from merchants.records.together import (
    JOINED_INVOICE,
    WITH_INVOICE,
    WITH_SALE,
    know_ungiven,
    once,
)
from merchants.records.turns import Turn
from merchants.sales.adopted import adopt, granting_wallets
from merchants.sales.fills import count, fill_of, states_of
from merchants.sales.key_orders import KeyTerms, signed_order
from merchants.sales.pots import Pots, lowest_ticks, new_conversion
from merchants.sales.reference_prices import Prices
from merchants.sales.uncovered import Uncovered
from merchants.stores.grants import grant_for, is_approved
from merchants.stores.keyring import Keyring
from merchants.webhooks import events
from merchants.webhooks.event_types import EventType
from settlement.orders.catalog import Market
from settlement.ports import ExchangePort, SettlementPort, TradeState
from settlement.protocol.evidence import OrderBits, SignedOrder, decode, encode, evidence_of

RETRY_DELAYS_S: Final = (1, 5, 30, 120, 600, 1800, 3600)
"""Waits between attempts; after one attempt more than these the rest is held as token."""

ORDER_LIFETIME_S: Final = 60
"""Longer than any queue in front of the journal, shorter than a price stays the same."""

NOTIONAL_MAX: Final = MONEY_MAX // 2
"""No order may be worth more quote pips: the engine's bound."""

NOTHING: Final[Mapping[bytes, int]] = MappingProxyType({})

SETTLING_NS: Final = 30 * 10**9
"""Invoices that have waited longer to be settled make no sale stand back."""

STAND_BACK_NS: Final = 3 * 10**9
"""How long a sale stands back at most, however many invoices wait."""

ADVANCED_MAX: Final = 100
"""Most conversions that are read at once to be moved on."""

REVERSED: Final = "PAYMENT_REVERSED"
"""Why a sale is held whose money a reorganisation has taken away."""

UNSURE_RETRY_NS: Final = 10 * 10**9
"""How often it is looked whether money that has left the chain is there again."""

_PROGRESS: Final = ("matched", "batched", "submitted", "mined", "final")
_BUSTED: Final = "busted"


class Conversions:
    """Opens conversions, gives them orders, and follows their fills to the chain."""

    def __init__(
        self,
        *,
        database: Engine,
        exchange: ExchangePort,
        settlement: SettlementPort,
        prices: Prices,
        keyring: Keyring,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._settlement = settlement
        self._prices = prices
        self._keyring = keyring
        self._clock = clock
        self.pots = Pots(exchange.catalog, prices, exchange.now_ns)
        self.uncovered = Uncovered(database, exchange.catalog, self.pots)
        self._asked: str | None = ""
        """Up to which conversion settlement was asked since this start; None when all are known."""
        self._to_advance: dict[str, None] = {}
        """Conversions of which fills have come further, in order."""
        with transaction(database) as session:
            unresolved = select(Order.wallet).where(Order.outcome.is_(None))
            self._wallets_waiting = set(session.scalars(unresolved))
            self._granting = granting_wallets(session)
            """Wallets of which what is not read yet of the log may have orders of ours that these
            rows do not know."""

    def caught_up(self) -> None:
        """The log was read to its end."""
        self._granting = set()

    @property
    def is_followed(self) -> bool:
        """Return whether there is something for ``follow_due``."""
        return self._asked is not None or bool(self._to_advance)

    def waiting_accounts(self) -> list[int]:
        """Return the engine accounts whose PLACE commands may be orders of ours."""
        numbers = (
            self._exchange.catalog.account_number(wallet)
            for wallet in self._wallets_waiting | self._granting
        )
        return [number for number in numbers if number is not None]

    def open(
        self,
        session: Session,
        invoice: Invoice,
        now_ns: int,
        judged_ticks: Mapping[bytes, int] = NOTHING,
        returned: Mapping[bytes, int] = NOTHING,
    ) -> None:
        """Make one conversion a token of all whole lots that were credited and are in none yet, if
        they are worth the market's least order; gather what is left, or all of it as the store's
        policy has it.

        One, however many lots that is: where a lot is a pip, one for each order would be millions.
        What an order cannot take is left for the next order of the same conversion.

        The limit comes from a price that the payer could not make: of an invoice paid in time the
        first from its option's quote, of late money from what it was weighed at (``judged_ticks``
        by token); of what came on top from trades. What is ``returned`` to the customer stays as it
        came.
        """
        catalog = self._exchange.catalog
        sums = sums_of_one(session, catalog, invoice)
        number = sums.number
        for way in ways_of(invoice):
            market = catalog.market_of_pair(way.token, invoice.settle)
            if market is None:
                assert way.token == invoice.settle, "what counts is of what a market sells"
                continue
            ticks, back = judged_ticks.get(way.token), returned.get(way.token, 0)
            number += self._open_for(session, way, market, sums, number + 1, ticks, back, now_ns)

    def _open_for(
        self,
        session: Session,
        way: Way,
        market: Market,
        sums: Sums,
        number: int,
        judged_ticks: int | None,
        returned_pips: int,
        now_ns: int,
    ) -> int:
        """Return how many conversions of one token were made, ``number`` being the first's;
        ``sums`` are of what its invoice has been sold in before."""
        invoice = way.invoice
        store_id, placed = invoice.store_id, placed_pips(sums, market)
        rest = booked_pips(way) - placed
        if rest <= 0:
            return 0
        policy = once(session, (ConversionPolicy, store_id), lambda: policy_of(session, store_id))
        kept = returned_pips + policy.kept_pips(rest - returned_pips)
        lots = 0 if policy.gathers_all else (rest - kept) // market.lot_pips
        quoted_ticks = terms.ticks_now(market, way, way.quoted_ticks)
        of_sale = (store_id, way.token, invoice.settle, invoice.wallet)
        grant = once(session, (Grant, *of_sale), lambda: grant_for(session, *of_sale))
        lowest = lowest_ticks(invoice.store, grant, market, judged_ticks or quoted_ticks)
        is_order = lots > 0 and market.quote_pips(lots, lowest) >= market.least_notional_pips
        if is_order:
            # The quote is the store's word for what came until the expiry, in its first sale.
            quoted = placed == 0 and not invoice.late and way.timely_pips > 0
            limit = quoted_ticks if quoted else judged_ticks
            session.add(new_conversion(invoice, market, lots, limit, number, now_ns))
            rest -= market.base_pips(lots)
        self.pots.keep(session, invoice, way.token, kept)
        self.pots.give(session, invoice, way.token, rest - kept, now_ns)
        return int(is_order)

    async def execute_due(self, rows_max: int, lasting_ns: int) -> bool:
        """Place the orders of conversions that are due, ``rows_max`` at most, and at least one, as
        long as that lasts; return whether all are placed that there was room for.

        Stores take turns, an order each: nobody waits behind all that another has to sell. One
        order a wallet at a time: two would be given the same nonce.

        While many invoices wait to be settled what fell due just now stands back: a shop ships on
        money that has come, and no goods wait for the sale of it.
        """
        began_ns, left = self._clock(), rows_max
        while left > 0 and (conversion_ids := self._round(left)):
            left -= len(conversion_ids)
            for conversion_id in conversion_ids:
                await self._execute(conversion_id)
                if self._clock() - began_ns >= lasting_ns:
                    return False  # Who was due longest is first again in the next round.
        return True

    def _round(self, rows_max: int) -> list[str]:
        """Return the orders that a restart left open, then what is due, a turn for each store."""
        now_ns = self._clock()
        with transaction(self._database) as session:
            many = session.scalars(SETTLING, {"since_ns": now_ns - SETTLING_NS}).all()
            due_ns = now_ns - (STAND_BACK_NS if len(many) == SETTLING_MANY else 0)
            stores = session.scalars(STORES_TO_SELL_FOR, {"now_ns": due_ns}).all()
            longest = [
                session.scalars(TO_SELL_FIRST, {"store_id": store_id, "now_ns": due_ns}).all()
                for store_id in stores[:rows_max]
            ]
            firsts = [name for turn in zip_longest(*longest) for name in turn if name is not None]
            return [*session.scalars(UNRESOLVED.limit(rows_max)), *firsts][:rows_max]

    async def _execute(self, conversion_id: str) -> None:
        with transaction(self._database) as session:
            conversion = session.get_one(Conversion, conversion_id, options=[JOINED_INVOICE])
            order = self._order_for(session, conversion)
        if order is None:
            return
        result = await self._exchange.place(order)
        if result.sequence == 0:
            with transaction(self._database) as session:
                self._rejected(session, order.digest, result.outcome)
            return
        # Who reads the log comes a turn of the loop behind its answers, and until we have read of
        # this order the wallet has none other.
        await asyncio.sleep(0)

    def _order_for(self, session: Session, conversion: Conversion) -> SignedOrder | None:
        """Return the order to place now: the one that is stored, or a new one, stored first."""
        wallet = conversion.invoice.wallet
        unresolved = session.scalar(
            select(Order).where(Order.wallet == wallet, Order.outcome.is_(None))
        )
        if unresolved is not None:
            if unresolved.conversion_id != conversion.id:
                return None
            stored = decode(unresolved.body)
            assert isinstance(stored, SignedOrder), "only orders are stored there"
            return stored
        if not self._may_sell(session, conversion):
            return None

        market = terms.market_of(self._exchange.catalog, conversion.market)
        lots = terms.unsold_pips(market, conversion) // market.lot_pips
        quoted_ticks = self._quoted_ticks(market, conversion, lots)
        conversion.attempts += 1
        conversion.state = moved(CONVERSION_EDGES, conversion.state, ConversionState.EXECUTING)
        if lots == 0:
            # A lot has become larger than what is left.
            self._gather(session, conversion, Outcome.OFF_LOT)
            return None
        if quoted_ticks is None:
            self._try_again(session, conversion, Outcome.NO_QUOTE)
            return None
        store = conversion.invoice.store
        grant = grant_for(session, store.id, market.base.address, market.quote.address, wallet)
        if grant is None or not is_approved(grant):
            self._try_again(session, conversion, Outcome.UNKNOWN_KEY)
            return None
        ticks = lowest_ticks(store, grant, market, quoted_ticks)
        # A book that could take more than this would hold more money than there may be.
        lots = min(lots, LOTS_MAX, NOTIONAL_MAX // market.quote_pips(1, ticks))
        if lots == 0 or ticks > PRICE_MAX:
            self._try_again(session, conversion, Outcome.NO_QUOTE)
            return None
        expiry = self._exchange.now_ns() // 10**9 + ORDER_LIFETIME_S
        order = self._signed(conversion, grant, market, lots, ticks, expiry)
        # One like it, for another sale of this invoice, may have been rejected in this very second:
        # then it has spent no nonce, and only the expiry can tell the two apart.
        while session.get(Order, order.digest) is not None:
            expiry += 1
            order = self._signed(conversion, grant, market, lots, ticks, expiry)
        session.add(
            Order(
                digest=order.digest,
                conversion_id=conversion.id,
                wallet=wallet,
                lots=lots,
                limit_ticks=ticks,
                body=encode(order),
                at_middle_pips=self._prices.at_middle_pips(market, lots, self._exchange.now_ns()),
            )
        )
        self._wallets_waiting.add(wallet)
        return order

    def _may_sell(self, session: Session, conversion: Conversion) -> bool:
        """Return whether it is to be sold, and what is sold of it is on the chain."""
        if conversion.state is not ConversionState.PENDING:
            return False
        if self.uncovered.is_unsure(session, conversion):
            conversion.next_attempt_ns = self._clock() + UNSURE_RETRY_NS
            return False
        if self.uncovered.shrink(session, conversion):
            self._hold(session, conversion, REVERSED)
            return False
        return True

    def take_back(self, session: Session, invoice: Invoice) -> None:
        """Sell no more of an invoice than is covered by money that is on the chain."""
        for conversion in self.uncovered.take_back(session, invoice):
            self._hold(session, conversion, REVERSED)

    def _quoted_ticks(self, market: Market, conversion: Conversion, lots: int) -> int | None:
        """Return the price to take the limit from, in present ticks; None if there is none."""
        if conversion.quoted_ticks is not None:
            return terms.ticks_now(market, conversion, conversion.quoted_ticks)
        return self._prices.traded_ticks(market, lots, self._exchange.now_ns())

    def _signed(
        self,
        conversion: Conversion,
        grant: Grant,
        market: Market,
        lots: int,
        ticks: int,
        expiry: int,
    ) -> SignedOrder:
        own_ref = conversion.invoice.ref
        ref = pot_ref(conversion.store_id) if conversion.from_pot else own_ref
        flags = OrderBits.SELL | OrderBits.SINGLE_SHOT
        signer = KeyTerms(grant.wallet, grant.key_address, flags, ref, market.taker_fee_ppm)
        return signed_order(self._exchange, self._keyring, signer, market, lots, ticks, expiry)

    def _rejected(self, session: Session, digest: bytes, outcome: Outcome) -> None:
        """An order was rejected before the journal had it; it is never sent again."""
        order = session.get_one(Order, digest)
        if order.outcome is not None:
            return
        assert outcome is not Outcome.ACCEPTED, "an accepted order has a sequence"
        self._resolve(session, order, outcome, sequence=0)
        self._try_again(session, order.conversion, outcome)

    def take_placed(self, session: Session, entry: LogEntry) -> None:
        """Learn the fate of an order of ours from the journal; ignore everybody else's."""
        attachment = evidence_of(entry)
        if not isinstance(attachment, SignedOrder):
            return
        market: Market = entry.market
        order = session.get(Order, attachment.digest, options=[WITH_SALE])
        if order is None and attachment.account in self._granting:
            catalog, now_ns = self._exchange.catalog, self._clock()
            order = adopt(session, catalog, self.pots, attachment, market, now_ns)
        if order is None or order.outcome is not None:
            return
        conversion = order.conversion
        last_word, sold = Outcome.ACCEPTED, 0
        answer = entry.answer
        own_id = answer[0].order_id
        for event in answer:
            if event.order_id != own_id:
                continue  # A stop that our order woke.
            if event.kind == EventKind.TRADE:
                fill = fill_of(market, order, attachment, entry, event)
                fill.state, fill.batch, fill.tx_hash = self._now(event.trade_id)
                sold += market.base_pips(fill.lots)
                session.add(fill)
                count(conversion, fill, 1)
            elif event.kind in (EventKind.REJECTED, EventKind.POISONED, EventKind.UNFILLED):
                last_word = Outcome(event.outcome)

        if conversion.from_pot:
            self.pots.share(session, conversion)
        terms.sell(market, conversion, sold)
        self._resolve(session, order, last_word, entry.sequence)
        if terms.unsold_pips(market, conversion) == 0:
            self._become(session, conversion, ConversionState.FILLED)
        elif last_word is Outcome.FILLS_EXHAUSTED or sold == attachment.base_amount:
            self._go_on(conversion, Outcome.FILLS_EXHAUSTED)
        else:
            self._try_again(session, conversion, last_word)
        self._to_advance[conversion.id] = None

    def _now(self, trade_id: int) -> TradeState:
        """Return how far a trade is that we read of just now: we may have been told before.

        That it was busted the log says further on.
        """
        now = self._settlement.trade_state(trade_id)
        return TradeState(_PROGRESS[0]) if now.state == _BUSTED else now

    def _resolve(self, session: Session, order: Order, outcome: Outcome, sequence: int) -> None:
        order.outcome = outcome
        order.sequence = sequence
        self._wallets_waiting.discard(order.wallet)

    def _go_on(self, conversion: Conversion, outcome: Outcome) -> None:
        """An order took as much as one may, or as many small bids: that is progress, and the next
        follows at once. It ends, for each takes at least one lot."""
        conversion.reason = outcome.name
        conversion.attempts -= 1
        conversion.state = moved(CONVERSION_EDGES, conversion.state, ConversionState.PENDING)
        conversion.next_attempt_ns = self._clock()

    def _try_again(self, session: Session, conversion: Conversion, outcome: Outcome) -> None:
        """Plan the next attempt, or hold what is left when there were enough; say so."""
        is_news = conversion.reason != outcome.name
        conversion.reason = outcome.name
        if outcome is Outcome.BELOW_LEAST_NOTIONAL:
            # No waiting makes a larger order of a small one.
            self._gather(session, conversion, outcome)
            return
        if conversion.attempts > len(RETRY_DELAYS_S):
            self._hold(session, conversion, outcome.name)
            return
        conversion.state = moved(CONVERSION_EDGES, conversion.state, ConversionState.PENDING)
        delay_s = RETRY_DELAYS_S[conversion.attempts - 1]
        conversion.next_attempt_ns = self._clock() + delay_s * 10**9
        if is_news:
            self._record(session, conversion, EventType.CONVERSION_WAITING)

    def _gather(self, session: Session, conversion: Conversion, outcome: Outcome) -> None:
        """Put the rest, too little for an order, into the store's pot: it is sold with others."""
        self.uncovered.shrink(session, conversion)
        market = terms.market_of(self._exchange.catalog, conversion.market)
        rest = terms.unsold_pips(market, conversion)
        self.pots.take_back(session, conversion, market, rest, self._clock())
        self._become(session, conversion, ConversionState.FILLED)
        conversion.reason = outcome.name
        self._to_advance[conversion.id] = None

    def _hold(self, session: Session, conversion: Conversion, reason: str) -> None:
        """Leave the rest as token in the merchant's account."""
        conversion.reason = reason
        self._become(session, conversion, ConversionState.HELD)
        self._to_advance[conversion.id] = None

    def settlement_changed(
        self, session: Session, first_trade: int, last_trade: int, reached: TradeState
    ) -> None:
        """Bring the fills of a range of trades up to date; their conversions follow in turns."""
        if reached.state == _PROGRESS[0]:
            reached = TradeState(reached.state)  # In a batch that was given up it is in none.
        state, batch, tx_hash = reached
        moved_on = session.scalars(
            update(Fill)
            .where(Fill.trade_id.between(first_trade, last_trade))
            .values(state=state, batch=batch, tx_hash=tx_hash)
            .returning(Fill.conversion_id)
        )
        self._to_advance.update(dict.fromkeys(sorted(set(moved_on))))

    def follow_due(self, session: Session, _now_ns: int, turn: Turn) -> None:
        """Move conversions on whose fills have come further, some a call.

        What came before this start was told to nobody here: the first calls ask.
        """
        if self._asked is not None:
            self._catch_up(session, turn, self._asked)
            return
        names = tuple(islice(self._to_advance, ADVANCED_MAX))
        due = select(Conversion).where(Conversion.id.in_(names)).options(WITH_INVOICE)
        states: dict[str, set[str]] = {}

        def look(found: Sequence[Conversion]) -> None:
            know_ungiven(session, [conversion.invoice for conversion in found])
            states.update(states_of(session, found))

        for conversion in turn.rows(session, due, look) if names else ():
            self._advance(session, conversion, states[conversion.id])
            del self._to_advance[conversion.id]

    def _catch_up(self, session: Session, turn: Turn, asked: str) -> None:
        if not asked:
            self._ask_final(session)
        following = (
            select(Conversion)
            .where(Conversion.following, Conversion.id > asked)
            .order_by(Conversion.id)
        )
        for conversion in turn.rows(session, following):
            self._asked = conversion.id
            fills = select(Fill).where(Fill.conversion_id == conversion.id)
            self._ask(session, conversion, session.scalars(fills.order_by(Fill.trade_id)).all())
            self._advance(session, conversion)
        if turn.is_whole:
            self._asked = None

    def _ask_final(self, session: Session) -> None:
        """Ask how far those are that were final: we may have died before we were told that they are
        not any more. Batches become final in their order, so all before one that is are too."""
        newest_first = (
            select(Fill).where(Fill.state == _PROGRESS[-1]).order_by(Fill.trade_id.desc()).limit(1)
        )
        while (fill := session.scalar(newest_first)) is not None:
            conversion = session.get_one(Conversion, fill.conversion_id)
            self._ask(session, conversion, [fill])
            if fill.state == _PROGRESS[-1]:
                return
            self._advance(session, conversion)
            session.flush()

    def _ask(self, session: Session, conversion: Conversion, fills: Sequence[Fill]) -> None:
        """Bring fills up to date with what settlement says now."""
        for fill in fills:
            fill.state, fill.batch, fill.tx_hash = self._settlement.trade_state(fill.trade_id)
        busted = [fill for fill in fills if fill.state == _BUSTED]
        if busted:
            self._undo(session, conversion, busted)

    def _advance(
        self, session: Session, conversion: Conversion, states: set[str] | None = None
    ) -> None:
        """Let a conversion be as far as the slowest of its fills, whose ``states`` are known or are
        asked for."""
        final = _PROGRESS.index("final")
        if states is None:
            states = states_of(session, [conversion])[conversion.id]
        slowest = min(map(_PROGRESS.index, states), default=final)
        if conversion.state is ConversionState.FINAL and slowest < final:
            # A reorganisation took back what was final; it will be again.
            self._become(session, conversion, ConversionState.BATCHED)
        if conversion.state is ConversionState.FILLED and slowest >= _PROGRESS.index("batched"):
            self._become(session, conversion, ConversionState.BATCHED)
        if conversion.state is ConversionState.BATCHED and slowest == final:
            self._become(session, conversion, ConversionState.FINAL)
        conversion.following = slowest < final or conversion.state in (
            ConversionState.PENDING,
            ConversionState.EXECUTING,
        )

    def take_bust(self, session: Session, trade_id: int) -> None:
        """A trade was undone in the ledger; ignore it if it is not ours."""
        fill = session.get(Fill, trade_id)
        if fill is not None:
            conversion = session.get_one(Conversion, fill.conversion_id)
            self._undo(session, conversion, [fill])
            self._advance(session, conversion)

    def _undo(self, session: Session, conversion: Conversion, busted: Sequence[Fill]) -> None:
        """Take back fills that the chain would not have, and say so.

        What was to be sold is sold again. What was given up already is held, now with more of it.
        """
        market = terms.market_of(self._exchange.catalog, conversion.market)
        for fill in busted:
            terms.sell(market, conversion, -terms.pips_of(market, fill))
            count(conversion, fill, -1)
            session.delete(fill)
        session.flush()
        self.uncovered.shrink(session, conversion)
        if conversion.from_pot:
            self.pots.share(session, conversion)
        conversion.reason = "TRADE_BUSTED"
        if conversion.state in (
            ConversionState.FILLED,
            ConversionState.BATCHED,
            ConversionState.FINAL,
        ):
            conversion.state = moved(CONVERSION_EDGES, conversion.state, ConversionState.PENDING)
            conversion.next_attempt_ns = self._clock()
        self._record(session, conversion, EventType.CONVERSION_BUSTED)

    def _become(self, session: Session, conversion: Conversion, state: ConversionState) -> None:
        conversion.state = moved(CONVERSION_EDGES, conversion.state, state)
        if state is ConversionState.FILLED:
            conversion.reason = ""
        self._record(session, conversion, _EVENT_OF[state])

    def _record(self, session: Session, conversion: Conversion, kind: EventType) -> None:
        events.record(
            session,
            self._exchange.catalog,
            conversion.invoice,
            kind,
            self._clock(),
            conversion=conversion,
        )


_EVENT_OF: Final = {
    ConversionState.FILLED: EventType.CONVERSION_FILLED,
    ConversionState.BATCHED: EventType.CONVERSION_BATCHED,
    ConversionState.FINAL: EventType.CONVERSION_FINAL,
    ConversionState.HELD: EventType.CONVERSION_HELD,
}
