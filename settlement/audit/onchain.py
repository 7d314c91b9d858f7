"""What does the chain say about all batches, all money that came or went and all session keys?

Read from logs and calldata, believed only as far as the contract's own heads bind it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from engine.types import MONEY_MAX
from settlement.batches.decode import NoBatchError, OpenedBatch, open_batch
from settlement.batches.encode import GENESIS_HEAD
from settlement.chain.chain import Chain, ChainUnavailableError
from settlement.chain.deploy import Deployment
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import keccak256
from settlement.watching.deposits import Money as Moved
from settlement.watching.watcher import (
    CANCEL_REQUESTED,
    DEPOSITED,
    EXIT_CANCELLED,
    EXIT_FINISHED,
    EXIT_REQUESTED,
    KEY_GRANTED,
    KEY_REVOKED,
    CancelRequested,
    Deposited,
    Event,
    ExitCancelled,
    ExitFinished,
    ExitRequested,
    KeyGranted,
    KeyRevoked,
    chain_event_of,
)

SETTLED_TOPIC: Final = keccak256(b"BatchSettled(uint64,bytes32,bytes32,bytes32)")

WITHDRAWN: Final = Event("Withdrawn(address,address,address,uint64,uint64)", (0, 1))

CLOCKS_APART_S: Final = 900
"""How far the operator's clock may be behind the blocks' when a key is used for the first time."""


class Money(NamedTuple):
    """Tokens that came into the vault or left it without the operator, and exits that were asked
    for or taken back; amounts in pips, 0 where nothing moved.

    A request has no token here: the ledger freezes the account, whichever it is of. What was booked
    is held against this and not against where the log stood: a reorganisation may have moved it.
    """

    tx_hash: bytes
    kind: str
    account: bytes
    token: bytes
    amount: int
    ref: bytes

    def __str__(self) -> str:
        moved = f", {self.amount} pips of 0x{self.token.hex()}" if self.token else ""
        named = f", reference 0x{self.ref.hex()}" if self.ref.strip(bytes(1)) else ""
        where = f"in transaction 0x{self.tx_hash.hex()}"
        return f"{self.kind} of 0x{self.account.hex()}{moved}{named} {where}"


def money_of(value: Moved) -> Money:
    """Return what ``value`` says, wherever it stands."""
    tx_hash, account, kind = value.at.tx_hash, value.account, type(value).__name__
    match value:
        case ExitRequested():
            return Money(tx_hash, kind, account, b"", 0, b"")
        case ExitCancelled(_, _, token):
            return Money(tx_hash, kind, account, token, 0, b"")
        case ExitFinished(_, _, token, amount):
            return Money(tx_hash, kind, account, token, amount, b"")
        case Deposited(_, _, token, amount, ref):
            return Money(tx_hash, kind, account, token, amount, ref)


class Payment(NamedTuple):
    """A withdrawal that the vault has paid; the contract takes no nonce of an account twice."""

    account: bytes
    token: bytes
    to: bytes
    amount: int
    nonce: int

    def __str__(self) -> str:
        owner, what = f"0x{self.account.hex()}", f"{self.amount} pips of 0x{self.token.hex()}"
        return f"Withdrawn of {owner}, {what} to 0x{self.to.hex()}, nonce {self.nonce},"


class ListedToken(NamedTuple):
    """A token as the contract lists it."""

    address: bytes
    unit_scale: int


class KeyChange(NamedTuple):
    """What a session key may from ``time_s`` on: everything, or nothing."""

    is_granted: bool
    time_s: int


Keys = dict[tuple[bytes, bytes], list[KeyChange]]
"""By (account, key), in chain order."""


class LaneCancel(NamedTuple):
    """A half of a lane that its owner cancelled on chain; lane 0 is the window of single shots."""

    tx_hash: bytes
    account: bytes
    lane: int
    upper_half: bool


Revocation = tuple[bytes, bytes, bytes]
"""(transaction, account, session key)."""


class Published(NamedTuple):
    """Everything an auditor takes from the chain; ``faults`` if it contradicts itself."""

    batches: list[OpenedBatch]
    money: dict[Money, list[int]]
    """The blocks of all logs that say this."""

    payments: dict[Payment, int]
    """The block of each."""

    keys: Keys
    tokens: list[ListedToken]
    """By number."""

    faults: list[str]

    revocations: frozenset[Revocation]
    lane_cancels: Mapping[LaneCancel, int]
    """The highest nonce that each catches."""

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
    """Read all batches, deposits, exits, payments and grants. Raises ``ChainUnavailableError``."""
    exchange, head = deployment.exchange, chain.head().number
    tokens = [token.address for token in deployment.tokens]
    listed = [_token(chain, exchange, number, head) for number in range(len(tokens))]
    faults = list(_token_faults(listed, tokens))
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
    money, payments = _money(chain, deployment, head), _payments(chain, deployment, head)
    return Published(
        *(batches, money, payments, _keys(chain, deployment, head), listed, faults),
        *_cancels(chain, deployment, head),
    )


def _money(chain: Chain, deployment: Deployment, head: int) -> dict[Money, list[int]]:
    events = (DEPOSITED, EXIT_REQUESTED, EXIT_CANCELLED, EXIT_FINISHED)
    topics = [event.topic for event in events]
    money: defaultdict[Money, list[int]] = defaultdict(list)
    for log in chain.logs([deployment.exchange], [topics], deployment.deploy_block, head):
        value = chain_event_of(log)
        if isinstance(value, Moved):
            money[money_of(value)].append(log.block_number)
    return dict(money)


def _payments(chain: Chain, deployment: Deployment, head: int) -> dict[Payment, int]:
    payments = {}
    exchange, first = deployment.exchange, deployment.deploy_block
    for log in chain.logs([exchange], [WITHDRAWN.topic], first, head):
        words = WITHDRAWN.words(log)
        if words is not None:
            account, token, to = (word.to_bytes(20, "big") for word in words[:3])
            payments[Payment(account, token, to, *words[3:])] = log.block_number
    return payments


def _keys(chain: Chain, deployment: Deployment, head: int) -> Keys:
    topics = [KEY_GRANTED.topic, KEY_REVOKED.topic]
    keys: defaultdict[tuple[bytes, bytes], list[KeyChange]] = defaultdict(list)
    for log in chain.logs([deployment.exchange], [topics], deployment.deploy_block, head):
        value = chain_event_of(log)
        if isinstance(value, KeyRevoked):
            keys[value.account, value.key].append(KeyChange(False, value.effective_at))
        elif isinstance(value, KeyGranted):
            block = chain.block(log.block_number)
            if block is None:
                raise ChainUnavailableError(f"the node has no block {log.block_number}")
            change = KeyChange(True, block.timestamp)
            keys[value.grant.account, value.grant.key].append(change)
    return dict(keys)


def _cancels(
    chain: Chain, deployment: Deployment, head: int
) -> tuple[frozenset[Revocation], dict[LaneCancel, int]]:
    """Return what owners have done on chain that ends orders here."""
    topics = [KEY_REVOKED.topic, CANCEL_REQUESTED.topic]
    revocations: set[Revocation] = set()
    lane_cancels: dict[LaneCancel, int] = {}
    for log in chain.logs([deployment.exchange], [topics], deployment.deploy_block, head):
        value = chain_event_of(log)
        if isinstance(value, KeyRevoked):
            revocations.add((log.tx_hash, value.account, value.key))
        elif isinstance(value, CancelRequested):
            found = LaneCancel(log.tx_hash, value.account, value.lane, value.upper_half)
            lane_cancels[found] = max(value.nonce, lane_cancels.get(found, 0))
    return frozenset(revocations), lane_cancels


def _token(chain: Chain, exchange: bytes, number: int, head: int) -> ListedToken:
    answer = chain.call(exchange, encode_call("tokens", number), head)
    return ListedToken(answer[12:32], int.from_bytes(answer[32:64], "big", signed=True))


def _token_faults(listed: list[ListedToken], tokens: list[bytes]) -> Iterator[str]:
    for number, (on_chain, token) in enumerate(zip(listed, tokens, strict=True)):
        if on_chain.address != token:
            yield f"token {number} on chain is 0x{on_chain.address.hex()}, not 0x{token.hex()}"
