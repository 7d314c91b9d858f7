"""A chain in memory that reorganises, drops, forgets and answers late.

``Blocks`` is the chain itself: transactions wait in a pool, blocks carry them out on a copy of
``Ledgers``, a reorganisation goes back to an older copy. ``Node`` is how the product sees it: the
``settlement.chain.chain.Chain`` protocol, where every call may fail before or after it took effect
and every answer may be as old as a node that lags.
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

import msgspec

from settlement.chain.chain import (
    Block,
    BlockTag,
    CallRevertedError,
    ChainUnavailableError,
    Log,
    LogFilter,
    Receipt,
    Sending,
    Sent,
)
from settlement.chain.signer import Transaction
from settlement.protocol.eip712 import address_of_secret, keccak256, sign
from tests.sim.contract import Ledgers, Machine, RefusedError, output_of

BASE_FEE: Final = 10**9
NOWHERE: Final = b"\x99" * 20
BUMP_PPM: Final = 1_100_000
"""A node takes a replacement only for a tenth more."""


class Signed(msgspec.Struct, frozen=True):
    """A raw transaction here: the fields, and who sends it. Real signatures cost milliseconds."""

    sender: bytes
    nonce: int
    to: bytes
    calldata: bytes
    gas_limit: int
    fee_max: int
    tip_max: int

    @property
    def raw(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @property
    def hash(self) -> bytes:
        return keccak256(self.raw)


class SimSigner:
    """``settlement.chain.signer.Signer``: digests are signed for real, transactions just framed."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.address = address_of_secret(secret)

    def sign_transaction(self, transaction: Transaction) -> bytes:
        assert transaction.to is not None, "nothing is created here"
        return Signed(
            self.address,
            transaction.nonce,
            transaction.to,
            transaction.calldata,
            transaction.gas_limit,
            transaction.fee_max,
            transaction.tip_max,
        ).raw

    def sign_digest(self, digest: bytes) -> bytes:
        return sign(digest, self._secret)


class Sealed(NamedTuple):
    """One block with everything that followed from it."""

    block: Block
    transactions: list[Signed]
    receipts: dict[bytes, Receipt]
    logs: list[Log]
    after: Ledgers
    nonces: dict[bytes, int]


class Blocks:
    """The chain itself."""

    def __init__(self, machine: Machine, start_s: int) -> None:
        self.machine = machine
        genesis = Block(0, keccak256(b"genesis"), bytes(32), start_s)
        self.sealed = [Sealed(genesis, [], {}, [], Ledgers(), {})]
        self.pool: dict[tuple[bytes, int], Signed] = {}
        self._salt = 0
        self._acted: dict[tuple[bytes, int], Signed] = {}
        self.refused: Counter[str] = Counter()

    @property
    def tip(self) -> Sealed:
        return self.sealed[-1]

    def nonce(self, sender: bytes, *, pending: bool) -> int:
        nonce = self.tip.nonces.get(sender, 0)
        while pending and (sender, nonce) in self.pool:
            nonce += 1
        return nonce

    def act(self, sender: bytes, to: bytes, calldata: bytes, tip_max: int = BASE_FEE) -> Signed:
        """Queue a transaction of somebody who is no part of the product."""
        nonce = self.nonce(sender, pending=True)
        sent = Signed(sender, nonce, to, calldata, 10**6, 10**12, tip_max)
        self.pool[sender, nonce] = self._acted[sender, nonce] = sent
        return sent

    def fill_gaps(self) -> None:
        """Wallets send again what was dropped; the product has to do that for itself."""
        for place, sent in self._acted.items():
            sender, nonce = place
            if nonce >= self.tip.nonces.get(sender, 0):
                self.pool.setdefault(place, sent)

    def solvent(self) -> None:
        """I14: the custodian holds what the vault owes, in every token."""
        terms, ledgers = self.machine.terms, self.tip.after
        for token in terms.tokens:
            owed = ledgers.mirror.fees.get(token.address, 0)
            owed += sum(
                pips for (_, held), pips in ledgers.mirror.balances.items() if held == token.address
            )
            raw = ledgers.raw.get((token.address, terms.deployment.custodian), 0)
            kept = raw // token.unit_scale if token.unit_scale > 0 else raw * -token.unit_scale
            assert owed <= kept, f"I14: {owed} pips owed, {kept} held"

    def offer(self, sent: Signed) -> Sent:
        """Take a transaction into the pool, as a node does."""
        place = (sent.sender, sent.nonce)
        known = self.pool.get(place)
        if sent == known:
            return Sent(Sending.ALREADY_KNOWN, "already known")
        if sent.nonce < self.tip.nonces.get(sent.sender, 0):
            return Sent(Sending.NONCE_TOO_LOW, "nonce too low")
        if known is not None and sent.fee_max * 10**6 < known.fee_max * BUMP_PPM:
            return Sent(Sending.UNDERPRICED, "replacement transaction underpriced")
        self.pool[place] = sent
        return Sent(Sending.ACCEPTED)

    def mine(
        self,
        now_s: int,
        take: Callable[[Signed], bool] = lambda sent: True,
        choose: Callable[[list[tuple[bytes, int]]], tuple[bytes, int]] = min,
    ) -> Sealed:
        """Add one block of everything in the pool that may run and that ``take`` wants, each time
        the one that ``choose`` names."""
        before = self.tip
        block = self._next(before.block, now_s)
        made = Sealed(block, [], {}, [], before.after.copy(), dict(before.nonces))
        passed_over: set[tuple[bytes, int]] = set()
        while ready := self._ready(made.nonces, passed_over):
            place = choose(ready)
            sent = self.pool[place]
            if take(sent):
                del self.pool[place]
                self._run(made, sent)
            else:
                passed_over.add(place)
        for place in [place for place in self.pool if place[1] < made.nonces.get(place[0], 0)]:
            del self.pool[place]
        self.sealed.append(made)
        return made

    def _ready(
        self, nonces: dict[bytes, int], passed_over: set[tuple[bytes, int]]
    ) -> list[tuple[bytes, int]]:
        """Return of each sender the transaction that may run next, in the order of senders."""
        return sorted(
            place
            for place in self.pool
            if place[1] == nonces.get(place[0], 0) and place not in passed_over
        )

    def reorganise(self, depth: int, dice: Random, now_s: int, drop_ppm: int) -> None:
        """Replace the last ``depth`` blocks by one more than that, in another order."""
        gone = self.sealed[len(self.sealed) - depth :]
        del self.sealed[len(self.sealed) - depth :]
        for sealed in gone:
            for sent in sealed.transactions:
                place = (sent.sender, sent.nonce)
                if dice.randrange(10**6) >= drop_ppm:
                    self.pool.setdefault(place, sent)
                elif place in self._acted and dice.random() < 0.5:
                    # Its sender has spent the nonce on nothing: it will never come back.
                    self.pool[place] = self._acted[place] = Signed(
                        sent.sender, sent.nonce, NOWHERE, b"", 21_000, sent.fee_max, sent.tip_max
                    )
        for _ in range(depth + 1):
            self.mine(now_s, lambda sent: dice.random() < 0.7, dice.choice)

    def _next(self, before: Block, now_s: int) -> Block:
        self._salt += 1
        number = before.number + 1
        name = keccak256(before.hash + number.to_bytes(8) + self._salt.to_bytes(8))
        return Block(number, name, before.hash, max(before.timestamp + 1, now_s))

    def _run(self, made: Sealed, sent: Signed) -> None:
        made.nonces[sent.sender] = sent.nonce + 1
        block, tx_hash = made.block, sent.hash
        try:
            logs = self.machine.execute(
                made.after, sent.sender, sent.to, sent.calldata, block.timestamp
            )
        except RefusedError as refused:
            self.refused[refused.error] += 1
            logs, succeeded = [], False
        else:
            succeeded = True
        made.transactions.append(sent)
        made.receipts[tx_hash] = Receipt(
            tx_hash, block.number, block.hash, succeeded, sent.gas_limit // 2, BASE_FEE, None
        )
        for address, topics, payload in logs:
            at = (block.number, block.hash, tx_hash, len(made.logs))
            made.logs.append(Log(address, topics, payload, *at))


class Weather(NamedTuple):
    """How bad the connection to the node is, in parts per million of calls."""

    lost_before_ppm: int = 0
    lost_after_ppm: int = 0
    receipt_missing_ppm: int = 0
    forgets_ppm: int = 0
    """A transaction that was taken and never came into the pool."""


class Node:
    """``settlement.chain.chain.Chain`` over ``Blocks``."""

    def __init__(self, blocks: Blocks, dice: Random, count: Callable[[str], None]) -> None:
        self.blocks = blocks
        self.weather = Weather()
        self.lag = 0
        """How many blocks this node is behind."""
        self.cut: Callable[[], None] = lambda: None
        """Passed before and after each call; a test ends the process there."""
        self._dice = dice
        self._count = count

    @property
    def chain_id(self) -> int:
        return self.blocks.machine.terms.domain.chain_id

    def _ask(self, name: str) -> None:
        self.cut()
        if self._chance(self.weather.lost_before_ppm):
            self._count("chain call lost")
            raise ChainUnavailableError(f"{name}: simulated timeout")

    def _told(self, name: str) -> None:
        self.cut()
        if self._chance(self.weather.lost_after_ppm):
            self._count("chain answer lost")
            raise ChainUnavailableError(f"{name}: simulated lost answer")

    def _chance(self, ppm: int) -> bool:
        return ppm > 0 and self._dice.randrange(10**6) < ppm

    def _seen(self) -> list[Sealed]:
        sealed = self.blocks.sealed
        if self.lag and len(sealed) > self.lag:
            self._count("chain answer stale")
            return sealed[: len(sealed) - self.lag]
        return sealed

    def _at(self, number: int) -> Sealed | None:
        # Numbers are dense from 0.
        seen = self._seen()
        return seen[number] if 0 <= number < len(seen) else None

    def head(self) -> Block:
        self._ask("head")
        return self._seen()[-1].block

    def block(self, number: int) -> Block | None:
        self._ask("block")
        found = self._at(number)
        return None if found is None else found.block

    def call(
        self,
        to: bytes,
        calldata: bytes,
        block: BlockTag = "latest",
        sender: bytes = bytes(20),
        gas: int | None = None,
    ) -> bytes:
        self._ask("call")
        sealed = self._at(block) if isinstance(block, int) else self._seen()[-1]
        if sealed is None:
            raise ChainUnavailableError("call: no such block")
        machine = self.blocks.machine
        answer = machine.view(sealed.after, to, calldata)
        if answer is not None:
            return answer
        try:
            machine.execute(sealed.after.copy(), sender, to, calldata, sealed.block.timestamp)
        except RefusedError as refused:
            raise CallRevertedError(refused.error, output_of(refused.error)) from refused
        return b""

    def logs(
        self,
        addresses: list[bytes],
        topics: list[bytes | list[bytes] | None],
        first: int,
        last: int,
    ) -> list[Log]:
        self._ask("logs")
        seen = self._seen()
        if last >= len(seen):
            raise ChainUnavailableError("logs: no such block")
        return [
            log
            for sealed in seen[max(first, 0) : last + 1]
            for log in sealed.logs
            if log.address in addresses and _fits(log, topics)
        ]

    def logs_of(self, block: Block, wanted: list[LogFilter]) -> list[Log]:
        self._ask("logs")
        sealed = self._at(block.number)
        if sealed is None or sealed.block != block:
            raise ChainUnavailableError("logs: no such block")
        return [
            log
            for log in sealed.logs
            if any(log.address in one.addresses and _fits(log, one.topics) for one in wanted)
        ]

    def positions(self, logs: list[Log]) -> list[int]:
        self._ask("positions")
        found = []
        for log in logs:
            sealed = self._at(log.block_number)
            if sealed is None or sealed.block.hash != log.block_hash:
                raise ChainUnavailableError("positions: no such block")
            before = [one for one in sealed.logs if one.tx_hash == log.tx_hash]
            found.append(before.index(log))
        return found

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        self._ask("receipt")
        if self._chance(self.weather.receipt_missing_ppm):
            self._count("receipt missing")
            return None
        for sealed in reversed(self._seen()):
            if tx_hash in sealed.receipts:
                return sealed.receipts[tx_hash]
        return None

    def nonce(self, address: bytes, *, pending: bool) -> int:
        self._ask("nonce")
        if self.lag:
            return self._seen()[-1].nonces.get(address, 0)
        return self.blocks.nonce(address, pending=pending)

    def send_raw(self, raw: bytes) -> Sent:
        self._ask("send")
        sent = msgspec.msgpack.decode(raw, type=Signed)
        if self._chance(self.weather.forgets_ppm):
            self._count("transaction forgotten")
            answer = Sent(Sending.ACCEPTED)
        else:
            answer = self.blocks.offer(sent)
        self._told("send")
        return answer

    def base_fee(self) -> int:
        self._ask("base fee")
        return BASE_FEE

    def code(self, address: bytes) -> bytes:
        raise NotImplementedError(address)

    def balance(self, address: bytes) -> int:
        raise NotImplementedError(address)


def _fits(log: Log, topics: list[bytes | list[bytes] | None]) -> bool:
    for at, wanted in enumerate(topics):
        if wanted is None:
            continue
        if at >= len(log.topics):
            return False
        if log.topics[at] not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True
