"""What has happened on chain that the exchange must know?

Logs become typed values, in chain order. A value is ``confirmed`` when its block is deep enough;
until then it is shown again at every poll, with its confirmations, and nobody may credit it. The
cursor moves only when the caller says that everything up to there is in the journal, so a crash
shows values twice and never skips one, and so does a reorganisation, however deep; ``DepositBook``
knows which are credited already, even if they are in another block now.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from engine.commands import Kind
from engine.events import EventKind
from engine.frames import Committed
from settlement.attachments import DepositEvidence, ExitEvidence, WithdrawalReturned, decode
from settlement.catalog import Catalog
from settlement.chain import Block, Chain, Log
from settlement.eip712 import KeyGrant, keccak256
from settlement.outbox import Outbox

CURSOR: Final = "watcher"
"""Name of the stored position: the first block that has not been dealt with."""

WATCHED_CHUNK: Final = 200
"""Most receiver addresses in one log filter."""

REORG_BLOCKS_MAX: Final = 64
"""Deepest reorganisation that is followed."""

STRETCH_BLOCKS: Final = 10_000
"""Most blocks read in one poll, so that catching up does not hold all of history in memory."""


class LogId(NamedTuple):
    """Where a value comes from; ``(tx_hash, log_index)`` never means two things."""

    tx_hash: bytes
    log_index: int
    block_number: int


class Deposited(NamedTuple):
    """Tokens arrived in the vault; ``amount`` in pips."""

    at: LogId
    account: bytes
    token: bytes
    amount: int
    ref: bytes


class ExitRequested(NamedTuple):
    """An account wants ``amount`` pips out, from ``ready_at`` (unix seconds) on."""

    at: LogId
    account: bytes
    token: bytes
    amount: int
    ready_at: int


class ExitCancelled(NamedTuple):
    """An account took its request back."""

    at: LogId
    account: bytes
    token: bytes


class ExitFinished(NamedTuple):
    """``amount`` pips were paid out."""

    at: LogId
    account: bytes
    token: bytes
    amount: int


class KeyGranted(NamedTuple):
    """A session key is live; ``grant.nonce`` is 0, for the log does not carry it."""

    at: LogId
    grant: KeyGrant


class KeyRevoked(NamedTuple):
    """A session key ends at ``effective_at`` (unix seconds)."""

    at: LogId
    account: bytes
    key: bytes
    effective_at: int


class CancelRequested(NamedTuple):
    """An account wants its orders up to ``nonce`` dead on a lane half, or in its window (0)."""

    at: LogId
    account: bytes
    lane: int
    upper_half: bool
    nonce: int
    ready_at: int


class Transferred(NamedTuple):
    """A transfer to a watched address or away from it; ``raw_amount`` in raw units of ``token``."""

    at: LogId
    token: bytes
    sender: bytes
    receiver: bytes
    raw_amount: int


Value = (
    Deposited
    | ExitRequested
    | ExitCancelled
    | ExitFinished
    | KeyGranted
    | KeyRevoked
    | CancelRequested
    | Transferred
)


class Sighting(NamedTuple):
    """A value with its depth: 1 in the newest block."""

    value: Value
    confirmations: int
    confirmed: bool


class Poll(NamedTuple):
    """What one poll saw in blocks ``first`` to ``last``. Give ``upto`` to ``Watcher.done`` when all
    of it is dealt with."""

    sightings: list[Sighting]
    first: int
    last: int
    upto: int
    head: int
    is_caught_up: bool
    """Whether nothing that is deep enough was left for the next poll."""


class Event(NamedTuple):
    """How a log is laid out; ``indexed`` are the parameters that stand in topics."""

    signature: str
    indexed: tuple[int, ...]

    @property
    def topic(self) -> bytes:
        """Return the topic that names the event."""
        return keccak256(self.signature.encode())

    @property
    def width(self) -> int:
        """Return the number of parameters."""
        return self.signature.count(",") + 1

    def words(self, log: Log) -> list[bytes]:
        """Return the parameters in order, 32 bytes each: all our types are static."""
        topics = iter(log.topics[1:])
        plain = iter(log.payload[i : i + 32] for i in range(0, len(log.payload), 32))
        return [next(topics if i in self.indexed else plain) for i in range(self.width)]


DEPOSITED: Final = Event("Deposited(address,address,uint64,bytes32)", (0, 1, 3))
EXIT_REQUESTED: Final = Event("ExitRequested(address,address,uint64,uint64)", (0, 1))
EXIT_CANCELLED: Final = Event("ExitCancelled(address,address)", (0, 1))
EXIT_FINISHED: Final = Event("ExitFinished(address,address,uint64)", (0, 1))
KEY_GRANTED: Final = Event(
    "KeyGranted(address,address,address,address,uint8,uint32,uint64,uint64)", (0, 1)
)
KEY_REVOKED: Final = Event("KeyRevoked(address,address,uint64)", (0, 1))
CANCEL_REQUESTED: Final = Event("CancelRequested(address,uint16,bool,uint64,uint64)", (0,))
TRANSFER: Final = Event("Transfer(address,address,uint256)", (0, 1))

UNJOURNALED_EVENTS: Final = (KEY_GRANTED, KEY_REVOKED, CANCEL_REQUESTED)
"""What no journal keeps, so that it is read from the chain again at each start."""

EXCHANGE_EVENTS: Final = (
    DEPOSITED,
    EXIT_REQUESTED,
    EXIT_CANCELLED,
    EXIT_FINISHED,
    *UNJOURNALED_EVENTS,
)


class Watcher:
    """Reads the exchange's logs and plain transfers to watched addresses.

    One thread polls; any thread may watch and unwatch.
    """

    def __init__(
        self,
        chain: Chain,
        outbox: Outbox,
        exchange: bytes,
        deploy_block: int,
        confirmations: int,
    ) -> None:
        """``confirmations`` counts the block itself as the first; at least 1."""
        assert confirmations >= 1, "a value in no block is not a value"
        self._chain = chain
        self._outbox = outbox
        self._exchange = exchange
        self._deploy_block = deploy_block
        self._confirmations = confirmations
        self._trail: deque[Block] = deque(maxlen=REORG_BLOCKS_MAX)
        """Heads that were seen, oldest first: where one has gone, its logs are read again."""
        # A reorganisation while nobody looked leaves no trail: read a little twice instead.
        self._again_from = max(deploy_block, self.cursor - REORG_BLOCKS_MAX)
        self._watching = threading.Lock()
        self._tokens: set[bytes] = set()
        self._receivers: set[bytes] = set()

    def watch_token(self, token: bytes) -> None:
        """Look for transfers of ``token``."""
        with self._watching:
            self._tokens.add(token)

    def watch(self, receiver: bytes) -> None:
        """Look for transfers to ``receiver``; call it before anybody learns the address."""
        with self._watching:
            self._receivers.add(receiver)

    def unwatch(self, receiver: bytes) -> None:
        """Stop looking for transfers to ``receiver``."""
        with self._watching:
            self._receivers.discard(receiver)

    @property
    def cursor(self) -> int:
        """Return the first block that has not been dealt with."""
        stored = self._outbox.cursor(CURSOR)
        return self._deploy_block if stored is None else stored

    def poll(self) -> Poll:
        """Return everything from the cursor to the head, in chain order.

        Raises ``ChainUnavailableError``.
        """
        newest = self._chain.head()
        self._follow(newest)
        first, head = min(self.cursor, self._again_from), newest.number
        last = min(head, first + STRETCH_BLOCKS - 1)
        sightings = [
            Sighting(
                value_of(log),
                head - log.block_number + 1,
                head - log.block_number + 1 >= self._confirmations,
            )
            for log in sorted(set(self._logs(first, last)), key=_place)
        ]
        deep = head - self._confirmations + 1
        upto = max(first, min(last, deep) + 1)
        return Poll(sightings, first, last, upto, head, upto == deep + 1)

    def done(self, poll: Poll) -> None:
        """Everything confirmed in ``poll`` is in the journal: show it again only if its block
        goes away."""
        self._again_from = poll.upto
        if poll.upto > self.cursor:
            self._outbox.move_cursor(CURSOR, poll.upto)

    def _follow(self, newest: Block) -> None:
        """Go back to where the chain still is what was seen, however deep that is."""
        while self._trail and not self._is_there(self._trail[-1]):
            lost = self._trail.pop()
            below = self._trail[-1].number + 1 if self._trail else lost.number - REORG_BLOCKS_MAX
            self._again_from = max(self._deploy_block, min(self._again_from, below))
        if not self._trail or self._trail[-1].number < newest.number:
            self._trail.append(newest)

    def _is_there(self, seen: Block) -> bool:
        block = self._chain.block(seen.number)
        return block is not None and block.hash == seen.hash

    def history(self) -> list[KeyGranted | KeyRevoked | CancelRequested]:
        """Return what happened to keys and lanes before the cursor, for a start to build on."""
        topics = [event.topic for event in UNJOURNALED_EVENTS]
        logs = self._chain.logs([self._exchange], [topics], self._deploy_block, self.cursor - 1)
        values = [value_of(log) for log in logs]
        kinds = KeyGranted | KeyRevoked | CancelRequested
        return [value for value in values if isinstance(value, kinds)]

    def _logs(self, first: int, last: int) -> Iterable[Log]:
        if first > last:
            return
        topics = [event.topic for event in EXCHANGE_EVENTS]
        yield from self._chain.logs([self._exchange], [topics], first, last)
        with self._watching:
            receivers, tokens = sorted(self._receivers), sorted(self._tokens)
        if not tokens:
            return
        for i in range(0, len(receivers), WATCHED_CHUNK):
            chunk = [bytes(12) + receiver for receiver in receivers[i : i + WATCHED_CHUNK]]
            yield from self._chain.logs(tokens, [TRANSFER.topic, None, chunk], first, last)
            # What leaves such an address is a sweep; without it nobody could tell a deposit that
            # came straight into the vault from one that brings in what was seen before.
            yield from self._chain.logs(tokens, [TRANSFER.topic, chunk], first, last)


def _place(log: Log) -> tuple[int, int]:
    return log.block_number, log.log_index


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")


def value_of(log: Log) -> Value:
    """Read one log of ``EXCHANGE_EVENTS`` or a transfer."""
    event = _BY_TOPIC[log.topics[0]]
    at = LogId(log.tx_hash, log.log_index, log.block_number)
    words = event.words(log)
    first, second = words[0][12:], words[1][12:]
    numbers = [_number(word) for word in words]
    if event is CANCEL_REQUESTED:
        lane, upper_half, nonce, ready_at = numbers[1:]
        return CancelRequested(at, first, lane, bool(upper_half), nonce, ready_at)
    if event is DEPOSITED:
        return Deposited(at, first, second, numbers[2], words[3])
    if event is EXIT_REQUESTED:
        return ExitRequested(at, first, second, numbers[2], numbers[3])
    if event is EXIT_CANCELLED:
        return ExitCancelled(at, first, second)
    if event is EXIT_FINISHED:
        return ExitFinished(at, first, second, numbers[2])
    if event is KEY_GRANTED:
        base, quote = words[2][12:], words[3][12:]
        sides, expiry, cap, floor = numbers[4:]
        return KeyGranted(at, KeyGrant(first, second, base, quote, sides, expiry, cap, floor, 0))
    if event is KEY_REVOKED:
        return KeyRevoked(at, first, second, numbers[2])
    assert event is TRANSFER, "every event has its value"
    return Transferred(at, log.address, first, second, numbers[2])


_BY_TOPIC: Final = {event.topic: event for event in (*EXCHANGE_EVENTS, TRANSFER)}


Entry = tuple[bytes, int, int, int, int]
"""(transaction, kind of command, account, token, amount): what is booked, wherever its log is. A
reorganisation may put a transaction into another block, and its log at another index."""


class DepositBook:
    """A consumer that knows which log entries are in the journal already.

    The catalog must be an earlier consumer of the same pipeline.
    """

    memory_name = "deposits/1"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._booked: Counter[Entry] = Counter()

    def save(self) -> bytes:
        """See ``engine.frames.Rememberer``."""
        return msgspec.msgpack.encode(sorted(self._booked.items()))

    def load(self, memory: bytes) -> None:
        """See ``engine.frames.Rememberer``."""
        self._booked = Counter(dict(msgspec.msgpack.decode(memory, type=list[tuple[Entry, int]])))

    def consume(self, batch: Committed) -> None:
        """See ``engine.frames.Consumer``."""
        kinds = batch.commands["kind"]
        if not ((kinds == Kind.DEPOSIT) | (kinds >= Kind.EXIT_BEGIN)).any():
            return
        for frame in batch.frames():
            row = frame.command
            if row["kind"] not in (Kind.DEPOSIT, Kind.EXIT_BEGIN, Kind.EXIT_END, Kind.POISON):
                continue
            if frame.answer[0]["kind"] == EventKind.REJECTED:
                continue
            evidence = decode(frame.attachment)
            if isinstance(evidence, WithdrawalReturned):
                continue
            if row["kind"] == Kind.POISON and not isinstance(
                evidence, DepositEvidence | ExitEvidence
            ):
                continue
            assert isinstance(evidence, DepositEvidence | ExitEvidence), "money needs evidence"
            booked_as = [int(row["kind"])]
            if row["kind"] == Kind.POISON:
                # It counts too, as what it was: sent again it would stop the engine again.
                # Reconciliation shows what it has not moved.
                is_deposit = isinstance(evidence, DepositEvidence)
                booked_as = [Kind.DEPOSIT] if is_deposit else [Kind.EXIT_BEGIN, Kind.EXIT_END]
            account, token, amount = (int(row[name]) for name in ("account", "token", "amount"))
            for kind in booked_as:
                self._booked[evidence.tx_hash, kind, account, token, amount] += 1

    def unbooked(self, values: Iterable[Value]) -> list[Value]:
        """Return those of ``values`` that the journal lacks. All of a block, or none, are here."""
        left, missing = Counter(self._booked), []
        for value in values:
            entry = self._entry(value)
            if entry is not None and left[entry] > 0:
                left[entry] -= 1
            else:
                missing.append(value)
        return missing

    def _entry(self, value: Value) -> Entry | None:
        """Return how ``value`` would be booked; None if it cannot have been."""
        account = self._catalog.account_number(_account_of(value))
        if account is None:
            return None
        if isinstance(value, ExitRequested):
            return value.at.tx_hash, Kind.EXIT_BEGIN, account, 0, 0
        if not isinstance(value, Deposited | ExitCancelled | ExitFinished):
            return None
        token = self._catalog.token_by_address(value.token)
        if token is None:
            return None
        kind = Kind.DEPOSIT if isinstance(value, Deposited) else Kind.EXIT_END
        amount = 0 if isinstance(value, ExitCancelled) else value.amount
        return value.at.tx_hash, kind, account, token.number, amount


def _account_of(value: Value) -> bytes:
    if isinstance(value, Transferred):
        return value.receiver
    return value.grant.account if isinstance(value, KeyGranted) else value.account
