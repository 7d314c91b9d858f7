"""Is the published log the history that was settled, and was it lawful?

An auditor replays the log with an engine of its own and trusts nobody. Every order and withdrawal
must be signed by its owner; every cancel and amendment must be asked for by a session that its
owner has opened, or be due to the chain, or be the operator's own and say why
(``settlement.audit.requests``); every trade must have gone to the first in line; every batch on
chain must commit to exactly these commands and events, and carry exactly their trades; all other
money that moves must be on chain, and all of it there in the log (``settlement.audit.money``); a
trade may be undone once, and only if no batch carries it (``settlement.audit.trades``). A record
that was edited, dropped, inserted or moved shows up in at least one of these, even if the whole log
was hashed anew. What no batch covers yet only an acknowledgement can prove: whoever holds some can
have them held against the log too.

What is left is the operator's alone (``OPERATORS``): nobody signs it and no chain says it, so it is
counted, and said to be unproven.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import Committed, LogEntry
from settlement.audit.money import MONEY_KINDS, MoneyBook
from settlement.audit.onchain import ListedToken, Published
from settlement.audit.operators import OperatorActions
from settlement.audit.priority import Priority
from settlement.audit.requests import REQUEST_KINDS, RequestBook
from settlement.audit.signatures import order_faults
from settlement.audit.trades import NamedBust, TradeBook
from settlement.batches.acknowledgements import Acknowledgement
from settlement.batches.decode import OpenedBatch
from settlement.batches.log_leaves import leaf_of
from settlement.orders.catalog import Catalog
from settlement.protocol import merkle
from settlement.protocol.eip712 import Domain, recover
from settlement.protocol.evidence import (
    AnyAttachment,
    SignedOrder,
    TokenListing,
    evidence_of,
    listing_of,
)

FAULTS_MAX: Final = 100
NS: Final = 10**9
SIGNED_KINDS: Final = (Kind.PLACE, Kind.REPLACE)

CHECKED: Final = frozenset(
    {*SIGNED_KINDS, *MONEY_KINDS, *REQUEST_KINDS, Kind.LIST_TOKEN, Kind.OPEN_ACCOUNT}
)
"""Commands that an owner has signed or asked for, or that the chain says."""

OPERATORS: Final = frozenset(
    {
        *(Kind.LIST_MARKET, Kind.SET_TERMS, Kind.SET_BAND, Kind.SET_PHASE, Kind.DELIST),
        *(Kind.CLOCK, Kind.POISON, Kind.BUST),
    }
)
"""Commands of which nothing proves who wanted them. Of a BUST all but its reason is checked."""


class Audit:
    """Takes the replayed log batch by batch (``consume``), then judges it (``judge``)."""

    def __init__(self, domain: Domain, published: Published) -> None:
        self._domain = domain
        self._published = published
        self._catalog = Catalog()
        self._priority = Priority()
        self._money = MoneyBook(domain, published, self._catalog)
        self._trades = TradeBook()
        self._requests = RequestBook(domain, published, self._catalog, self._trades)
        self._items: list[bytes] = []
        self._heads: list[bytes] = []
        """What the log hashes to with each command."""
        self._times_s: list[int] = []
        """When each command says it came."""
        self._opened: set[bytes] = set()
        """The address of each account."""
        self._operators: Counter[Kind] = Counter()
        self._asked = OperatorActions()
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
        return len(self._trades)

    @property
    def busts(self) -> list[NamedBust]:
        """Return the trades that were undone, in the order of the log."""
        return self._trades.busts

    def notes(self) -> Iterator[str]:
        """Yield in sentences what is not wrong and what a reader has to know."""
        yield from self._money.notes()
        if self.busts:
            yield f"trades busted for reasons that are the operator's word: {len(self.busts)}"
        if self._operators:
            counts = sorted(self._operators.items())
            kinds = ", ".join(f"{count} {kind.name}" for kind, count in counts)
            yield f"nothing proves who wanted these commands: {kinds}"
        yield from self._asked.notes()

    def consume(self, batch: Committed) -> None:
        """Take one batch of the log, with the events of the auditor's own engine."""
        self._heads += batch.heads
        for segment in self._catalog.read(batch):
            for entry in segment.entries:
                self._take(entry)

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
        for fault in self._money.judge():
            self._say(fault)
        return self.faults

    def compare(self, words: list[Acknowledgement], signer: bytes | None) -> list[str]:
        """Hold what the operator signed against the log; return what differs, in sentences.

        ``signer`` is whose word the bond answers for; None if nobody's.
        """
        return [fault for word in words for fault in self._word_faults(word, signer)]

    def _word_faults(self, word: Acknowledgement, signer: bytes | None) -> Iterator[str]:
        where = f"acknowledged command {word.sequence}"
        digest = word.signed_digest(self._domain)
        signed_by = None if digest is None else recover(digest, word.signature)
        if digest is None:
            yield f"{where}: this word, or its path, is of a form that no bond takes"
        elif signed_by is None or signed_by != word.signer:
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

    def _take(self, entry: LogEntry) -> None:
        where = f"command {entry.sequence}"
        if entry.sequence != len(self._items) + 1:
            self._say(f"{where} comes after {len(self._items)} commands")
        self._items.append(leaf_of(entry))
        time_s = entry.command.time_ns // NS
        if self._times_s and time_s < self._times_s[-1]:
            self._say(f"{where} says that it came before the one before it")
        self._times_s.append(time_s)
        kind = entry.command.kind
        if kind in OPERATORS:
            self._operators[Kind(kind)] += 1
        try:
            attachment = evidence_of(entry)
        except msgspec.DecodeError:
            self._say(f"{where}: the attachment cannot be read")
            return
        self._asked.follow(kind, attachment)
        for fault in self._command_faults(entry, attachment):
            self._say(f"{where}: {fault}")
        for fault in self._priority.follow(entry.events):
            self._say(f"{where}: {fault}")

    def _command_faults(self, entry: LogEntry, attachment: AnyAttachment | None) -> Iterator[str]:
        row, kind = entry.command, entry.command.kind
        if kind in SIGNED_KINDS:
            if isinstance(attachment, SignedOrder):
                yield from order_faults(self._catalog, self._domain, row, attachment)
                yield from self._signer_faults(entry, attachment)
            else:
                yield "an order without a signature"
        elif kind in MONEY_KINDS:
            yield from self._money.follow(entry, attachment)
        elif kind in REQUEST_KINDS:
            yield from self._requests.follow(row, attachment)
        elif kind in (Kind.LIST_TOKEN, Kind.OPEN_ACCOUNT):
            yield from self._naming_faults(entry, attachment)
        yield from self._trades.follow(entry, attachment)

    def _naming_faults(self, entry: LogEntry, attachment: AnyAttachment | None) -> Iterator[str]:
        """A number stands for one token of the contract, or for one wallet."""
        row, answer, attachment = entry.command, entry.answer, listing_of(attachment)
        if not len(answer) or answer[0].kind == EventKind.REJECTED:
            return
        if isinstance(attachment, TokenListing):
            number, tokens = row.token, self._published.tokens
            named = ListedToken(attachment.address, attachment.unit_scale)
            if number >= len(tokens) or tokens[number] != named:
                yield f"token {number} is not listed on chain like this"
            return
        address = self._catalog.address_of(row.account)
        if address in self._opened:
            yield f"0x{address.hex()} has an account already"
        self._opened.add(address)

    def _signer_faults(self, entry: LogEntry, order: SignedOrder) -> Iterator[str]:
        """Only the owner signs for an account, or a key that it has granted on chain."""
        time_s = entry.command.time_ns // NS
        if order.signer == order.account:
            return
        if not self._published.had_key(order.account, order.signer, time_s):
            yield f"0x{order.signer.hex()} had no right to sign for 0x{order.account.hex()}"

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
        late_s = max(self._times_s[first - 1 : first - 1 + count], default=0)
        if late_s > header.close_time:
            yield f"it closed at {header.close_time}, a command of it came at {late_s}"
        yield from self._trades.batch_faults(batch)

    def _say(self, fault: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(fault)
