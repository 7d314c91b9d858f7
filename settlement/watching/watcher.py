"""What has happened on chain that the exchange must know?

Logs become typed values, in chain order. A value is ``confirmed`` when its block is deep enough;
until then it is shown again at every poll, with its confirmations, and nobody may credit it. The
cursor moves only when the caller says that everything up to there is in the journal, so a crash
shows values twice and never skips one, and so does a reorganisation, however deep;
``CreditedDeposits`` knows which are credited already, even if they are in another block now.

Each of the newest blocks is read once, by its hash, and kept with what was in it: what a poll costs
follows the blocks that are new, not what is watched nor how long it stays unconfirmed.
"""

import threading
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from settlement.chain.chain import Block, Chain, ChainUnavailableError, Log, LogFilter
from settlement.outbox.outbox import Outbox
from settlement.outbox.tables import WATCHED
from settlement.protocol.eip712 import KeyGrant, keccak256

FILTERED_MAX: Final = 200
"""Most receivers that a node is asked about by name; with more it shows all transfers, and they are
looked through here."""

REORG_BLOCKS_MAX: Final = 64
"""Deepest reorganisation that is followed."""

NEAR_BLOCKS: Final = 2 * REORG_BLOCKS_MAX
"""Most new blocks that are read one by one; who is further behind reads a stretch at once."""

STRETCH_BLOCKS: Final = 10_000
"""Most blocks read in one poll, so that catching up does not hold all of history in memory."""


class LogId(NamedTuple):
    """Where a value stands now; a reorganisation may put the same one somewhere else."""

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


class PauseSet(NamedTuple):
    """The contract's admin has paused a token, or no longer does."""

    at: LogId
    token: bytes
    is_paused: bool


class Transferred(NamedTuple):
    """A transfer to a watched address or away from it; ``raw_amount`` in raw units of ``token``.

    ``position`` counts the logs of its transaction: another block does not change it.
    """

    at: LogId
    token: bytes
    sender: bytes
    receiver: bytes
    raw_amount: int
    position: int = 0


ChainEvent = (
    Deposited
    | ExitRequested
    | ExitCancelled
    | ExitFinished
    | KeyGranted
    | KeyRevoked
    | CancelRequested
    | PauseSet
    | Transferred
)


class Observation(NamedTuple):
    """A value with its depth, 1 in the newest block, and the time of its block (unix seconds)."""

    value: ChainEvent
    confirmations: int
    confirmed: bool
    time_s: int = 0


class Poll(NamedTuple):
    """What one poll saw in blocks ``first`` to ``last``. Give ``upto`` to ``Watcher.done`` when all
    of it is dealt with."""

    observations: list[Observation]
    first: int
    last: int
    upto: int
    head: int
    is_caught_up: bool
    """Whether nothing that is deep enough was left for the next poll."""

    head_s: int = 0
    """The time of the newest block (unix seconds)."""


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

    def words(self, log: Log) -> list[int] | None:
        """Return the parameters in order as numbers, or None if the log is not laid out like this:
        anybody's token may write what it likes under our topics."""
        plain = [log.payload[i : i + 32] for i in range(0, len(log.payload), 32)]
        if len(log.topics) != 1 + len(self.indexed) or len(log.payload) != 32 * (
            self.width - len(self.indexed)
        ):
            return None
        topics, rest = iter(log.topics[1:]), iter(plain)
        words = [next(topics if i in self.indexed else rest) for i in range(self.width)]
        numbers = [int.from_bytes(word, "big") for word in words]
        types = self.signature.partition("(")[2].removesuffix(")").split(",")
        fits = all(
            len(word) == 32 and number >> _BITS[kind] == 0
            for word, number, kind in zip(words, numbers, types, strict=True)
        )
        return numbers if fits else None


_BITS: Final = {
    "address": 160,
    "bool": 1,
    "uint8": 8,
    "uint16": 16,
    "uint32": 32,
    "uint64": 64,
    "uint256": 256,
    "bytes32": 256,
}

DEPOSITED: Final = Event("Deposited(address,address,uint64,bytes32)", (0, 1, 3))
EXIT_REQUESTED: Final = Event("ExitRequested(address,address,uint64,uint64)", (0, 1))
EXIT_CANCELLED: Final = Event("ExitCancelled(address,address)", (0, 1))
EXIT_FINISHED: Final = Event("ExitFinished(address,address,uint64)", (0, 1))
KEY_GRANTED: Final = Event(
    "KeyGranted(address,address,address,address,uint8,uint32,uint64,uint64)", (0, 1)
)
KEY_REVOKED: Final = Event("KeyRevoked(address,address,uint64)", (0, 1))
CANCEL_REQUESTED: Final = Event("CancelRequested(address,uint16,bool,uint64,uint64)", (0,))
TOKEN_PAUSE_SET: Final = Event("TokenPauseSet(address,bool)", (0,))
TRANSFER: Final = Event("Transfer(address,address,uint256)", (0, 1))

UNJOURNALED_EVENTS: Final = (KEY_GRANTED, KEY_REVOKED, CANCEL_REQUESTED, TOKEN_PAUSE_SET)
"""What no journal keeps, so that it is read from the chain again at each start. A pause too: what
the journal has of it are halts, and none of a market that was listed since."""

EXCHANGE_EVENTS: Final = (
    DEPOSITED,
    EXIT_REQUESTED,
    EXIT_CANCELLED,
    EXIT_FINISHED,
    *UNJOURNALED_EVENTS,
)


class _Seen(NamedTuple):
    """One of the newest blocks, and what was in it for us."""

    block: Block
    values: list[ChainEvent]


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
        self._newest: deque[_Seen] = deque()
        """Oldest first, each the parent of the next: where one has gone, what is above it went."""
        # A reorganisation while nobody looked leaves no trace here: read a little twice instead.
        self._again_from = max(deploy_block, self.cursor - REORG_BLOCKS_MAX)
        self._watching = threading.Lock()
        self._tokens: set[bytes] = set()
        self._receivers: set[bytes] = set()
        self.head = 0
        """The newest block that was read."""
        self.reorganisations = 0
        """How often blocks that were read were gone."""

    def watch_token(self, token: bytes) -> None:
        """Look for transfers of ``token``."""
        with self._watching:
            self._tokens.add(token)

    def watch(self, receiver: bytes) -> None:
        """Look for transfers to ``receiver`` and away from it; call it before anybody learns the
        address."""
        with self._watching:
            self._receivers.add(receiver)

    def unwatch(self, receiver: bytes) -> None:
        """Stop looking for transfers of ``receiver``; none of them may be unconfirmed."""
        with self._watching:
            self._receivers.discard(receiver)

    @property
    def cursor(self) -> int:
        """Return the first block that has not been dealt with."""
        stored = self._outbox.cursor(WATCHED)
        return self._deploy_block if stored is None else stored

    def poll(self) -> Poll:
        """Return everything from the cursor to the head, in chain order.

        Raises ``ChainUnavailableError``; what was read until then need not be read again.
        """
        newest = self._chain.head()
        self._follow(newest)
        first = min(self.cursor, self._again_from)
        if self._is_far(newest, first):
            return self._stretch(newest, first)
        self._read_up_to(newest, first)
        first = min(self.cursor, self._again_from)  # Reading may have found that blocks are gone.
        head = self._newest[-1].block.number if self._newest else newest.number
        # Looked up where they are: a copy of all of them at each poll would cost with their number.
        with self._watching:
            shown = [
                (value, seen.block.timestamp)
                for seen in self._newest
                if seen.block.number >= first
                for value in seen.values
                if _is_of(value, self._receivers)
            ]
        return self._poll_of(shown, first, head, head)._replace(head_s=newest.timestamp)

    def done(self, poll: Poll) -> None:
        """Everything confirmed in ``poll`` is in the journal: show it again only if its block
        goes away."""
        self._again_from = poll.upto
        if poll.upto > self.cursor:
            self._outbox.move_cursor(WATCHED, poll.upto)
        while self._newest and self._newest[0].block.number < poll.upto - REORG_BLOCKS_MAX:
            self._newest.popleft()

    def _poll_of(
        self, shown: Iterable[tuple[ChainEvent, int]], first: int, last: int, head: int
    ) -> Poll:
        self.head = head
        observations = [
            Observation(value, depth, depth >= self._confirmations, time_s)
            for value, time_s in shown
            for depth in (head - value.at.block_number + 1,)
        ]
        deep = head - self._confirmations + 1
        upto = max(first, min(last, deep) + 1)
        return Poll(observations, first, last, upto, head, upto == deep + 1)

    # The newest blocks, one by one.

    def _follow(self, newest: Block) -> None:
        """Forget blocks that ``newest`` shows to be gone. A node that lags shows nothing."""
        at = next((s.block for s in self._newest if s.block.number == newest.number), newest)
        if at != newest:
            self._forget(newest.number)

    def _is_far(self, newest: Block, first: int) -> bool:
        """Return whether there is too much to read one by one, and nothing to hold it against."""
        if self._newest and newest.number - self._newest[-1].block.number > NEAR_BLOCKS:
            known = self._newest[-1].block
            if self._chain.block(known.number) != known:
                self._forget(known.number)
                raise ChainUnavailableError(f"block {known.number} is another one now")
            self._newest.clear()
        return not self._newest and newest.number - first >= NEAR_BLOCKS

    def _read_up_to(self, newest: Block, first: int) -> None:
        for _ in range(2 * NEAR_BLOCKS):
            known = self._newest[-1].block if self._newest else None
            number = first if known is None else known.number + 1
            if number > newest.number:
                return
            block = newest if number == newest.number else self._chain.block(number)
            if block is None:
                raise ChainUnavailableError(f"the node has no block {number} yet")
            if known is not None and block.parent_hash != known.hash:
                self._forget(known.number)
                first = min(first, self._again_from)
                continue
            logs = self._chain.logs_of(block, self._wanted())
            self._newest.append(_Seen(block, self._values(logs)))
        raise ChainUnavailableError("the chain moves while it is read")

    def _forget(self, number: int) -> None:
        """Blocks from ``number`` on are gone: read again what takes their place."""
        self.reorganisations += 1
        while self._newest and self._newest[-1].block.number >= number:
            self._newest.pop()
        # Where all that we knew is gone the fork is further back.
        back = number if self._newest else number - REORG_BLOCKS_MAX
        self._again_from = max(self._deploy_block, min(self._again_from, back))

    # What is far behind, in stretches.

    def _stretch(self, newest: Block, first: int) -> Poll:
        """Read blocks that no reorganisation reaches, many at once."""
        last = min(newest.number - REORG_BLOCKS_MAX, first + STRETCH_BLOCKS - 1)
        logs = [
            log
            for one in self._wanted()
            for log in self._chain.logs(one.addresses, one.topics, first, last)
        ]
        values = self._values(sorted(set(logs), key=_place))
        with self._watching:
            paid = [value for value in values if _is_of(value, self._receivers)]
        times: dict[int, int] = {}
        for value in paid:
            number = value.at.block_number
            if isinstance(value, Transferred) and number not in times:
                block = self._chain.block(number)
                if block is None:
                    raise ChainUnavailableError(f"the node has no block {number}")
                times[number] = block.timestamp
        shown = [(value, times.get(value.at.block_number, 0)) for value in paid]
        return self._poll_of(shown, first, last, newest.number)._replace(head_s=newest.timestamp)

    def history(self) -> list[KeyGranted | KeyRevoked | CancelRequested | PauseSet]:
        """Return what happened to keys, lanes and tokens before the cursor, for a start to build
        on."""
        topics = [event.topic for event in UNJOURNALED_EVENTS]
        logs = self._chain.logs([self._exchange], [topics], self._deploy_block, self.cursor - 1)
        values = [chain_event_of(log) for log in logs]
        kinds = KeyGranted | KeyRevoked | CancelRequested | PauseSet
        return [value for value in values if isinstance(value, kinds)]

    def _wanted(self) -> list[LogFilter]:
        topics = [event.topic for event in EXCHANGE_EVENTS]
        wanted = [LogFilter([self._exchange], [topics])]
        with self._watching:
            tokens, count = sorted(self._tokens), len(self._receivers)
            receivers = sorted(self._receivers) if count <= FILTERED_MAX else []
        if tokens and count > FILTERED_MAX:
            wanted.append(LogFilter(tokens, [TRANSFER.topic]))
        elif tokens and receivers:
            words: list[bytes] = [bytes(12) + receiver for receiver in receivers]
            wanted.append(LogFilter(tokens, [TRANSFER.topic, None, words]))
            # What leaves such an address is a sweep; without it nobody could tell a deposit that
            # came straight into the vault from one that brings in what was seen before.
            wanted.append(LogFilter(tokens, [TRANSFER.topic, words]))
        return wanted

    def _values(self, logs: list[Log]) -> list[ChainEvent]:
        """Read ``logs``; what is not for us, and what cannot be read, is left out."""
        values: list[ChainEvent] = []
        paying: list[Log] = []
        for log in logs:
            value = chain_event_of(log)
            if isinstance(value, Transferred):
                if self._is_wanted(value):
                    values.append(value)
                    paying.append(log)
            elif value is not None and log.address == self._exchange:
                values.append(value)
        positions = iter(self._chain.positions(paying) if paying else ())
        return [
            value._replace(position=next(positions)) if isinstance(value, Transferred) else value
            for value in values
        ]

    def _is_wanted(self, value: Transferred) -> bool:
        with self._watching:
            return value.token in self._tokens and _is_of(value, self._receivers)


def _is_of(value: ChainEvent, watched: set[bytes]) -> bool:
    """Return whether it is no transfer, or one to or from a watched address."""
    return not isinstance(value, Transferred) or not watched.isdisjoint(
        (value.receiver, value.sender)
    )


def _place(log: Log) -> tuple[int, int]:
    return log.block_number, log.log_index


def chain_event_of(log: Log) -> ChainEvent | None:
    """Read one log of ``EXCHANGE_EVENTS`` or a transfer; None if it is none of these."""
    event = _BY_TOPIC.get(log.topics[0]) if log.topics else None
    numbers = None if event is None else event.words(log)
    if event is None or numbers is None:
        return None
    at = LogId(log.tx_hash, log.log_index, log.block_number)
    first, second = (number.to_bytes(32, "big")[12:] for number in numbers[:2])
    match event:
        case _ if event is CANCEL_REQUESTED:
            lane, upper_half, nonce, ready_at = numbers[1:]
            return CancelRequested(at, first, lane, bool(upper_half), nonce, ready_at)
        case _ if event is DEPOSITED:
            return Deposited(at, first, second, numbers[2], numbers[3].to_bytes(32, "big"))
        case _ if event is EXIT_REQUESTED:
            return ExitRequested(at, first, second, numbers[2], numbers[3])
        case _ if event is EXIT_CANCELLED:
            return ExitCancelled(at, first, second)
        case _ if event is EXIT_FINISHED:
            return ExitFinished(at, first, second, numbers[2])
        case _ if event is KEY_GRANTED:
            base, quote = (number.to_bytes(32, "big")[12:] for number in numbers[2:4])
            sides, expiry, cap, floor = numbers[4:]
            grant = KeyGrant(first, second, base, quote, sides, expiry, cap, floor, 0)
            return KeyGranted(at, grant)
        case _ if event is KEY_REVOKED:
            return KeyRevoked(at, first, second, numbers[2])
        case _ if event is TOKEN_PAUSE_SET:
            return PauseSet(at, first, bool(numbers[1]))
        case _:
            assert event is TRANSFER, "every event has its value"
            return Transferred(at, log.address, first, second, numbers[2])


_BY_TOPIC: Final = {event.topic: event for event in (*EXCHANGE_EVENTS, TRANSFER)}
