"""Is the published log the history that was settled, and was it lawful?

An auditor replays the log with an engine of its own and trusts nobody. Every command must be signed
by its owner; every trade must have gone to the first in line; every batch on chain must commit to
exactly these commands and events, and carry exactly their trades; every deposit must be on chain,
and every one on chain in the log. A record that was edited, dropped, inserted or moved shows up in
at least one of these, even if the whole log was hashed anew. What no batch covers yet only an
acknowledgement can prove: whoever holds some can have them held against the log too.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import Committed, LogEntry
from engine.types import Side
from settlement.audit.onchain import Money, Published
from settlement.audit.priority import Priority
from settlement.audit.signatures import order_faults, withdrawal_faults
from settlement.batches.acknowledgements import Acknowledgement
from settlement.batches.decode import OpenedBatch
from settlement.batches.log_items import item_of
from settlement.orders.busts import busted_by
from settlement.orders.catalog import Catalog, ChangesOfTerms
from settlement.protocol import merkle
from settlement.protocol.eip712 import Domain, acknowledgement_digest, recover
from settlement.protocol.evidence import (
    AnyAttachment,
    DepositEvidence,
    ExitEvidence,
    SignedOrder,
    SignedWithdrawal,
    WithdrawalPaid,
    WithdrawalReturned,
    evidence_of,
)

FAULTS_MAX: Final = 100
NS: Final = 10**9
SIGNED_KINDS: Final = (Kind.PLACE, Kind.REPLACE)


class LoggedTrade(NamedTuple):
    """A trade as the replayed engine made it; fees in pips, in the order the chain has them."""

    trade_id: int
    buy: bytes
    sell: bytes
    base_pips: int
    quote_pips: int
    buy_fee_pips: int
    sell_fee_pips: int


class Audit:
    """Takes the replayed log batch by batch (``consume``), then judges it (``judge``)."""

    def __init__(self, domain: Domain, published: Published) -> None:
        self._domain = domain
        self._published = published
        self._catalog = Catalog()
        self._terms = ChangesOfTerms(self._catalog)
        self._priority = Priority()
        self._orders: dict[int, SignedOrder] = {}
        self._items: list[bytes] = []
        self._heads: list[bytes] = []
        """What the log hashes to with each command."""
        self._trades: dict[int, list[LoggedTrade]] = {}
        """By sequence."""
        self._busted: set[int] = set()
        self._booked: Counter[Money] = Counter()
        self._booked_block = 0
        self.faults: list[str] = list(published.faults)

    @property
    def command_count(self) -> int:
        """Return how many commands were taken."""
        return len(self._items)

    @property
    def settled_count(self) -> int:
        """Return how many of them the batches on chain commit to."""
        return sum(batch.header.command_count for batch in self._published.batches)

    @property
    def trade_count(self) -> int:
        """Return how many trades the log has."""
        return sum(map(len, self._trades.values()))

    def consume(self, batch: Committed) -> None:
        """Take one batch of the log, with the events of the auditor's own engine."""
        self._heads += batch.heads
        for part in batch.segments():
            self._catalog.consume(part)
            for frame in part.entries:
                self._take(frame)
            self._terms.consume(part)

    def judge(self) -> list[str]:
        """Return all that is wrong, in sentences; nothing if the log is what was settled."""
        expected = 1
        for batch in self._published.batches:
            if batch.header.first_sequence != expected:
                first = batch.header.first_sequence
                self._say(f"batch {batch.header.batch} begins at {first}, not at {expected}")
            expected = batch.header.first_sequence + batch.header.command_count
            for fault in self._batch_faults(batch):
                self._say(f"batch {batch.header.batch}: {fault}")
        for money, blocks in self._published.money.items():
            due = sum(block < self._booked_block for block in blocks)
            if due > self._booked[money] and self._published.is_bookable(money):
                self._say(f"{money} is on chain and not in the log")
        return self.faults

    def compare(self, words: list[Acknowledgement], signer: bytes | None) -> list[str]:
        """Hold what the operator signed against the log; return what differs, in sentences.

        ``signer`` is whose word the bond answers for; None if nobody's.
        """
        return [fault for word in words for fault in self._word_faults(word, signer)]

    def _word_faults(self, word: Acknowledgement, signer: bytes | None) -> Iterator[str]:
        where = f"acknowledged command {word.sequence}"
        digest = acknowledgement_digest(self._domain, word.sequence, word.item, word.head)
        signed_by = recover(digest, word.signature)
        if signed_by is None or signed_by != word.signer:
            yield f"{where}: the signature is not the signer's"
        elif signer is not None and signed_by != signer:
            yield f"{where}: signed by 0x{signed_by.hex()}, the bond answers for 0x{signer.hex()}"
        if not 1 <= word.sequence <= len(self._items):
            yield f"{where} is missing: the log ends at {len(self._items)}"
        elif self._items[word.sequence - 1] != word.item:
            yield f"{where} is another command in the log, or had other events"
        elif self._heads[word.sequence - 1] != word.head:
            yield f"{where}: what stands before it is not what it was"

    # One command.

    def _take(self, frame: LogEntry) -> None:
        where = f"command {frame.sequence}"
        if frame.sequence != len(self._items) + 1:
            self._say(f"{where} comes after {len(self._items)} commands")
        self._items.append(item_of(frame))
        try:
            attachment = evidence_of(frame)
        except msgspec.DecodeError:
            self._say(f"{where}: the attachment cannot be read")
            return
        for fault in self._command_faults(frame, attachment):
            self._say(f"{where}: {fault}")
        for fault in self._priority.follow(frame.events):
            self._say(f"{where}: {fault}")
        busted = busted_by(frame)
        if busted is not None:
            self._busted.add(busted.trade_id)
        trades = list(self._trades_of(frame, attachment))
        if trades:
            self._trades[frame.sequence] = trades

    def _command_faults(self, frame: LogEntry, attachment: AnyAttachment | None) -> Iterator[str]:
        row, kind = frame.command, int(frame.command["kind"])
        if kind in SIGNED_KINDS:
            if isinstance(attachment, SignedOrder):
                yield from order_faults(self._catalog, self._domain, row, attachment)
                yield from self._signer_faults(frame, attachment)
            else:
                yield "an order without a signature"
        elif kind == Kind.WITHDRAW:
            if isinstance(attachment, WithdrawalPaid):
                return  # Its payment is in the vault, where reconciliation looks.
            if isinstance(attachment, SignedWithdrawal):
                yield from withdrawal_faults(self._catalog, self._domain, row, attachment)
            else:
                yield "a withdrawal without a signature"
        elif kind in (Kind.DEPOSIT, Kind.EXIT_END) and _was_done(frame):
            yield from self._money_faults(frame, attachment)

    def _signer_faults(self, frame: LogEntry, order: SignedOrder) -> Iterator[str]:
        """Only the owner signs for an account, or a key that it has granted on chain."""
        time_s = int(frame.command["time_ns"]) // NS
        if order.signer == order.account:
            return
        if not self._published.had_key(order.account, order.signer, time_s):
            yield f"0x{order.signer.hex()} had no right to sign for 0x{order.account.hex()}"

    def _money_faults(self, frame: LogEntry, attachment: AnyAttachment | None) -> Iterator[str]:
        row = frame.command
        if isinstance(attachment, WithdrawalReturned) or (
            row["kind"] == Kind.EXIT_END and row["amount"] == 0
        ):
            return
        if not isinstance(attachment, DepositEvidence | ExitEvidence):
            yield "money without evidence"
            return
        booked = Money(
            attachment.tx_hash,
            "Deposited" if row["kind"] == Kind.DEPOSIT else "ExitFinished",
            self._catalog.address_of(int(row["account"])),
            self._catalog.tokens[int(row["token"])].address,
            int(row["amount"]),
            attachment.ref if isinstance(attachment, DepositEvidence) else b"",
        )
        self._booked[booked] += 1
        self._booked_block = max(self._booked_block, attachment.block_number)
        there = len(self._published.money.get(booked, ()))
        if not there:
            yield f"the chain does not say {booked}"
        elif self._booked[booked] > there:
            yield "the same log entry is booked twice"

    def _trades_of(self, frame: LogEntry, order: AnyAttachment | None) -> Iterator[LoggedTrade]:
        for event in frame.events:
            kind, order_id = int(event["kind"]), int(event["order_id"])
            if kind == EventKind.ACCEPTED and isinstance(order, SignedOrder):
                self._orders[order_id] = order
            elif kind == EventKind.TRADE:
                market = self._catalog.markets[int(event["market"])]
                lots, price = int(event["amount"]), int(event["price_ticks"])
                sides = [
                    (self._digest(order_id), int(event["fee_pips"])),
                    (self._digest(int(event["maker_id"])), int(event["maker_fee_pips"])),
                ]
                buy, sell = sides if event["side"] == Side.BUY else sides[::-1]
                yield LoggedTrade(
                    int(event["trade_id"]),
                    buy[0],
                    sell[0],
                    market.base_pips(lots),
                    market.quote_pips(lots, price),
                    buy[1],
                    sell[1],
                )

    def _digest(self, order_id: int) -> bytes:
        order = self._orders.get(order_id)
        return b"" if order is None else order.digest

    # One batch.

    def _batch_faults(self, batch: OpenedBatch) -> Iterator[str]:
        header = batch.header
        first, count = header.first_sequence, header.command_count
        items = self._items[first - 1 : first - 1 + count]
        if len(items) < count:
            yield f"the log ends at {len(self._items)}, before command {first + count - 1}"
            return
        if merkle.root(items) != header.log_root:
            yield f"commands {first} to {first + count - 1} are not those it commits to"
        logged = [
            trade
            for sequence in range(first, first + count)
            for trade in self._trades.get(sequence, ())
            if trade.trade_id not in self._busted
        ]
        settled = [
            (
                *(trade.buy.digest, trade.sell.digest, trade.base_pips, trade.quote_pips),
                *(trade.buy_fee_pips, trade.sell_fee_pips),
            )
            for trade in batch.trades
        ]
        if [trade[1:] for trade in logged] != settled:
            yield f"it settles {len(settled)} trades, and they are not the {len(logged)} of the log"

    def _say(self, fault: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(fault)


def _was_done(frame: LogEntry) -> bool:
    return len(frame.events) > 0 and frame.events[-1]["kind"] != EventKind.REJECTED
