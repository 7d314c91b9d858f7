"""What does settlement decide, and which words are there for how far it is?"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class ActionKind(StrEnum):
    """What an action does."""

    BATCH = "batch"
    WITHDRAWAL = "withdrawal"
    SWEEP = "sweep"
    GRANT = "grant"
    REVOKE = "revoke"
    AUTHORIZATION = "authorization"
    """A payer's transfer by signature; see ``settlement.outbox.authorizations``."""
    VOID = "void"
    """Nothing at all, to use up a nonce: of what no block can carry, or one that is missing."""
    OTHER = "other"


class ActionState(StrEnum):
    """How far an action is."""

    SEALED = "sealed"
    """Content fixed."""
    SIGNED = "signed"
    """Nonce, raw bytes and hash are stored; the node may have heard of it."""
    BROADCAST = "broadcast"
    """The node has taken it."""
    MINED = "mined"
    """In a block."""
    FINAL = "final"
    """Deep enough in the chain. The end."""
    FAILED = "failed"
    """The contract refused it; ``error`` says why."""
    ABANDONED = "abandoned"
    """A batch that will never be: it was refused, or stands on one that was. The end."""


ACTION_EDGES: Final[Mapping[ActionState, frozenset[ActionState]]] = {
    # MINED at once: what was sent at a nonce that was given up is in, or somebody else sent it.
    ActionState.SEALED: frozenset(
        {ActionState.SIGNED, ActionState.MINED, ActionState.FAILED, ActionState.ABANDONED}
    ),
    # SIGNED again with a higher fee; SEALED again without its nonce, which was another's.
    ActionState.SIGNED: frozenset(
        {
            ActionState.SIGNED,
            ActionState.BROADCAST,
            ActionState.MINED,
            ActionState.FAILED,
            ActionState.SEALED,
        }
    ),
    ActionState.BROADCAST: frozenset(
        {ActionState.SIGNED, ActionState.MINED, ActionState.FAILED, ActionState.SEALED}
    ),
    # A reorganisation takes it back to where its transaction is: with the node, or nowhere. MINED
    # again: found by its own receipt in the step that found it where its void was to be.
    ActionState.MINED: frozenset(
        {ActionState.MINED, ActionState.FINAL, ActionState.BROADCAST, ActionState.SEALED}
    ),
    ActionState.FINAL: frozenset({ActionState.BROADCAST, ActionState.SEALED}),
    # MINED after all: it was the one that used the nonce of its void, or a stranger sent it.
    ActionState.FAILED: frozenset(
        {ActionState.BROADCAST, ActionState.SEALED, ActionState.MINED, ActionState.ABANDONED}
    ),
    ActionState.ABANDONED: frozenset(),
}


def states_before(state: ActionState) -> list[ActionState]:
    """Return from where ``state`` may be entered."""
    return [before for before, nexts in ACTION_EDGES.items() if state in nexts]


class Call(NamedTuple):
    """The unchanging content of an action. ``key`` is unique in its ``kind``: exactly once."""

    kind: ActionKind
    key: str
    to: bytes
    calldata: bytes
    gas_limit: int


class Action(NamedTuple):
    """One row; ``raw`` and ``fee_max`` are those of the newest transmission, fees in wei."""

    id: int
    kind: ActionKind
    key: str
    to: bytes
    calldata: bytes
    gas_limit: int
    state: ActionState
    nonce: int | None
    raw: bytes | None
    fee_max: int | None
    tip_max: int | None
    sent_ns: int | None
    block_number: int | None
    block_hash: bytes | None
    mined_hash: bytes | None
    gas_used: int | None
    error: str | None
    sealed_ns: int
    mined_ns: int | None
    final_ns: int | None


class Mined(NamedTuple):
    """What it takes to see whether the block of an action is still there."""

    id: int
    state: ActionState
    block_number: int
    block_hash: bytes


class Batch(NamedTuple):
    """What a batch settles; trade ids and sequences are ranges with both ends included."""

    number: int
    first_trade: int
    last_trade: int
    first_sequence: int
    last_sequence: int
    prev_head: bytes
    head: bytes
    close_time: int
    log_root: bytes
    trades_root: bytes


class BatchState(NamedTuple):
    """A batch and how far it is; ``tx_hash`` of the newest transmission, or the mined one."""

    batch: Batch
    action_id: int
    state: ActionState
    tx_hash: bytes | None
    block_number: int | None
    gas_used: int | None
    error: str | None


class Change(NamedTuple):
    """An action entered ``state``; ``id`` grows without bound and orders all changes."""

    id: int
    action_id: int
    kind: ActionKind
    key: str
    state: ActionState
    at_ns: int


class WithdrawalState(NamedTuple):
    """How far a countersigned withdrawal is, as ``ActionState`` says."""

    state: str
    tx_hash: bytes | None
    error: str | None


def batch_number(key: str) -> int:
    """Return the number of the batch whose action has ``key``."""
    return int(key.partition(".")[0])
