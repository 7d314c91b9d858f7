"""Which trades does the log have, which of them were undone, and did the batches settle the rest?

A bust is signed by nobody: the contract's refusal leaves no trace that could be shown later. So an
auditor can hold a bust against its trade, and against what was settled, and must say aloud how many
there were and why the operator says so.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.commands import BustTerms, Kind, bust_terms
from engine.events import EventKind
from engine.log_entries import EventRow, LogEntry
from engine.types import Side
from settlement.batches.decode import OpenedBatch
from settlement.batches.encode import lane_half
from settlement.orders.catalog import Market
from settlement.protocol.evidence import AnyAttachment, KeyUse, SignedOrder, TradeBusted

Terms = tuple[bytes, bytes, int, int, int, int]
"""Buyer's and seller's order by digest, base, quote and both fees: what a batch says of a trade."""

NS: Final = 10**9


class LoggedTrade(NamedTuple):
    """A trade as the replayed engine made it; amounts and fees in pips, accounts by number.

    An order is None where the log has none that was signed.
    """

    trade_id: int
    market: int
    buyer: int
    seller: int
    buy: SignedOrder | None
    sell: SignedOrder | None
    base_pips: int
    quote_pips: int
    buy_fee_pips: int
    sell_fee_pips: int

    @property
    def terms(self) -> Terms:
        """Return what a batch has to say of it."""
        buy, sell = (b"" if order is None else order.digest for order in (self.buy, self.sell))
        return buy, sell, self.base_pips, self.quote_pips, self.buy_fee_pips, self.sell_fee_pips

    @property
    def undone(self) -> BustTerms:
        """Return what the command that undoes it has to say."""
        return BustTerms(
            market=self.market,
            buyer=self.buyer,
            seller=self.seller,
            base_pips=self.base_pips,
            quote_pips=self.quote_pips,
            buyer_fee_pips=self.buy_fee_pips,
            seller_fee_pips=self.sell_fee_pips,
        )

    @property
    def keys(self) -> tuple[KeyUse, ...]:
        """Return what the session keys that signed for it get back: at the order's own limit."""
        return tuple(
            KeyUse(
                order.account,
                order.signer,
                self.base_pips * order.quote_amount // order.base_amount,
            )
            for order in (self.buy, self.sell)
            if order is not None and order.signer != order.account and order.base_amount
        )


class NamedBust(NamedTuple):
    """A trade that command ``sequence`` undid, with the reason that the operator gives."""

    sequence: int
    trade_id: int
    reason: str

    def __str__(self) -> str:
        # What the operator wrote may hold anything; nobody's terminal obeys it.
        return f"trade {self.trade_id} by command {self.sequence}: {self.reason!a}"


class TradeBook:
    """Follows orders, trades and busts, command by command."""

    def __init__(self) -> None:
        self._orders: dict[int, SignedOrder] = {}
        self._accepted_s: dict[int, int] = {}
        self._by_sequence: dict[int, list[LoggedTrade]] = {}
        self._by_id: dict[int, LoggedTrade] = {}
        self._busted: set[int] = set()
        self._newest: dict[tuple[bytes, int, bool], int] = {}
        """The highest nonce that was accepted on each lane half."""
        self.busts: list[NamedBust] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def order(self, order_id: int) -> SignedOrder | None:
        """Return the order that was signed behind an engine's id; None if the log has none."""
        return self._orders.get(order_id)

    def accepted_s(self, order_id: int) -> int:
        """Return when an order that ``order`` returns was accepted, in unix seconds."""
        return self._accepted_s[order_id]

    def follow(self, entry: LogEntry, attachment: AnyAttachment | None) -> Iterator[str]:
        """Take one command; yield what is wrong with it if it is a bust, and with its trades."""
        if entry.command.kind == Kind.BUST:
            yield from self._bust(entry, attachment)
        made = []
        for event in entry.events:
            if event.kind == EventKind.ACCEPTED and isinstance(attachment, SignedOrder):
                self._orders[event.order_id] = attachment
                self._accepted_s[event.order_id] = entry.command.time_ns // NS
                half = lane_half(attachment)
                if half is not None:
                    self._newest[half] = max(attachment.nonce, self._newest.get(half, 0))
            elif event.kind == EventKind.TRADE:
                made.append(self._trade(entry, event))
                yield from self._replaced(made[-1])
        if made:
            self._by_sequence[entry.sequence] = made
            self._by_id |= {trade.trade_id: trade for trade in made}

    def batch_faults(self, batch: OpenedBatch) -> Iterator[str]:
        """Yield how the trades of ``batch`` differ from those of the commands it covers."""
        first = batch.header.first_sequence
        covered = [
            trade
            for sequence in range(first, first + batch.header.command_count)
            for trade in self._by_sequence.get(sequence, ())
        ]
        logged = [trade.terms for trade in covered if trade.trade_id not in self._busted]
        settled = [
            (
                *(trade.buy.digest, trade.sell.digest, trade.base_pips, trade.quote_pips),
                *(trade.buy_fee_pips, trade.sell_fee_pips),
            )
            for trade in batch.trades
        ]
        if logged == settled:
            return
        yield f"it settles {len(settled)} trades, and they are not the {len(logged)} of the log"
        beyond = Counter(settled)
        beyond.subtract(logged)
        for trade in covered:
            if trade.trade_id in self._busted and beyond[trade.terms] > 0:
                beyond[trade.terms] -= 1
                yield f"it settles trade {trade.trade_id}, which the log has undone"

    def _replaced(self, trade: LoggedTrade) -> Iterator[str]:
        """The contract holds nonces of a lane half together over batches; within one it takes a
        trade of the lower behind one of the higher."""
        for order in (trade.buy, trade.sell):
            half = None if order is None else lane_half(order)
            if order is None or half is None or order.nonce >= self._newest[half]:
                continue
            yield (
                f"trade {trade.trade_id} fills the order of nonce {order.nonce} of"
                f" 0x{order.account.hex()}, which nonce {self._newest[half]} had replaced"
            )

    def _bust(self, entry: LogEntry, attachment: AnyAttachment | None) -> Iterator[str]:
        answer = entry.answer
        if not len(answer) or answer[0].kind != EventKind.TRADE_BUSTED:
            return
        if not isinstance(attachment, TradeBusted):
            yield "a bust that names no trade"
            return
        number = attachment.trade_id
        self.busts.append(NamedBust(entry.sequence, number, attachment.reason))
        trade = self._by_id.get(number)
        if trade is None:
            yield f"it busts trade {number}, which never was"
            return
        if number in self._busted:
            yield f"trade {number} is busted twice"
        self._busted.add(number)
        said = bust_terms(entry.row)
        for name, found, value in zip(said._fields, said, trade.undone, strict=True):
            if found != value:
                yield f"it busts trade {number}: {name} is {found}, not {value}"
        if attachment.keys != trade.keys:
            yield f"it busts trade {number} and gives session keys back what they had not used"

    def _trade(self, entry: LogEntry, event: EventRow) -> LoggedTrade:
        market: Market = entry.markets[event.market]
        lots, price = event.amount, event.price_ticks
        sides = [
            (event.account, self._orders.get(event.order_id), event.fee_pips),
            (event.maker_account, self._orders.get(event.maker_id), event.maker_fee_pips),
        ]
        buy, sell = sides if event.side == Side.BUY else sides[::-1]
        return LoggedTrade(
            event.trade_id,
            market.number,
            buy[0],
            sell[0],
            buy[1],
            sell[1],
            market.base_pips(lots),
            market.quote_pips(lots, price),
            buy[2],
            sell[2],
        )
