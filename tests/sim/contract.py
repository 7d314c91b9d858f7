"""What do the contracts do with a call? Their rules on plain dicts, for a chain that can be forked.

Vault, exits, keys, invoice addresses and two test tokens behind one ``execute``, which takes the
very calldata that goes to the real ones and answers with the very logs. Money and replay rules of a
batch come from ``tests.chain.contract_model``, which tests hold to the real contract. Left out,
because nothing in the simulator calls it: administration, fee sweeps, the dead man's switch.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from eth_abi.abi import decode, encode
from msgspec import structs

from settlement.batches.encode import EncodedBatch, Header, MatchedTrade, next_head, trade_leaf
from settlement.chain.deploy import Deployment
from settlement.protocol import merkle
from settlement.protocol.abi import abi_types, artifact
from settlement.protocol.deposit_address import deposit_address
from settlement.protocol.eip712 import (
    Domain,
    KeyGrant,
    countersignature_digest,
    grant_digest,
    keccak256,
    order_digest,
    recover,
    withdrawal_digest,
)
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal
from settlement.watching.watcher import (
    DEPOSITED,
    EXIT_CANCELLED,
    EXIT_FINISHED,
    EXIT_REQUESTED,
    KEY_GRANTED,
    KEY_REVOKED,
    TRANSFER,
    Event,
)
from tests.chain.contract_model import Mirror, RefusedError

WITHDRAWN: Final = Event("Withdrawn(address,address,address,uint64,uint64)", (0, 1))
CLOCK_TOLERANCE: Final = 15
NOBODY: Final = bytes(20)
WORD: Final = 32
ORDER_WORDS: Final = 5
SELL_SIDE: Final = 2
SWEEP_GAS: Final = 90_000
PLACES: Final = ["(address,bytes32,address)[]"]
PLACE: Final = ["address", "bytes32", "address"]


class Listed(NamedTuple):
    """A token of the exchange; ``unit_scale`` as in ``settlement.orders.catalog``."""

    address: bytes
    unit_scale: int

    def pips_of(self, raw: int) -> int:
        if self.unit_scale < 0:
            return raw * -self.unit_scale
        if raw % self.unit_scale:
            raise RefusedError("NotWholePips")
        return raw // self.unit_scale

    def whole(self, pips: int) -> tuple[int, int]:
        """Return the largest amount up to ``pips`` that is whole raw units, and those units."""
        if self.unit_scale > 0:
            return pips, pips * self.unit_scale
        raw = pips // -self.unit_scale
        return raw * -self.unit_scale, raw


class Terms(NamedTuple):
    """What does not change: addresses, tokens by their number, delays in seconds."""

    deployment: Deployment
    operator: bytes
    horizon: int
    exit_delay: int

    @property
    def domain(self) -> Domain:
        return self.deployment.domain

    @property
    def tokens(self) -> tuple[Listed, ...]:
        return tuple(Listed(token.address, token.unit_scale) for token in self.deployment.tokens)


class Emitted(NamedTuple):
    """A log before its block is known."""

    address: bytes
    topics: tuple[bytes, ...]
    payload: bytes


class Ledgers:
    """Everything that the contracts store; copied before each block."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.raw: dict[tuple[bytes, bytes], int] = {}
        """Raw units by (token, holder)."""
        self.allowed: dict[tuple[bytes, bytes, bytes], int] = {}
        self.exits: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        self.withdrawal_nonces: dict[bytes, int] = {}
        self.grant_nonces: dict[bytes, int] = {}
        self.next_sequence = 1
        self.revoked_at: dict[tuple[bytes, bytes], int] = {}

    def copy(self) -> "Ledgers":
        twin = Ledgers()
        mirror = self.mirror
        # A settled batch replaces the mirror's dicts, all else goes through credit and debit.
        twin.mirror = Mirror(**mirror.__dict__ | {"balances": dict(mirror.balances)})
        twin.mirror.keys = dict(mirror.keys)
        twin.next_sequence = self.next_sequence
        for name in ("raw", "allowed", "exits", "withdrawal_nonces", "grant_nonces", "revoked_at"):
            setattr(twin, name, dict(getattr(self, name)))
        return twin


class Call(NamedTuple):
    """One call as a contract sees it."""

    sender: bytes
    to: bytes
    body: bytes
    timestamp: int

    def word(self, index: int) -> bytes:
        return self.body[index * WORD : (index + 1) * WORD]

    def address(self, index: int) -> bytes:
        return self.word(index)[12:]

    def number(self, index: int) -> int:
        return int.from_bytes(self.word(index), "big")

    def tail(self, index: int) -> bytes:
        """Return the bytes argument whose offset is argument ``index``."""
        at = self.number(index)
        size = int.from_bytes(self.body[at : at + WORD], "big")
        return self.body[at + WORD : at + WORD + size]


def emitted(address: bytes, event: Event, *values: bytes | int) -> Emitted:
    words = [v.rjust(WORD, b"\0") if isinstance(v, bytes) else v.to_bytes(WORD) for v in values]
    topics = [word for i, word in enumerate(words) if i in event.indexed]
    plain = [word for i, word in enumerate(words) if i not in event.indexed]
    return Emitted(address, (event.topic, *topics), b"".join(plain))


class Machine:
    """Executes calls on ``Ledgers``. Raises ``RefusedError`` with nothing changed."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._tokens = terms.tokens
        self._by_address = {token.address: token for token in self._tokens}
        exchange = terms.deployment.exchange
        self._functions: dict[tuple[bytes, bytes], Callable[[Ledgers, Call], list[Emitted]]] = {
            (exchange, _selector("settle")): self._settle,
            (exchange, _selector("deposit")): self._deposit,
            (exchange, _selector("withdraw")): self._withdraw,
            (exchange, _selector("requestExit")): self._request_exit,
            (exchange, _selector("cancelExit")): self._cancel_exit,
            (exchange, _selector("finishExit")): self._finish_exit,
            (exchange, _selector("grantKey")): self._grant_key,
            (exchange, _selector("revokeKey")): self._revoke_key,
            (terms.deployment.invoice_deposits, _selector("sweep", "InvoiceDeposits")): self._sweep,
            (
                terms.deployment.invoice_deposits,
                _selector("sweepMany", "InvoiceDeposits"),
            ): self._sweep_many,
        }
        for token in self._tokens:
            for name, run in (
                ("mint", self._mint),
                ("transfer", self._transfer),
                ("approve", self._approve),
            ):
                self._functions[token.address, _selector(name, "TestToken")] = run
        self._views: dict[tuple[bytes, bytes], Callable[[Ledgers, Call], int]] = {
            (exchange, _selector("head")): lambda ledgers, _: int.from_bytes(ledgers.mirror.head),
            (exchange, _selector("nextBatch")): lambda ledgers, _: ledgers.mirror.next_batch,
            (exchange, _selector("balanceOf")): lambda ledgers, call: ledgers.mirror.balances.get(
                (call.address(0), call.address(1)), 0
            ),
            (exchange, _selector("feesOf")): lambda ledgers, call: ledgers.mirror.fees.get(
                call.address(0), 0
            ),
        }
        for token in self._tokens:
            self._views[token.address, _selector("balanceOf", "TestToken")] = _raw_balance

    def view(self, ledgers: Ledgers, to: bytes, calldata: bytes) -> bytes | None:
        """Return what a reading call returns; None if it is none of those."""
        if (to, calldata[:4]) == (self.terms.deployment.exchange, _selector("exitOf")):
            asked = Call(NOBODY, to, calldata[4:], 0)
            found = ledgers.exits.get((asked.address(0), asked.address(1)), (0, 0))
            return b"".join(word.to_bytes(WORD) for word in found)
        many = (self.terms.deployment.invoice_deposits, _selector("sweepMany", "InvoiceDeposits"))
        if (to, calldata[:4]) == many:
            return self._swept(ledgers, calldata)
        run = self._views.get((to, calldata[:4]))
        if run is None:
            return None
        return run(ledgers, Call(NOBODY, to, calldata[4:], 0)).to_bytes(WORD)

    def execute(
        self, ledgers: Ledgers, sender: bytes, to: bytes, calldata: bytes, timestamp: int
    ) -> list[Emitted]:
        run = self._functions.get((to, calldata[:4]))
        if run is None:
            if calldata:
                raise RefusedError("NoSuchFunction")
            return []
        return run(ledgers, Call(sender, to, calldata[4:], timestamp))

    # Tokens.

    def _move(self, ledgers: Ledgers, token: bytes, source: bytes, to: bytes, raw: int) -> Emitted:
        if source != NOBODY:
            held = ledgers.raw.get((token, source), 0)
            if raw > held:
                raise RefusedError("ERC20InsufficientBalance")
            ledgers.raw[token, source] = held - raw
        ledgers.raw[token, to] = ledgers.raw.get((token, to), 0) + raw
        return emitted(token, TRANSFER, source, to, raw)

    def _mint(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        return [self._move(ledgers, call.to, NOBODY, call.address(0), call.number(1))]

    def _transfer(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        return [self._move(ledgers, call.to, call.sender, call.address(0), call.number(1))]

    def _approve(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        ledgers.allowed[call.to, call.sender, call.address(0)] = call.number(1)
        return []

    # Money in and out.

    def _token(self, address: bytes) -> Listed:
        found = self._by_address.get(address)
        if found is None:
            raise RefusedError("UnknownToken")
        return found

    def _take_in(
        self, ledgers: Ledgers, source: bytes, token: Listed, raw: int, account: bytes, ref: bytes
    ) -> list[Emitted]:
        pips = token.pips_of(raw)
        if pips == 0:
            raise RefusedError("ZeroAmount")
        if ledgers.raw.get((token.address, source), 0) < raw:
            raise RefusedError("ERC20InsufficientBalance")
        ledgers.mirror.credit(account, token.address, pips)
        moved = self._move(ledgers, token.address, source, self.terms.deployment.custodian, raw)
        exchange = self.terms.deployment.exchange
        return [moved, emitted(exchange, DEPOSITED, account, token.address, pips, ref)]

    def _deposit(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        token, raw = self._token(call.address(0)), call.number(1)
        allowance = (token.address, call.sender, call.to)
        if ledgers.allowed.get(allowance, 0) < raw:
            raise RefusedError("ERC20InsufficientAllowance")
        logs = self._take_in(ledgers, call.sender, token, raw, call.address(2), call.word(3))
        ledgers.allowed[allowance] -= raw
        return logs

    def _sweep_many(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        (places,) = decode(PLACES, call.body)
        logs = []
        for place in places:
            words = encode(PLACE, place)
            # What is refused is refused before anything has changed.
            with suppress(RefusedError):
                logs += self._sweep(ledgers, call._replace(body=words))
        return logs

    def _swept(self, ledgers: Ledgers, calldata: bytes) -> bytes:
        """Return what ``sweepMany`` would: gas for each that it would sweep."""
        used = []
        (places,) = decode(PLACES, calldata[4:])
        after = ledgers.copy()
        for place in places:
            words = encode(PLACE, place)
            try:
                self._sweep(after, Call(NOBODY, b"", words, 0))
                used.append(SWEEP_GAS)
            except RefusedError:
                used.append(0)
        return encode(["uint256[]"], [used])

    def _sweep(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        account, ref, token = call.address(0), call.word(1), self._token(call.address(2))
        contracts = self.terms.deployment
        source = deposit_address(
            contracts.invoice_deposits, contracts.invoice_implementation, account, ref
        )
        raw = ledgers.raw.get((token.address, source), 0)
        raw -= raw % max(token.unit_scale, 1)
        if raw == 0:
            raise RefusedError("NothingToSweep")
        return self._take_in(ledgers, source, token, raw, account, ref)

    def _pay(self, ledgers: Ledgers, token: Listed, to: bytes, raw: int) -> Emitted:
        return self._move(ledgers, token.address, self.terms.deployment.custodian, to, raw)

    def _withdraw(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        account, to, amount = call.address(0), call.address(3), call.number(2)
        nonce, expiry = call.number(4), call.number(5)
        token = self._token(call.address(1))
        asked = SignedWithdrawal(account, token.address, to, amount, nonce, expiry, b"", b"")
        digest = withdrawal_digest(self.terms.domain, asked)
        place = call.number(6)
        consent = countersignature_digest(self.terms.domain, digest, place)
        operator = self.terms.operator
        for signed, signer, index in ((digest, account, 7), (consent, operator, 8)):
            if recover(signed, call.tail(index)) != signer:
                raise RefusedError("NotSignedBy")
        self._wait_for(ledgers, place)
        if expiry < call.timestamp:
            raise RefusedError("Expired")
        if nonce <= ledgers.withdrawal_nonces.get(account, 0):
            raise RefusedError("NonceTooLow")
        pips, raw = token.whole(amount)
        if amount == 0 or pips != amount or to == NOBODY:
            raise RefusedError("NotWholeRawUnits")
        ledgers.mirror.debit(account, token.address, amount)
        ledgers.withdrawal_nonces[account] = nonce
        paid = emitted(call.to, WITHDRAWN, account, token.address, to, amount, nonce)
        return [paid, self._pay(ledgers, token, to, raw)]

    def _wait_for(self, ledgers: Ledgers, place: int) -> None:
        """Nothing is paid before a batch has covered what the withdrawal stands behind."""
        if ledgers.next_sequence <= place:
            raise RefusedError("LogNotSettled")

    def _request_exit(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        token, amount = self._token(call.address(0)).address, call.number(1)
        if amount == 0 or (call.sender, token) in ledgers.exits:
            raise RefusedError("ExitPending" if amount else "ZeroAmount")
        ready_at = call.timestamp + self.terms.exit_delay
        ledgers.exits[call.sender, token] = (amount, ready_at)
        return [emitted(call.to, EXIT_REQUESTED, call.sender, token, amount, ready_at)]

    def _cancel_exit(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        token = self._token(call.address(0)).address
        if ledgers.exits.pop((call.sender, token), None) is None:
            raise RefusedError("NoExit")
        return [emitted(call.to, EXIT_CANCELLED, call.sender, token)]

    def _finish_exit(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        account, token = call.address(0), self._token(call.address(1))
        wanted, ready_at = ledgers.exits.get((account, token.address), (0, 0))
        if ready_at == 0:
            raise RefusedError("NoExit")
        if call.timestamp < ready_at:
            raise RefusedError("ExitNotReady")
        del ledgers.exits[account, token.address]
        held = ledgers.mirror.balances.get((account, token.address), 0)
        pips, raw = token.whole(min(wanted, held))
        ledgers.mirror.debit(account, token.address, pips)
        logs = [emitted(call.to, EXIT_FINISHED, account, token.address, pips)]
        return [*logs, self._pay(ledgers, token, account, raw)] if raw else logs

    # Session keys.

    def _grant_key(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        grant = KeyGrant(
            *(call.address(i) for i in range(4)), *(call.number(i) for i in range(4, 9))
        )
        account = grant.account
        if recover(grant_digest(self.terms.domain, grant), call.tail(9)) != account:
            raise RefusedError("NotSignedBy")
        if grant.expiry < call.timestamp:
            raise RefusedError("Expired")
        if grant.sides & SELL_SIDE and grant.floor_price == 0:
            raise RefusedError("NoFloorPrice")
        _require_new(ledgers, account, grant.nonce)
        if (account, grant.key) in ledgers.mirror.keys:
            raise RefusedError("KeyWouldNarrow")
        ledgers.grant_nonces[account] = grant.nonce
        ledgers.mirror.keys[account, grant.key] = grant
        return [emitted(call.to, KEY_GRANTED, *grant[:8])]

    def _revoke_key(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        key = (call.sender, call.address(0))
        if key not in ledgers.mirror.keys or key in ledgers.revoked_at:
            raise RefusedError("NoLiveKey")
        _require_new(ledgers, call.sender, call.number(1))
        ledgers.grant_nonces[call.sender] = call.number(1)
        ledgers.revoked_at[key] = call.timestamp + self.terms.exit_delay
        return [emitted(call.to, KEY_REVOKED, *key, ledgers.revoked_at[key])]

    # Batches.

    def _settle(self, ledgers: Ledgers, call: Call) -> list[Emitted]:
        if call.sender != self.terms.operator:
            raise RefusedError("NotOperator")
        header = Header(
            call.number(0),
            call.word(1),
            call.number(2),
            call.word(3),
            call.number(4),
            call.number(5),
        )
        if header.batch != ledgers.mirror.next_batch:
            raise RefusedError("BatchOutOfOrder")
        if header.prev_head != ledgers.mirror.head:
            raise RefusedError("WrongPrevHead")
        if header.first_sequence != ledgers.next_sequence:
            raise RefusedError("SequenceGap")
        if header.close_time + self.terms.horizon < call.timestamp:
            raise RefusedError("CloseTimeTooEarly")
        if header.close_time > call.timestamp + CLOCK_TOLERANCE:
            raise RefusedError("CloseTimeTooLate")
        orders = [self._order(words) for words in _array(call, 6, ORDER_WORDS)]
        for order in orders:
            revoked_at = ledgers.revoked_at.get((order.account, order.signer))
            if revoked_at is not None and revoked_at <= header.close_time:
                raise RefusedError("KeyIsRevoked")
        trades = [_trade(word, orders) for (word,) in _array(call, 7, 1)]
        leaves = [trade_leaf(index, trade) for index, trade in enumerate(trades)]
        root = merkle.root(leaves)
        head = next_head(header, len(trades), root)
        ledgers.mirror.settle(EncodedBatch(header, b"", head, root, 0, leaves), trades)
        ledgers.next_sequence = header.first_sequence + header.command_count
        return []

    def _order(self, words: tuple[int, ...]) -> SignedOrder:
        terms, place, ref, r, vs = words
        nonce, base_amount, quote_amount, *narrow = _unpacked(terms, 64, 64, 64, 32, 16, 16)
        expiry, max_fee_ppm, flags = narrow
        special, base, quote, lane, account = _unpacked(place, 64, 8, 8, 16, 160)
        unsigned = SignedOrder(
            account=account.to_bytes(20),
            nonce=nonce,
            flags=flags,
            lane=lane,
            base=self._tokens[base].address,
            quote=self._tokens[quote].address,
            base_amount=base_amount,
            quote_amount=quote_amount,
            trigger_or_display=special,
            expiry=expiry,
            max_fee_ppm=max_fee_ppm,
            ref=ref.to_bytes(WORD),
            signature=b"",
            signer=b"",
            digest=b"",
        )
        digest = order_digest(self.terms.domain, unsigned)
        signature = r.to_bytes(WORD) + (vs & ~(1 << 255)).to_bytes(WORD) + bytes([27 + (vs >> 255)])
        signer = recover(digest, signature)
        if signer is None:
            raise RefusedError("BadSignature")
        return structs.replace(unsigned, signer=signer, digest=digest, signature=signature)


def _require_new(ledgers: Ledgers, account: bytes, nonce: int) -> None:
    if nonce <= ledgers.grant_nonces.get(account, 0):
        raise RefusedError("NonceTooLow")


def _trade(word: int, orders: list[SignedOrder]) -> MatchedTrade:
    buy, sell, buy_fee, sell_fee, base_pips, quote_pips = _unpacked(word, 48, 16, 32, 32, 64, 64)
    fees = (fee - (fee >> 31 << 32) for fee in (buy_fee, sell_fee))
    return MatchedTrade(0, 0, 0, orders[buy], orders[sell], base_pips, quote_pips, *fees)


def _unpacked(word: int, *bits: int) -> list[int]:
    """Return the fields of ``word``, the uppermost first (see ``Packing.sol``)."""
    fields = []
    for width in reversed(bits):
        fields.append(word & (1 << width) - 1)
        word >>= width
    return fields[::-1]


def _raw_balance(ledgers: Ledgers, call: Call) -> int:
    return ledgers.raw.get((call.to, call.address(0)), 0)


def output_of(error: str) -> bytes:
    """Return what a contract returns with typed error ``error``, its figures left at zero."""
    for contract in ("Exchange", "InvoiceAddress", "TestToken"):
        names = [entry.get("name") for entry in artifact(contract).abi if entry["type"] == "error"]
        if error in names:
            types = abi_types(contract, "error", error)
            signature = f"{error}({','.join(types)})"
            return keccak256(signature.encode())[:4] + bytes(WORD * len(types))
    return b""


def _array(call: Call, argument: int, width: int) -> list[tuple[int, ...]]:
    """Return a dynamic array of static structs of ``width`` words."""
    at = call.number(argument) // WORD
    count = call.number(at)
    return [
        tuple(call.number(at + 1 + row * width + i) for i in range(width)) for row in range(count)
    ]


def _selector(name: str, contract: str = "Exchange") -> bytes:
    return keccak256(f"{name}({','.join(abi_types(contract, 'function', name))})".encode())[:4]
