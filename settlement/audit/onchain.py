"""What does the chain say about all batches, all money that came in and all session keys?

Read from logs and calldata, believed only as far as the contract's own heads bind it.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.types import MONEY_MAX
from settlement.batches.decode import NoBatchError, OpenedBatch, open_batch
from settlement.batches.encode import GENESIS_HEAD
from settlement.chain.chain import Chain, ChainUnavailableError
from settlement.chain.deploy import Deployment
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import keccak256
from settlement.watching.watcher import (
    DEPOSITED,
    EXIT_FINISHED,
    KEY_GRANTED,
    KEY_REVOKED,
    Deposited,
    ExitFinished,
    KeyGranted,
    KeyRevoked,
    value_of,
)

SETTLED_TOPIC: Final = keccak256(b"BatchSettled(uint64,bytes32,bytes32,bytes32)")

CLOCKS_APART_S: Final = 900
"""How far the operator's clock may be behind the blocks' when a key is used for the first time."""


class Money(NamedTuple):
    """Tokens that came into the vault or left it without the operator; amounts in pips.

    What was booked is held against this and not against where the log stood: a reorganisation may
    have moved it since.
    """

    tx_hash: bytes
    kind: str
    account: bytes
    token: bytes
    amount: int
    ref: bytes


def money_of(value: Deposited | ExitFinished) -> Money:
    """Return what ``value`` says, wherever it stands."""
    ref = value.ref if isinstance(value, Deposited) else b""
    kind = type(value).__name__
    return Money(value.at.tx_hash, kind, value.account, value.token, value.amount, ref)


class KeyChange(NamedTuple):
    """What a session key may from ``time_s`` on: everything, or nothing."""

    is_granted: bool
    time_s: int


Keys = dict[tuple[bytes, bytes], list[KeyChange]]
"""By (account, key), in chain order."""


class Published(NamedTuple):
    """Everything an auditor takes from the chain; ``faults`` if it contradicts itself."""

    batches: list[OpenedBatch]
    money: dict[Money, list[int]]
    """The blocks of all logs that say this."""

    keys: Keys
    tokens: list[bytes]
    faults: list[str]

    def had_key(self, account: bytes, key: bytes, time_s: int) -> bool:
        """Return whether ``key`` could sign for ``account`` at ``time_s``."""
        is_live = False
        for change in self.keys.get((account, key), ()):
            if change.is_granted and change.time_s <= time_s + CLOCKS_APART_S:
                is_live = True
            elif not change.is_granted and change.time_s <= time_s:
                is_live = False
        return is_live

    def is_bookable(self, money: Money) -> bool:
        """Return whether the ledger can hold it; it cannot know an exit without its deposit."""
        return not any(
            other.amount > MONEY_MAX
            for other in self.money
            if (other.account, other.token) == (money.account, money.token)
        )


def read_published(chain: Chain, deployment: Deployment) -> Published:
    """Read all batches, deposits and grants. Raises ``ChainUnavailableError``."""
    exchange, head = deployment.exchange, chain.head().number
    tokens = [token.address for token in deployment.tokens]
    faults = list(_token_faults(chain, exchange, tokens, head))
    batches: list[OpenedBatch] = []
    before = GENESIS_HEAD
    for log in chain.logs([exchange], [SETTLED_TOPIC], deployment.deploy_block, head):
        number = int.from_bytes(log.topics[1], "big")
        where = f"batch {number}"
        if number != len(batches) + 1:
            faults.append(f"{where} comes after {len(batches)} batches")
            break
        try:
            opened = open_batch(chain.calldata(log.tx_hash), deployment.domain, tokens)
        except NoBatchError as error:
            faults.append(f"{where}: {error}")
            break
        on_chain = chain.call(exchange, encode_call("batchHash", number), head)
        if opened.header.batch != number or opened.header.prev_head != before:
            faults.append(f"{where} does not follow the one before it")
        if not opened.head == on_chain == log.payload[:32]:
            faults.append(f"{where}: the calldata is not what the contract settled")
        batches.append(opened)
        before = on_chain
    settled = int.from_bytes(chain.call(exchange, encode_call("nextBatch"), head), "big") - 1
    if settled != len(batches) and not faults:
        faults.append(f"the contract has {settled} batches, the node shows {len(batches)}")
    topics = [DEPOSITED.topic, EXIT_FINISHED.topic]
    money: defaultdict[Money, list[int]] = defaultdict(list)
    for log in chain.logs([exchange], [topics], deployment.deploy_block, head):
        value = value_of(log)
        if isinstance(value, Deposited | ExitFinished):
            money[money_of(value)].append(log.block_number)
    keys = _keys(chain, deployment, head)
    return Published(batches, dict(money), keys, tokens, faults)


def _keys(chain: Chain, deployment: Deployment, head: int) -> Keys:
    topics = [KEY_GRANTED.topic, KEY_REVOKED.topic]
    keys: defaultdict[tuple[bytes, bytes], list[KeyChange]] = defaultdict(list)
    for log in chain.logs([deployment.exchange], [topics], deployment.deploy_block, head):
        value = value_of(log)
        if isinstance(value, KeyRevoked):
            keys[value.account, value.key].append(KeyChange(False, value.effective_at))
        elif isinstance(value, KeyGranted):
            block = chain.block(log.block_number)
            if block is None:
                raise ChainUnavailableError(f"the node has no block {log.block_number}")
            change = KeyChange(True, block.timestamp)
            keys[value.grant.account, value.grant.key].append(change)
    return dict(keys)


def _token_faults(chain: Chain, exchange: bytes, tokens: list[bytes], head: int) -> Iterator[str]:
    for number, token in enumerate(tokens):
        answer = chain.call(exchange, encode_call("tokens", number), head)
        if answer[12:32] != token:
            yield f"token {number} on chain is 0x{answer[12:32].hex()}, not 0x{token.hex()}"
