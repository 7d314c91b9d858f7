"""What does a trade cost on chain? Receipts' gas of whole batches, divided by their trades.

A trade is a resting sale (on a lane) against a single-shot buy, 18 against 6 decimals, a fee on
both sides, an invoice reference of zero; each order is signed by its account. Included is all that
the transaction pays: intrinsic gas, calldata, verification, storage, trades root, event.

*recurring*: each trade has a maker and a taker of its own, who traded before. *new*: both receive
their token for the first time, on fresh lanes. *makers*: one maker order, partly filled before,
serves ten takers. *exit*: request and payment together. *sweep*: one payment at an address that was
never swept before, with fifty in one transaction; *sweep.alone*: with none beside it. On anvil if
it is installed, else on eth-tester: the figures are the same.

Each figure is held to `settlement/contracts/snapshots/gas.json`: more than one percent above it
fails. Where a trade's gas goes is told by anvil's trace of the recurring batch of 100.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from settlement.batches.encode import GENESIS_HEAD, Header, MatchedTrade, encode_batch
from settlement.chain.deploy import BondPlan, Delays, TokenPlan, deploy
from settlement.chain.dev.devchain import dev_secret, start_devchain
from settlement.chain.signer import SecretSigner, Transaction
from settlement.protocol import eip712
from settlement.protocol.abi import encode_call
from settlement.protocol.deposit_address import deposit_address
from settlement.protocol.eip712 import keccak256
from settlement.protocol.evidence import ZERO_REF, OrderBits, SignedOrder

TOKEN: Final = 10**8
"""Pips in one whole token."""
PRICE: Final = 2_500 * TOKEN
LANE: Final = 0x8000
TAKERS_PER_MAKER: Final = 10
COUNTS: Final = (1, 10, 50, 100)
DEPOSIT_QUOTE: Final = 10**6 * 10**6
DEPOSIT_BASE: Final = 10**3 * 10**18
POLLS_MAX: Final = 1_000
CALL_GAS: Final = 300_000
SWEEPS: Final = 50
SWEEPS_GAS: Final = 8_000_000
FEE_MAX: Final = 10**11
EXPIRY: Final = 2**32 - 1
START_NS: Final = 1_800_000_000 * 10**9
EXIT_DELAY_NS: Final = Delays().exit * 10**9
SNAPSHOT: Final = Path(__file__).parents[2] / "settlement/contracts/snapshots/gas.json"
PPM_OVER_MAX: Final = 10_000
"""One percent above the snapshot."""

TRANSACTION_GAS: Final = 21_000
ECRECOVER_GAS: Final = 3_100
"""The precompile and the warm call to it."""


class Driver:
    """An exchange on a development chain, and the one operator who sends it batches."""

    def __init__(self, devchain: Any, directory: Path) -> None:
        self.devchain, self.chain = devchain, devchain.chain
        chain = self.chain
        self.calldata = b""
        """Of the last batch."""
        self.funder = SecretSigner(dev_secret(1))
        self.operator = SecretSigner(dev_secret(2))
        plans = (TokenPlan("Dollar", "USD", 6), TokenPlan("Token", "TOKEN", 18))
        deployment = deploy(
            chain,
            directory / "deployment.json",
            SecretSigner(dev_secret(9)),
            self.operator.address,
            plans,
            Delays(),
            BondPlan(self.operator.address, "USD", 0),
        )
        self.exchange, self.domain = deployment.exchange, deployment.domain
        self.deployment = deployment
        self.quote, self.base = (token.address for token in deployment.tokens)
        self.head, self.batch = GENESIS_HEAD, 1
        for token in (self.quote, self.base):
            call = encode_call("mint", self.funder.address, 10**30, contract="TestToken")
            self.send(self.funder, token, call)
            call = encode_call("approve", self.exchange, 10**30, contract="TestToken")
            self.send(self.funder, token, call)

    def send(self, signer: SecretSigner, to: bytes, calldata: bytes, gas: int = CALL_GAS) -> int:
        """Send, wait and return the gas used; the transaction must succeed."""
        chain = self.chain
        nonce = chain.nonce(signer.address, pending=True)
        raw = signer.sign_transaction(
            Transaction(chain.chain_id, nonce, to, calldata, gas, FEE_MAX, 10**9)
        )
        sent = chain.send_raw(raw)
        # anvil takes a transaction before it has mined it.
        receipts = (chain.receipt(keccak256(raw)) for _ in range(POLLS_MAX))
        receipt = next((found for found in receipts if found is not None), None)
        assert receipt is not None, f"not mined: {sent}"
        assert receipt.succeeded, "what reverts measures nothing"
        used: int = receipt.gas_used
        return used

    def deposit(self, account: bytes, token: bytes) -> int:
        raw = DEPOSIT_QUOTE if token == self.quote else DEPOSIT_BASE
        call = encode_call("deposit", token, raw, account, ZERO_REF)
        return self.send(self.funder, self.exchange, call)

    def order(self, secret: bytes, nonce: int, sells: bool, tokens: int) -> SignedOrder:
        flags = OrderBits.SELL if sells else OrderBits.SINGLE_SHOT
        unsigned = SignedOrder(
            account=eip712.address_of_secret(secret),
            nonce=nonce,
            flags=int(flags),
            lane=LANE if sells else 0,
            base=self.base,
            quote=self.quote,
            base_amount=tokens * TOKEN,
            quote_amount=tokens * PRICE,
            trigger_or_display=0,
            expiry=EXPIRY,
            max_fee_ppm=5_000,
            ref=ZERO_REF,
            signature=b"",
            signer=b"",
            digest=b"",
        )
        digest = eip712.order_digest(self.domain, unsigned)
        fields = {name: getattr(unsigned, name) for name in unsigned.__struct_fields__}
        fields |= {"digest": digest, "signature": eip712.sign(digest, secret)}
        return SignedOrder(**fields | {"signer": unsigned.account})

    def settle(self, pairs: list[tuple[SignedOrder, SignedOrder]]) -> int:
        """Settle one trade of one whole token for each (buy, sell); return the gas used."""
        trades = [
            MatchedTrade(at, at, 0, buy, sell, TOKEN, PRICE, 500, 500)
            for at, (buy, sell) in enumerate(pairs)
        ]
        close_time = self.chain.head().timestamp
        header = Header(self.batch, self.head, close_time, keccak256(b"log"), self.batch, 1)
        encoded = encode_batch(header, trades, {self.quote: 0, self.base: 1})
        self.calldata = encoded.calldata
        used = self.send(self.operator, self.exchange, encoded.calldata, encoded.gas_limit)
        self.head, self.batch = encoded.head, self.batch + 1
        return used

    def pay(self, account: bytes, number: int) -> tuple[bytes, bytes, bytes]:
        """Pay an invoice of ``account`` by plain transfer; return what a sweep is asked with."""
        ref = keccak256(b"invoice" + number.to_bytes(8, "big"))
        found = self.deployment
        place = deposit_address(found.invoice_deposits, found.invoice_implementation, account, ref)
        call = encode_call("transfer", place, 10**18, contract="TestToken")
        self.send(self.funder, self.base, call)
        return account, ref, self.base


def secret_of(role: int, number: int) -> bytes:
    return (role << 64 | number + 1).to_bytes(32, "big")


class Clock:
    """The chain's time, told and never waited for."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Driver]:
    directory = tmp_path_factory.mktemp("gas")
    with start_devchain(directory / "chain", "auto", clock) as devchain:
        yield Driver(devchain, directory)


def state(benchmark: Any, figures: dict[str, float]) -> None:
    """Tell the figures, and hold them to the snapshot."""
    rounded = {name: round(value) for name, value in figures.items()}
    benchmark.extra_info["figures"] = {
        name: {"value": value, "unit": "gas"} for name, value in rounded.items()
    }
    known = json.loads(SNAPSHOT.read_text())
    over = {
        name: (value, known.get(name))
        for name, value in rounded.items()
        if value * 10**6 > known.get(name, 0) * (10**6 + PPM_OVER_MAX)
    }
    assert not over, f"more than 1 % above {SNAPSHOT}: {over}"


def spending(driver: Driver, used: int, count: int) -> dict[str, float]:
    """Return where the gas of the last batch of ``count`` trades went, per trade, from a trace.

    ``used`` is what its receipt says; what no part names is decoding, checks and memory.
    """
    call = {
        "from": f"0x{driver.operator.address.hex()}",
        "to": f"0x{driver.exchange.hex()}",
        "data": f"0x{driver.calldata.hex()}",
        "gas": hex(16_000_000),
    }
    before = hex(driver.chain.head().number - 1)
    options = {"disableStack": True, "disableStorage": True, "enableMemory": False}
    steps = driver.devchain.rpc("debug_traceCall", [call, before, options])["structLogs"]
    by_name: Counter[str] = Counter()
    for step in steps:
        is_call = step["op"] == "STATICCALL"
        # What a step of the call costs includes what it hands on.
        by_name[step["op"]] += ECRECOVER_GAS if is_call else step["gasCost"]
    parts = {
        "calldata": sum(16 if byte else 4 for byte in driver.calldata) + TRANSACTION_GAS,
        "storage": by_name["SLOAD"] + by_name["SSTORE"],
        "ecrecover": by_name["STATICCALL"],
        "hashing": by_name["KECCAK256"],
    }
    parts["decode"] = used - sum(parts.values())
    return {f"gas.part.{name}": gas / count for name, gas in parts.items()}


def test_recurring_accounts(benchmark: Any, driver: Driver) -> None:
    makers = [secret_of(1, n) for n in range(max(COUNTS))]
    takers = [secret_of(2, n) for n in range(max(COUNTS))]
    for secret in makers + takers:
        for token in (driver.quote, driver.base):
            driver.deposit(eip712.address_of_secret(secret), token)

    def pairs(count: int, nonce: int) -> list[tuple[SignedOrder, SignedOrder]]:
        return [
            (driver.order(taker, nonce, False, 1), driver.order(maker, nonce, True, 1))
            for maker, taker in zip(makers[:count], takers[:count], strict=True)
        ]

    def measure() -> dict[str, float]:
        driver.settle(pairs(max(COUNTS), 1))
        figures = {
            f"gas.recurring.{count}": driver.settle(pairs(count, 1 + at)) / count
            for at, count in enumerate(COUNTS, start=1)
        }
        if driver.devchain.name == "anvil":
            count = COUNTS[-1]
            parts = spending(driver, round(figures[f"gas.recurring.{count}"] * count), count)
            told = ", ".join(f"{name} {gas:,.0f}" for name, gas in parts.items())
            sys.stdout.write(f"\na recurring trade of {count}: {told}\n")
            figures |= parts
        return figures

    state(benchmark, benchmark.pedantic(measure, rounds=1))


def test_new_accounts(benchmark: Any, driver: Driver) -> None:
    deposits: list[int] = []

    def measure_one(at: int, count: int) -> float:
        pairs = []
        for number in range(count):
            maker, taker = secret_of(3, at << 16 | number), secret_of(4, at << 16 | number)
            deposits.append(driver.deposit(eip712.address_of_secret(maker), driver.base))
            deposits.append(driver.deposit(eip712.address_of_secret(taker), driver.quote))
            pairs.append((driver.order(taker, 1, False, 1), driver.order(maker, 1, True, 1)))
        return driver.settle(pairs) / count

    def measure() -> dict[str, float]:
        figures = {f"gas.new.{n}": measure_one(at, n) for at, n in enumerate(COUNTS)}
        return figures | {"gas.deposit": sum(deposits) / len(deposits)}

    state(benchmark, benchmark.pedantic(measure, rounds=1))


def test_recurring_makers(benchmark: Any, driver: Driver) -> None:
    makers = [secret_of(5, n) for n in range(max(COUNTS) // TAKERS_PER_MAKER)]
    takers = [secret_of(6, n) for n in range(max(COUNTS))]
    for secret in makers + takers:
        for token in (driver.quote, driver.base):
            driver.deposit(eip712.address_of_secret(secret), token)
    resting = [driver.order(maker, 1, True, 500) for maker in makers]

    def pairs(count: int, nonce: int) -> list[tuple[SignedOrder, SignedOrder]]:
        return [
            (driver.order(takers[n], nonce, False, 1), resting[n // TAKERS_PER_MAKER])
            for n in range(count)
        ]

    def measure() -> dict[str, float]:
        driver.settle(pairs(max(COUNTS), 1))
        return {
            f"gas.makers.{count}": driver.settle(pairs(count, 1 + at)) / count
            for at, count in enumerate(COUNTS, start=1)
        }

    state(benchmark, benchmark.pedantic(measure, rounds=1))


def test_an_exit(benchmark: Any, driver: Driver, clock: Clock) -> None:
    def measure() -> dict[str, float]:
        driver.deposit(driver.funder.address, driver.quote)
        request = encode_call("requestExit", driver.quote, TOKEN)
        used = driver.send(driver.funder, driver.exchange, request)
        clock.now_ns += EXIT_DELAY_NS
        finish = encode_call("finishExit", driver.funder.address, driver.quote)
        return {"gas.exit": used + driver.send(driver.funder, driver.exchange, finish)}

    state(benchmark, benchmark.pedantic(measure, rounds=1))


def test_sweeps(benchmark: Any, driver: Driver) -> None:
    """A shop that was paid before: its account has the token already, its addresses are new."""
    shop = eip712.address_of_secret(secret_of(7, 0))
    factory = driver.deployment.invoice_deposits

    def alone(number: int) -> int:
        call = encode_call("sweep", *driver.pay(shop, number), contract="InvoiceDeposits")
        return driver.send(driver.operator, factory, call)

    def measure() -> dict[str, float]:
        alone(0)
        places = [driver.pay(shop, 1 + number) for number in range(SWEEPS)]
        call = encode_call("sweepMany", places, contract="InvoiceDeposits")
        together = driver.send(driver.operator, factory, call, SWEEPS_GAS)
        return {"gas.sweep": together / SWEEPS, "gas.sweep.alone": alone(1 + SWEEPS)}

    state(benchmark, benchmark.pedantic(measure, rounds=1))
