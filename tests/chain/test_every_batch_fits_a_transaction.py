"""No mix of orders makes a batch that a block cannot carry, and the chain never needs more than we
reckon."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.batches.builder import BatchBuilder, CommandTrades, carried
from settlement.batches.encode import (
    GENESIS_HEAD,
    EncodedBatch,
    Header,
    MatchedTrade,
    calldata_size,
    encode_batch,
    gas_bound,
)
from settlement.batches.sealer import GAS_MAX
from settlement.chain.chain import Sending
from settlement.chain.deploy import Deployment, TokenPlan, deploy
from settlement.chain.dev.devchain import DevChain
from settlement.chain.signer import CALLDATA_MAX, TRANSACTION_GAS_MAX, Transaction
from settlement.protocol import eip712
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import KeyGrant, keccak256
from settlement.protocol.evidence import ZERO_REF, OrderBits, SignedOrder
from tests.chain.conftest import Clock
from tests.chain.contract_rig import Wallet, wallet
from tests.chain.venue import BOND, DELAYS, DEPLOYER, NS, OPERATOR, POLLS_MAX, transact

BYTES_MAX = 128 * 1024
"""Nodes pass on no transaction that is longer."""

NUMBERS = {bytes([number + 1]) * 20: number for number in range(32)}
TOKENS = list(NUMBERS)
HEADER = Header(1, GENESIS_HEAD, 0, bytes(32), 1, 1)
UNIT = 10**8


@st.composite
def trades_of_commands(draw: st.DrawFn) -> list[CommandTrades]:
    """Commands of up to 700 trades; who trades, on which lanes and in which tokens is drawn."""
    commands, trade_id = [], 0
    accounts = draw(st.integers(1, 2_000))
    lanes = draw(st.integers(1, 400))
    token_count = draw(st.integers(2, 32))
    for sequence in range(1, draw(st.integers(1, 6)) + 1):
        count, salt = draw(st.sampled_from((1, 2, 40, 128, 700))), draw(st.integers(0, 10**6))
        base, quote = draw(st.permutations(TOKENS[:token_count]))[:2]
        taker = order(salt, accounts, lanes, base, quote, sells=False)
        changes_taker = draw(st.booleans())
        trades = []
        for i in range(1, count + 1):
            trade_id += 1
            maker = order(salt + 7 * i, accounts, lanes, base, quote, sells=True)
            if changes_taker:
                taker = order(salt + 11 * i, accounts, lanes, base, quote, sells=False)
            trades.append(MatchedTrade(trade_id, sequence, 0, taker, maker, 1, 1, 0, 0))
        commands.append(CommandTrades(sequence, 0, trade_id, trades))
    return commands


def order(
    seed: int, accounts: int, lanes: int, base: bytes, quote: bytes, *, sells: bool
) -> SignedOrder:
    """An order whose signature nobody looks at; the lane's nonce follows from the seed."""
    flags = int(OrderBits.SELL) if sells else 0
    account, lane = (seed % accounts + 1).to_bytes(20), 0x8000 + seed % lanes
    nonce = seed // (accounts * lanes) + 1
    digest = keccak256(account + bytes([sells]) + lane.to_bytes(2) + nonce.to_bytes(8) + base)
    return SignedOrder(
        account=account,
        nonce=nonce,
        flags=flags | (int(OrderBits.UPPER_HALF) if sells else 0),
        lane=lane,
        base=base,
        quote=quote,
        base_amount=UNIT,
        quote_amount=UNIT,
        trigger_or_display=0,
        expiry=2**32 - 1,
        max_fee_ppm=0,
        ref=ZERO_REF,
        signature=b"\1" * 64 + b"\x1b",
        signer=account,
        digest=digest,
    )


def batches_of(commands: list[CommandTrades], gas_ceiling: int) -> Iterator[list[MatchedTrade]]:
    """Cut as the sealer does; what no transaction carries is left out, as busted trades are."""
    builder = BatchBuilder(GAS_MAX, gas_ceiling, 0)
    for whole in commands:
        command = whole
        while not builder.takes(command, NUMBERS):
            if builder.commands:
                yield [trade for taken in builder.commands for trade in taken.trades]
                builder = BatchBuilder(GAS_MAX, gas_ceiling, 0)
            else:
                count = carried(command, gas_ceiling, NUMBERS)
                assert 0 < count < len(command.trades), "it was refused for its size alone"
                command = command._replace(trades=command.trades[:count])
    yield [trade for taken in builder.commands for trade in taken.trades]


@given(commands=trades_of_commands(), gas_ceiling=st.sampled_from((2**20, 5_000_000, 2**24)))
def test_no_sequence_of_commands_makes_a_batch_that_a_block_cannot_carry(
    commands: list[CommandTrades], gas_ceiling: int
):
    for trades in batches_of(commands, gas_ceiling):
        batch = encode_batch(HEADER, trades, NUMBERS)
        assert batch.gas_limit <= gas_ceiling <= TRANSACTION_GAS_MAX
        assert len(batch.calldata) <= CALLDATA_MAX < BYTES_MAX
        # Under EIP-7623 bytes alone have a price too; it is never the higher one.
        assert 21_000 + 40 * len(batch.calldata) <= batch.gas_limit


@given(orders=st.integers(0, 2_000), trades=st.integers(0, 2_000), words=st.integers(0, 4_000))
def test_a_bound_grows_with_each_of_what_it_counts(orders: int, trades: int, words: int):
    """So whatever is left out of a batch that fits leaves one that fits."""
    for more in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        shape = (orders + more[0], trades + more[1], words + more[2])
        assert gas_bound(*shape) >= gas_bound(orders, trades, words)
        assert calldata_size(*shape[:2]) >= calldata_size(orders, trades)


def test_the_size_we_reckon_is_the_size_of_the_calldata():
    for count in (0, 1, 3, 40):
        maker = [order(i, 100, 100, *TOKENS[:2], sells=True) for i in range(count)]
        taker = order(77, 100, 100, *TOKENS[:2], sells=False)
        trades = [MatchedTrade(i, 1, 0, taker, sell, 1, 1, 0, 0) for i, sell in enumerate(maker)]
        batch = encode_batch(HEADER, trades, NUMBERS)
        sides = {one.digest: one for trade in trades for one in (trade.buy, trade.sell)}
        assert len(batch.calldata) == calldata_size(len(sides), count)


# The worst batch that there is, on a real chain.


@pytest.fixture
def contracts(anvil: DevChain, tmp_path: Path) -> Deployment:
    """Tokens 0 and 3 lie in different words, so an account that trades them has two."""
    plans = [TokenPlan(f"T{n}", "USD" if n == 0 else f"T{n}", 18) for n in range(4)]
    path = tmp_path / "deployment.json"
    chain = anvil.chain
    return deploy(chain, path, DEPLOYER, OPERATOR.address, plans, DELAYS, BOND)


class Worst:
    """Two accounts of its own for each trade, each with a new lane, new words and a session key."""

    def __init__(self, anvil: DevChain, contracts: Deployment, expiry: int) -> None:
        self._chain, self._contracts, self._expiry = anvil.chain, contracts, expiry
        self.quote, self.base = contracts.tokens[0].address, contracts.tokens[3].address
        self.numbers = {token.address: n for n, token in enumerate(contracts.tokens)}
        for token in (self.quote, self.base):
            mint = encode_call("mint", DEPLOYER.address, 10**30, contract="TestToken")
            approve = encode_call("approve", contracts.exchange, 10**30, contract="TestToken")
            assert self._send(token, mint) and self._send(token, approve)

    def _send(self, to: bytes, calldata: bytes) -> bool:
        return transact(self._chain, DEPLOYER, to, calldata).succeeded

    def trade(self, number: int) -> MatchedTrade:
        buy = self._order(wallet(10_000 + 2 * number), self.quote, sells=False)
        sell = self._order(wallet(10_001 + 2 * number), self.base, sells=True)
        return MatchedTrade(number, 1, 0, buy, sell, UNIT, UNIT, 1_000, 500)

    def _order(self, owner: Wallet, pays: bytes, *, sells: bool) -> SignedOrder:
        key = wallet(90_000 + int.from_bytes(owner.secret))
        exchange, domain = self._contracts.exchange, self._contracts.domain
        deposit = encode_call("deposit", pays, 2 * 10**18, owner.address, ZERO_REF)
        scope = (self.base, self.quote, 3, self._expiry, 10**12, 1, 1)
        grant = KeyGrant(owner.address, key.address, *scope)
        signature = eip712.sign(eip712.grant_digest(domain, grant), owner.secret)
        assert self._send(exchange, deposit)
        assert self._send(exchange, encode_call("grantKey", tuple(grant), signature))
        unsigned = SignedOrder(
            account=owner.address,
            nonce=2**60 + 1,
            flags=int(OrderBits.SELL) if sells else 0,
            lane=0xFFFF,
            base=self.base,
            quote=self.quote,
            base_amount=UNIT,
            quote_amount=UNIT,
            trigger_or_display=0,
            expiry=self._expiry,
            max_fee_ppm=5_000,
            ref=keccak256(owner.address),
            signature=b"",
            signer=key.address,
            digest=b"",
        )
        digest = eip712.order_digest(domain, unsigned)
        fields = {name: getattr(unsigned, name) for name in unsigned.__struct_fields__}
        return SignedOrder(
            **(fields | {"digest": digest, "signature": eip712.sign(digest, key.secret)})
        )

    def settle(self, batch: EncodedBatch) -> tuple[bool, int]:
        """Send it as the operator; return whether it was settled and the gas it took."""
        nonce = self._chain.nonce(OPERATOR.address, pending=True)
        to, limit = self._contracts.exchange, batch.gas_limit
        raw = OPERATOR.sign_transaction(
            Transaction(self._chain.chain_id, nonce, to, batch.calldata, limit, 10**11, 10**9)
        )
        assert len(raw) <= BYTES_MAX
        assert self._chain.send_raw(raw).sending is Sending.ACCEPTED
        for _ in range(POLLS_MAX):
            receipt = self._chain.receipt(keccak256(raw))
            if receipt is not None:
                return receipt.succeeded, receipt.gas_used
        raise AssertionError("not mined")


def test_the_dearest_batch_that_we_seal_fits_the_gas_that_we_reckon(
    anvil: DevChain, contracts: Deployment, clock: Clock
):
    now = clock() // NS
    worst = Worst(anvil, contracts, now + 3_000)
    shape = 0
    while gas_bound(2 * (shape + 1), shape + 1, 6 * (shape + 1)) <= TRANSACTION_GAS_MAX:
        shape += 1
    trades = [worst.trade(number) for number in range(1, shape + 1)]
    command = CommandTrades(1, now * NS, shape, trades)
    assert carried(command, TRANSACTION_GAS_MAX, worst.numbers) == shape

    batch = encode_batch(HEADER._replace(close_time=now), trades, worst.numbers)
    succeeded, gas_used = worst.settle(batch)

    assert succeeded and gas_used <= batch.gas_limit <= TRANSACTION_GAS_MAX
    assert gas_used * 2 > batch.gas_limit, "a bound that is twice the truth halves every batch"
