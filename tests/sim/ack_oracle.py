"""Who remembers what was shown and promised, over all lives of the process?

``AckOracle`` follows every life of the sequencer. What it has seen once must be the same after
every restart, to the byte, and is carried out a second time by the reference engine as it comes.
Clients report their results to it; none may ever be contradicted.
"""

from hashlib import blake2b
from typing import Any

from engine.command_result import CommandResult
from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import Committed, LogEntry
from engine.reference import Engine as Reference
from engine.types import Limits, Outcome, Phase
from settlement.protocol.evidence import (
    DepositEvidence,
    ExitEvidence,
    SignedOrder,
    SignedWithdrawal,
    decode,
)

ONCE = (SignedOrder, SignedWithdrawal)


class Violated(AssertionError):
    """A promise was broken. The seed that shows it is kept for ever."""


class AckOracle:
    """A consumer that outlives its producers."""

    checkpoint_name = "witness 1"

    def __init__(self, limits: Limits, count: Any) -> None:
        self.reference = Reference(limits)
        self.prints: list[bytes] = []
        """Fingerprint of each command with its attachment, its events and its journal head."""
        self.sequence = 0
        """Where the present life is."""
        self.time_ns = 0
        self.last_trade = 0
        self._digests: dict[bytes, list[int]] = {}
        """The commands of each order or withdrawal: all but the last were refused."""
        self._taken: set[bytes] = set()
        self._evidence: dict[tuple[bytes, int], int] = {}
        self._count = count

    def reborn(self) -> None:
        """A new life begins and will show everything again."""
        self.sequence = 0

    def save(self) -> bytes:
        """See ``CheckpointedConsumer``: what a snapshot covers is not shown again."""
        return self.sequence.to_bytes(8)

    def load(self, memory: bytes) -> None:
        self._count("starts from a snapshot")
        self.sequence = int.from_bytes(memory)

    def consume(self, batch: Committed) -> None:
        """Take one batch of the present life."""
        if batch.first_sequence != self.sequence + 1:
            raise Violated(f"I7: sequence {batch.first_sequence} after {self.sequence}")
        fresh = len(self.prints) - self.sequence
        for entry, head in zip(batch.entries, batch.heads, strict=True):
            self._take(entry, head)
        self.sequence = batch.last_sequence
        if fresh < len(batch.commands):
            rows = batch.commands[max(fresh, 0) :].copy()
            expected = self.reference.apply(rows).tobytes()
            first = int(rows["sequence"][0])
            events = batch.events[batch.events["sequence"] >= first]
            if events.tobytes() != expected:
                raise Violated(f"I8: events of commands {first} ff. differ from the reference's")

    def _take(self, entry: LogEntry, head: bytes) -> None:
        parts = (entry.row.tobytes(), entry.attachment, entry.event_rows.tobytes(), head)
        found = blake2b(b"".join(parts), digest_size=16).digest()
        if entry.sequence <= len(self.prints):
            if found != self.prints[entry.sequence - 1]:
                raise Violated(f"I12: command {entry.sequence} is not what was shown before")
            return
        self.prints.append(found)
        time_ns = entry.command.time_ns
        if time_ns < self.time_ns:
            raise Violated(f"the clock ran backwards at command {entry.sequence}")
        self.time_ns = time_ns
        self._once(entry)

    def _once(self, entry: LogEntry) -> None:
        """P2: the same order, withdrawal or log entry takes effect at most once."""
        self._count(f"command {Kind(entry.command.kind).name}")
        for event in entry.events:
            kind = EventKind(event.kind)
            self._count(f"event {kind.name}")
            if kind is EventKind.TRADE:
                self.last_trade = event.trade_id
            elif kind is EventKind.PHASE_SET:
                self._count(f"phase {Phase(entry.command.amount).name}")
        first = entry.events[0] if len(entry.events) else None
        rejected = first is not None and first.kind == EventKind.REJECTED
        if rejected:
            self._count(f"outcome {Outcome(first.outcome).name}")
        attachment = decode(entry.attachment)
        if isinstance(attachment, ONCE):
            self._tried(attachment, entry)
        elif isinstance(attachment, DepositEvidence | ExitEvidence) and not rejected:
            place = (attachment.tx_hash, attachment.log_index)
            before = self._evidence.setdefault(place, entry.sequence)
            if before != entry.sequence:
                raise Violated(f"commands {before} and {entry.sequence} book one log entry")

    def _tried(self, signed: SignedOrder | SignedWithdrawal, entry: LogEntry) -> None:
        """An order that was refused may come again; what was taken, or a withdrawal, may not."""
        tries = self._digests.setdefault(signed.digest, [])
        if signed.digest in self._taken:
            raise Violated(f"P2: commands {tries[-1]} and {entry.sequence} are one order")
        if tries:
            self._count("refused order tried again")
        tries.append(entry.sequence)
        kinds = {event.kind for event in entry.answer}
        refused = kinds & {int(EventKind.REJECTED)}
        if isinstance(signed, SignedWithdrawal) or not refused:
            self._taken.add(signed.digest)
            if len(tries) > 1:
                self._count("refused order taken later")

    def nothing_is_missing(self) -> None:
        """After a recovery: all that was ever shown is there."""
        if self.sequence < len(self.prints):
            raise Violated(
                f"P1: {len(self.prints)} commands were carried out, {self.sequence} are left"
            )

    def answered(self, digest: bytes, result: CommandResult) -> None:
        """A client was told something of the order or withdrawal with ``digest``."""
        if result.sequence == 0:
            return
        if result.sequence > len(self.prints):
            raise Violated(f"P1: command {result.sequence} was acknowledged and not seen")
        if result.sequence not in self._digests.get(digest, ()):
            raise Violated(f"P1: the result names command {result.sequence}, which is another's")

    def agree(self, engine: Any) -> None:
        """The full check: invariants of both engines, and one hash."""
        engine.check()
        self.reference.check()
        if engine.state_hash() != self.reference.state_hash():
            raise Violated(f"I8: state hashes differ after command {self.sequence}")
