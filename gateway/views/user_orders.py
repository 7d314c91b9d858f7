"""What may one account see: its open orders, its fills and its balances, as they change?

A consumer like ``MarketData``: rebuilt by replay, bounded, published only to who listens. Client
ids and digests come from the attachments; balances are asked from the ledger, which has them.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from copy import copy
from itertools import islice
from typing import ClassVar, Final, Literal, NamedTuple, Self

import msgspec

from engine.events import EventKind
from engine.kept import Kept
from engine.log_entries import Committed, EventRow
from engine.types import Outcome, Side
from gateway.views.channels import Channels, News
from gateway.views.market_data import AUCTION, BUSTED, SIDES
from gateway.views.missed import Missed
from gateway.views.order_history import ALWAYS, Order, OrderHistory, Saved, TimeRange
from gateway.views.trade_states import ToldOnce
from settlement.orders.busts import busted_at, moved_back_at
from settlement.orders.catalog import Catalog, Market, Token
from settlement.ports import Balance, TradeState
from settlement.protocol.evidence import SignedOrder, evidence_of

FILLS_MAX: Final = 500
"""Fills kept an account."""

PAGE_MAX: Final = 100
"""Orders in one answer, 0.7 ms of the event loop: more are asked for page by page."""

OWNERS_MAX: Final = 100_000
"""Trades whose owners are remembered until they are final; above it the oldest are forgotten."""

MOVES_TOKEN: Final = frozenset(
    map(int, (EventKind.DEPOSITED, EventKind.WITHDRAWN, EventKind.EXIT_ENDED))
)
MOVES_MARKET: Final = frozenset(
    map(
        int,
        (
            EventKind.ACCEPTED,
            EventKind.TRADE,
            EventKind.CANCELLED,
            EventKind.UNFILLED,
            EventKind.AMENDED,
        ),
    )
)
TRADE_BUSTED: Final = int(EventKind.TRADE_BUSTED)
TWO_PARTIES: Final = frozenset({int(EventKind.TRADE), TRADE_BUSTED})
"""Events that name a second account; in all others the field is 0."""


class Fill(Kept, frozen=True):
    """One side of one trade."""

    trade_id: int
    order_id: int
    market: Market
    """As it was then: its terms may have changed since."""
    side: Side
    role: str
    price_ticks: int
    lots: int
    lots_left: int
    fee_pips: int
    client_id: str
    time_ns: int
    is_busted: bool = False
    """Whether it was undone."""


class Removal(NamedTuple):
    """Lots that left an order untraded, and why."""

    lots: int
    reason: Outcome


class _Numbered(News, frozen=True, tag=True, gc=False):
    """Kept by the ten thousand, and nothing in it leads back to it: see ``engine.kept``."""

    event: int
    number: int

    @property
    def resume_at(self) -> int:
        """Return the frame before."""
        return self.number - 1


OrderKind = Literal["accepted", "rested", "armed", "triggered", "amended", "cancelled", "unfilled"]


class OrderNews(_Numbered, frozen=True, gc=False):
    """An order was accepted, rests, is armed, triggered, amended or has ended, as ``kind`` says;
    ``order`` is as it was then."""

    kind: OrderKind
    market: Market
    order: Order
    removal: Removal | None = None


class FillNews(_Numbered, frozen=True, gc=False):
    """An order has traded."""

    fill: Fill


class BustNews(_Numbered, frozen=True, gc=False):
    """A trade was undone; ``fill`` is None if it is too old to be kept."""

    trade_id: int
    market: Market
    side: Side
    base_pips: int
    quote_pips: int
    fee_pips: int
    reason: str
    fill: Fill | None


AnyNumbered = OrderNews | FillNews | BustNews


class OwnSettled(News, frozen=True):
    """Trades of an account have come further. That is not of the log, so it has no number; it was
    told behind frame ``number``."""

    number: int
    trades: list[int]
    state: TradeState


class TokenBalance(NamedTuple):
    """What an account has of one token."""

    token: Token
    balance: Balance


class BalanceNews(News, frozen=True):
    """Balances of an account that may have changed up to ``event``, after frame ``number`` about
    its orders. They are absolute, so a slow reader may get the last word on each token only."""

    is_mergeable: ClassVar[bool] = True

    event: int
    number: int
    balances: list[TokenBalance]

    def merged(self, newer: Self) -> Self:
        """Return the last word on each token."""
        latest = {each.token.number: each for each in (*self.balances, *newer.balances)}
        return msgspec.structs.replace(newer, balances=list(latest.values()))


def time_of(row: EventRow, batch: Committed) -> int:
    """Return when the command of an event was sequenced."""
    return batch.entries[row.sequence - batch.first_sequence].command.time_ns


def orders_channel(account: bytes) -> str:
    """Return the internal channel of one account's orders and fills."""
    return f"orders/{account.hex()}"


def balances_channel(account: bytes) -> str:
    """Return the internal channel of one account's balances."""
    return f"balances/{account.hex()}"


class _Memory(msgspec.Struct):
    history: Saved
    fills: dict[int, list[Fill]]
    owners: dict[int, tuple[int, int]]
    event_index: int
    frames: dict[int, int]
    missed: dict[int, list[AnyNumbered]]


class UserStream:
    """All accounts. ``balance`` takes (account address, token address)."""

    checkpoint_name = "user stream/4"

    def __init__(
        self,
        catalog: Catalog,
        channels: Channels,
        balance: Callable[[bytes, bytes], Balance],
        trade_state: Callable[[int], TradeState],
    ) -> None:
        self._catalog = catalog
        self._channels = channels
        self._told = ToldOnce()
        self._balance = balance
        self._trade_state = trade_state
        self._history = OrderHistory()
        self._frames: dict[int, int] = {}
        """How many frames about its orders each account has been told, heard or not."""
        self._missed = Missed()
        self._fills: dict[int, deque[Fill]] = {}
        self._owners: dict[int, tuple[int, int]] = {}
        self.event_index = 0
        # By plain number: reading a member of an enum costs Python 3.11 as much as a small call.
        self._take: Final[dict[int, Callable[[EventRow, Committed], None]]] = {
            int(EventKind.ACCEPTED): self._accepted,
            int(EventKind.TRADE): self._trade,
            int(EventKind.RESTED): self._rested,
            int(EventKind.ARMED): self._armed,
            int(EventKind.TRIGGERED): self._triggered,
            int(EventKind.CANCELLED): self._ended,
            int(EventKind.UNFILLED): self._ended,
            int(EventKind.AMENDED): self._amended,
            TRADE_BUSTED: self._busted,
        }

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        return msgspec.msgpack.encode(
            _Memory(
                self._history.save(),
                {account: list(fills) for account, fills in self._fills.items()},
                self._owners,
                self.event_index,
                self._frames,
                self._missed.save(),
            )
        )

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        self._history.load(saved.history)
        self._fills = {
            account: deque(fills, maxlen=FILLS_MAX) for account, fills in saved.fills.items()
        }
        self._owners, self.event_index = saved.owners, saved.event_index
        self._frames = saved.frames
        self._missed.load(saved.missed)

    def consume(self, batch: Committed) -> None:
        """Take one committed batch."""
        if not len(batch.events):
            return
        touched: dict[int, dict[int, None]] = {}
        for row in batch.rows:
            self.event_index = row.number
            take = self._take.get(row.kind)
            if take is not None:
                take(row, batch)
            self._touch(touched, row, batch)
        self._publish_balances(touched)

    # Orders and fills

    def _accepted(self, row: EventRow, batch: Committed) -> None:
        entry = batch.entries[row.sequence - batch.first_sequence]
        signed = evidence_of(entry)
        assert isinstance(signed, SignedOrder), "a placed order has its evidence beside it"
        order = Order(
            row.order_id,
            row.sequence,
            row.market,
            row.account,
            SIDES[row.side],
            row.price_ticks,
            row.amount,
            row.amount,
            signed.client_id,
            signed.digest,
            entry.command.time_ns,
            flags=signed.flags,
            trigger_or_display=signed.trigger_or_display,
        )
        self._history.accepted(order)
        self._publish_order("accepted", row, batch, order)

    def _trade(self, row: EventRow, batch: Committed) -> None:
        time_ns = time_of(row, batch)
        self._owners[row.trade_id] = (row.account, row.maker_account)
        if len(self._owners) > OWNERS_MAX:
            del self._owners[next(iter(self._owners))]
        first_role = "maker" if row.outcome == AUCTION else "taker"
        sides = (
            (first_role, row.order_id, row.order_left, row.fee_pips),
            ("maker", row.maker_id, row.maker_left, row.maker_fee_pips),
        )
        for role, order_id, left, fee in sides:
            order = self._history[order_id]
            order.lots_open = left
            order.lots_filled += row.amount
            market = batch.markets[row.market]
            order.quote_filled += market.quote_pips(row.amount, row.price_ticks)
            fill = Fill(
                row.trade_id,
                order_id,
                market,
                order.side,
                role,
                row.price_ticks,
                row.amount,
                left,
                fee,
                order.client_id,
                time_ns,
            )
            self._fills.setdefault(order.account, deque(maxlen=FILLS_MAX)).append(fill)
            self._publish(order.account, FillNews(row.number, self._count(order.account), fill))
            if left == 0:
                self._end(order, row, time_ns)

    def _busted(self, row: EventRow, batch: Committed) -> None:
        """Tell both sides that a trade is undone, and mark it in their fills.

        The orders stay as they are.
        """
        bust = busted_at(batch, row.sequence)
        back = moved_back_at(batch, row.sequence)
        self._owners.pop(bust.trade_id, None)
        sides = ((back.buyer, back.buyer_fee_pips), (back.seller, back.seller_fee_pips))
        for account, fee_pips in sides:
            fill = self._mark_busted(account, bust.trade_id)
            news = BustNews(
                event=row.number,
                number=self._count(account),
                trade_id=bust.trade_id,
                market=batch.markets[row.market],
                side=Side.BUY if account == back.buyer else Side.SELL,
                base_pips=back.base_pips,
                quote_pips=back.quote_pips,
                fee_pips=fee_pips,
                reason=bust.error,
                fill=fill,
            )
            self._publish(account, news)

    def _mark_busted(self, account: int, trade_id: int) -> Fill | None:
        """Return the fill, marked; None if it is too old to be kept."""
        mine = self._fills.get(account, deque())
        for at in range(len(mine) - 1, -1, -1):
            if mine[at].trade_id == trade_id:
                mine[at] = msgspec.structs.replace(mine[at], is_busted=True)
                return mine[at]
        return None

    def _rested(self, row: EventRow, batch: Committed) -> None:
        self._stands(row, batch, "rested")

    def _armed(self, row: EventRow, batch: Committed) -> None:
        self._stands(row, batch, "armed")

    def _stands(self, row: EventRow, batch: Committed, kind: OrderKind) -> None:
        """Show an order among the open ones; its owner sees what it hides as well."""
        order = self._history[row.order_id]
        order.lots_open = row.amount + row.maker_left
        self._history.stands(order)
        self._publish_order(kind, row, batch, order)

    def _triggered(self, row: EventRow, batch: Committed) -> None:
        self._publish_order("triggered", row, batch, self._history[row.order_id])

    def _amended(self, row: EventRow, batch: Committed) -> None:
        order = self._history[row.order_id]
        left = row.amount + row.maker_left
        gone = order.lots_open - left
        order.lots_open = left
        self._publish_order("amended", row, batch, order, Removal(gone, Outcome(row.outcome)))

    def _ended(self, row: EventRow, batch: Committed) -> None:
        order = self._history[row.order_id]
        order.reason = row.outcome
        self._end(order, row, time_of(row, batch))
        kind: OrderKind = "cancelled" if row.kind == EventKind.CANCELLED else "unfilled"
        removal = Removal(row.amount + row.maker_left, Outcome(row.outcome))
        self._publish_order(kind, row, batch, order, removal)

    def _end(self, order: Order, row: EventRow, time_ns: int) -> None:
        order.ended_event, order.ended_ns = row.number, time_ns
        self._history.end(order)

    def _publish_order(
        self,
        kind: OrderKind,
        row: EventRow,
        batch: Committed,
        order: Order,
        removal: Removal | None = None,
    ) -> None:
        # A copy, for the order goes on changing.
        market, number = batch.markets[order.market], self._count(order.account)
        news = OrderNews(row.number, number, kind, market, copy(order), removal)
        self._publish(order.account, news)

    def _publish(self, account: int, news: _Numbered) -> None:
        self._missed.add(account, news)
        channel = orders_channel(self._catalog.address_of(account))
        if self._channels.has_subscribers(channel):
            self._channels.publish(channel, news)

    def _count(self, account: int) -> int:
        """Return the number of one more frame about the orders of ``account``, heard or not."""
        self._frames[account] = number = self._frames.get(account, 0) + 1
        return number

    # Balances

    def _touch(self, touched: dict[int, dict[int, None]], row: EventRow, batch: Committed) -> None:
        """Note whose balances of which token ``row`` may have changed."""
        if row.kind in MOVES_TOKEN:
            touched.setdefault(row.account, {})[row.token] = None
        elif row.kind in MOVES_MARKET or row.kind == TRADE_BUSTED:
            market = batch.markets[row.market]
            is_of_two = row.kind in TWO_PARTIES
            accounts = (row.account, row.maker_account) if is_of_two else (row.account,)
            for account in accounts:
                mine = touched.setdefault(account, {})
                mine[market.base.number] = mine[market.quote.number] = None

    def _publish_balances(self, touched: dict[int, dict[int, None]]) -> None:
        for number, tokens in touched.items():
            account = self._catalog.address_of(number)
            channel = balances_channel(account)
            if self._channels.has_subscribers(channel):
                balances = [self._balance_of(account, token) for token in tokens]
                told = self._frames.get(number, 0)
                self._channels.publish(channel, BalanceNews(self.event_index, told, balances))

    def _balance_of(self, account: bytes, number: int) -> TokenBalance:
        token = self._catalog.tokens[number]
        return TokenBalance(token, self._balance(account, token.address))

    # Settlement

    def settlement_changed(self, first_trade: int, last_trade: int, reached: TradeState) -> None:
        """Tell the owners of a range of trades that they have come further."""
        if not self._told.is_new(first_trade, last_trade, reached):
            return
        mine: dict[int, list[int]] = {}
        for trade_id in range(first_trade, last_trade + 1):
            for account in sorted(set(self._owners.get(trade_id, ()))):
                mine.setdefault(account, []).append(trade_id)
            if reached.state == "final":
                self._owners.pop(trade_id, None)
        for account, trades in mine.items():
            channel = orders_channel(self._catalog.address_of(account))
            if self._channels.has_subscribers(channel):
                told = self._frames.get(account, 0)
                self._channels.publish(channel, OwnSettled(told, trades, reached))

    # What is asked for

    def frame_number(self, account: bytes) -> int:
        """Return the number of the last frame about the orders of an address."""
        number = self._catalog.account_number(account)
        return 0 if number is None else self._frames.get(number, 0)

    def missed(self, account: bytes, number: int) -> list[News] | None:
        """Return the frames about the orders of an address behind frame ``number``, the oldest
        first; None if they are not all kept."""
        of = self._catalog.account_number(account)
        if of is None:
            return None if number else []
        return self._missed.after(of, number, self._frames.get(of, 0))

    def open_orders(self, account: bytes, after: int = 0, limit: int = PAGE_MAX) -> list[Order]:
        """Return resting orders of an address behind sequence ``after``, oldest first."""
        number = self._catalog.account_number(account)
        if number is None:
            return []
        return self._history.open_after(number, after, limit)

    def ended_orders(
        self, account: bytes, after: int, limit: int, within: TimeRange = ALWAYS
    ) -> list[Order]:
        """Return orders of an address that ended behind event ``after``, first ended first."""
        number = self._catalog.account_number(account)
        if number is None:
            return []
        return self._history.ended_after(number, after, limit, within)

    def is_whole(self, account: bytes, after: int) -> bool:
        """Return whether ``ended_orders`` has all that ended behind event ``after``."""
        number = self._catalog.account_number(account)
        return number is None or self._history.is_whole(number, after)

    def order(self, account: bytes, name: int | bytes | str) -> Order | None:
        """Return an order of an address by id, digest or client id; None if it is not kept."""
        number = self._catalog.account_number(account)
        if number is None:
            return None
        if isinstance(name, int):
            return self._history.find(number, name)
        if isinstance(name, bytes):
            return self._history.find_digest(number, name)
        return self._history.find_client_id(number, name)

    def market_of(self, order: Order) -> Market:
        """Return the market of an order."""
        return self._catalog.markets[order.market]

    def fills(
        self, account: bytes, limit: int, before: int = 2**63, within: TimeRange = ALWAYS
    ) -> list[Fill]:
        """Return the last fills of an address before trade ``before``, newest first."""
        number = self._catalog.account_number(account)
        mine = () if number is None else self._fills.get(number, ())
        end = bisect_left(mine, before, key=lambda fill: fill.trade_id)
        start = 0
        if within is not ALWAYS:
            end = bisect_left(mine, within.until_ns, 0, end, key=lambda fill: fill.time_ns)
            start = bisect_left(mine, within.from_ns, 0, end, key=lambda fill: fill.time_ns)
        return list(islice(mine, max(start, end - limit), end))[::-1]

    def state_of(self, fill: Fill) -> TradeState:
        """Return how far the trade of a fill is."""
        return BUSTED if fill.is_busted else self._trade_state(fill.trade_id)

    def balances(self, account: bytes) -> list[TokenBalance]:
        """Return all balances of an address, one a token."""
        return [self._balance_of(account, token.number) for token in self._catalog.tokens]
