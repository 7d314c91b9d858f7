"""Which withdrawals have to be given back, because the contract never paid them?

The ledger is debited when a withdrawal is asked for; the contract pays later, or refuses. Both
signatures of a refused one are public, so anybody may send it again while it lasts: it is given
back only when its expiry has passed in a block that is final and no log says that it was paid.
"""

from typing import Final, NamedTuple

import msgspec
from eth_abi.abi import decode as abi_decode

from engine.commands import Kind
from engine.events import EventKind
from engine.frames import Committed
from settlement.actions import Action, ActionKind, ActionState
from settlement.artifacts import abi_types
from settlement.attachments import WithdrawalReturned, decode
from settlement.chain import Chain
from settlement.eip712 import keccak256
from settlement.outbox import Outbox

WITHDRAWN_TOPIC: Final = keccak256(b"Withdrawn(address,address,address,uint64,uint64)")
LOOKED_AT_MAX: Final = 100


class Return(NamedTuple):
    """Give ``amount`` pips back to ``account``: the debit of command ``sequence`` is void."""

    sequence: int
    account: bytes
    token: bytes
    amount: int
    reason: str


class Returns:
    """Knows what was given back already (a consumer) and finds what is due.

    ``look`` belongs to the settlement's worker.
    """

    memory_name = "returns/1"

    def __init__(
        self, chain: Chain, outbox: Outbox, exchange: bytes, deploy_block: int, confirmations: int
    ) -> None:
        self._chain = chain
        self._outbox = outbox
        self._exchange = exchange
        self._deploy_block = deploy_block
        self._confirmations = confirmations
        self._done: set[int] = set()
        self._found: list[Return] = []

    def save(self) -> bytes:
        """See ``engine.frames.Rememberer``."""
        return msgspec.msgpack.encode(sorted(self._done.copy()))

    def load(self, memory: bytes) -> None:
        """See ``engine.frames.Rememberer``."""
        self._done = set(msgspec.msgpack.decode(memory, type=list[int]))

    def consume(self, batch: Committed) -> None:
        """See ``engine.frames.Consumer``."""
        if not (batch.commands["kind"] == Kind.DEPOSIT).any():
            return
        for frame in batch.frames():
            if frame.command["kind"] != Kind.DEPOSIT or not len(frame.events):
                continue
            attachment = decode(frame.attachment)
            if (
                isinstance(attachment, WithdrawalReturned)
                and frame.answer[0]["kind"] == EventKind.DEPOSITED
            ):
                self._done.add(attachment.sequence)

    def is_void(self, sequence: int) -> bool:
        """Return whether the withdrawal of command ``sequence`` was given back, or paid."""
        return sequence in self._done

    def due(self) -> list[Return]:
        """Return what can be given back and was not yet."""
        return [found for found in self._found if found.sequence not in self._done]

    def look(self) -> None:
        """Ask the chain what can be given back now. Raises ``ChainUnavailableError``."""
        failed = self._outbox.in_state(ActionState.FAILED, limit=LOOKED_AT_MAX)
        refused = [
            action
            for action in failed
            if action.kind is ActionKind.WITHDRAWAL and int(action.key) not in self._done
        ]
        if not refused:
            self._found = []
            return
        final = self._chain.block(self._chain.head().number - self._confirmations + 1)
        if final is None:
            return
        self._found = [
            found
            for action in refused
            if (found := self._of(action, final.number, final.timestamp)) is not None
        ]

    def _of(self, action: Action, final_number: int, final_time: int) -> Return | None:
        withdrawal = withdrawal_of(action)
        if final_time <= withdrawal.expiry:
            return None
        if self.is_paid(action.id, withdrawal, final_number):
            self._done.add(int(action.key))  # Somebody else sent it.
            return None
        account, token, amount = withdrawal.account, withdrawal.token, withdrawal.amount
        return Return(int(action.key), account, token, amount, action.error or "")

    def is_paid(self, action_id: int, withdrawal: "Withdrawal", block: int) -> bool:
        """Return whether a log up to ``block`` says that it was paid, whoever sent it."""
        parties = [bytes(12) + withdrawal.account, bytes(12) + withdrawal.token]
        first = max(self._deploy_block, self._outbox.block_before(action_id))
        logs = self._chain.logs([self._exchange], [WITHDRAWN_TOPIC, *parties], first, block)
        return any(int.from_bytes(log.payload[-32:], "big") == withdrawal.nonce for log in logs)


class Withdrawal(NamedTuple):
    """What an action pays out, as the contract reads it."""

    account: bytes
    token: bytes
    amount: int
    nonce: int
    expiry: int


def withdrawal_of(action: Action) -> Withdrawal:
    """Return what a withdrawal's action pays out."""
    types = abi_types("Exchange", "function", "withdraw")
    (account, token, amount, _, nonce, expiry), _, _, _ = abi_decode(types, action.calldata[4:])
    owner, asset = bytes.fromhex(account[2:]), bytes.fromhex(token[2:])
    return Withdrawal(owner, asset, amount, nonce, expiry)
