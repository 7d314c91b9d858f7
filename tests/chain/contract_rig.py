"""How do the contract tests get a chain with an exchange on it? In process, on eth-tester.

The fixtures deploys the committed artifacts, mints and deposits, signs orders and sends encoded
batches. Time of the chain is told, never waited for.
"""

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from eth_abi.abi import decode
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from web3 import EthereumTesterProvider, Web3
from web3.logs import DISCARD

from settlement.batches.encode import GENESIS_HEAD, EncodedBatch, Header, MatchedTrade, encode_batch
from settlement.protocol import eip712
from settlement.protocol.abi import abi_types, artifact, encode_call, encode_deployment
from settlement.protocol.eip712 import keccak256
from settlement.protocol.evidence import ZERO_REF, OrderBits, SignedOrder

HORIZON = 3_600
EXIT_DELAY = 7_200
DEADMAN_DELAY = 86_400
TOKEN = 10**8
"""Pips in one whole token."""

GAS_MAX = 16_000_000
CHAIN_GAS_MAX = 60_000_000


class Wallet(NamedTuple):
    """A private key and its address."""

    secret: bytes
    address: bytes


def wallet(number: int) -> Wallet:
    secret = number.to_bytes(32, "big")
    return Wallet(secret, eip712.address_of_secret(secret))


ADMIN, OPERATOR, FEE_RECEIVER = wallet(0xAD), wallet(0x09), wallet(0xFE)


class Refused(Exception):
    """A transaction reverted; ``error`` is the typed error's name, ``figures`` its arguments."""

    def __init__(self, error: str, figures: tuple[Any, ...]) -> None:
        super().__init__(f"{error}{figures}")
        self.error = error
        self.figures = figures


class Rig:
    """An exchange with two tokens: number 0 has 6 decimals (quote), number 1 has 18 (base)."""

    def __init__(self) -> None:
        backend = PyEVMBackend.from_mnemonic(
            "test test test test test test test test test test test junk",
            genesis_state_overrides={"balance": 10**24},
            genesis_parameters=PyEVMBackend.generate_genesis_params({"gas_limit": CHAIN_GAS_MAX}),
        )
        self.tester = EthereumTester(backend)
        self.web3 = Web3(EthereumTesterProvider(self.tester))
        self.funder = self.web3.eth.accounts[0]
        self.known: set[bytes] = set()
        """Whose key the chain has been given; survives a return to a snapshot."""
        self.funded: set[bytes] = set()
        for someone in (ADMIN, OPERATOR):
            self._fund(someone)
        self.custodian = self.deploy("Custodian", ADMIN.address, 2 * EXIT_DELAY)
        self.exchange = self.deploy(
            "Exchange",
            ADMIN.address,
            OPERATOR.address,
            FEE_RECEIVER.address,
            self.custodian,
            HORIZON,
            EXIT_DELAY,
            DEADMAN_DELAY,
        )
        self.send(
            ADMIN,
            self.custodian,
            encode_call("proposeExchange", self.exchange, contract="Custodian"),
        )
        self.send(ADMIN, self.custodian, encode_call("appointExchange", contract="Custodian"))
        self.domain = eip712.Domain(self.web3.eth.chain_id, self.exchange)
        self.quote = self.list_token("Dollar", 6, -100)
        self.base = self.list_token("Token", 18, 10**10)
        self.token_numbers = {self.quote: 0, self.base: 1}
        self.head, self.next_batch = GENESIS_HEAD, 1

    # ------------------------------------------------------------ transactions

    def deploy(self, contract: str, *args: Any) -> bytes:
        receipt = self._transact(
            {"from": self.funder, "data": "0x" + encode_deployment(contract, *args).hex()}
        )
        return Web3.to_bytes(hexstr=receipt["contractAddress"])

    def send(self, sender: Wallet, to: bytes, calldata: bytes, gas: int = GAS_MAX) -> Any:
        """Send and return the receipt; raise ``Refused`` with the typed error if it reverts."""
        if sender.address not in self.funded:
            self._fund(sender)
        fields = {
            "from": Web3.to_checksum_address(sender.address),
            "to": Web3.to_checksum_address(to),
            "data": "0x" + calldata.hex(),
            "gas": gas,
        }
        return self._transact(fields)

    def call(self, name: str, *args: Any, contract: str = "Exchange", at: bytes = b"") -> Any:
        """Call a view and return what it returns."""
        bound = self.web3.eth.contract(
            address=Web3.to_checksum_address(at or self.exchange), abi=artifact(contract).abi
        )
        hexed = [Web3.to_checksum_address(a) if _is_address(a) else a for a in args]
        return bound.functions[name](*hexed).call()

    def events(self, receipt: Any, name: str, contract: str = "Exchange") -> list[dict[str, Any]]:
        """Return the arguments of every event ``name`` in ``receipt``."""
        bound = self.web3.eth.contract(abi=artifact(contract).abi)
        return [dict(e["args"]) for e in bound.events[name]().process_receipt(receipt, DISCARD)]

    def travel(self, seconds: int) -> None:
        """Let the chain's clock advance and mine a block."""
        self.tester.time_travel(self.now() + seconds)

    def now(self) -> int:
        """Time of the latest block."""
        return int(self.tester.get_block_by_number("latest")["timestamp"])

    # ------------------------------------------------------------ tokens

    def list_token(self, symbol: str, decimals: int, unit_scale: int) -> bytes:
        token = self.deploy("TestToken", symbol, symbol.upper()[:4], decimals)
        self.send(ADMIN, self.exchange, encode_call("listToken", token, unit_scale))
        return token

    def deposit(self, to: Wallet, token: bytes, raw: int, ref: bytes = ZERO_REF) -> Any:
        """Mint ``raw`` to the wallet and deposit all of it."""
        self.send(to, token, encode_call("mint", to.address, raw, contract="TestToken"))
        self.send(to, token, encode_call("approve", self.exchange, raw, contract="TestToken"))
        return self.send(to, self.exchange, encode_call("deposit", token, raw, to.address, ref))

    def balance(self, account: bytes, token: bytes) -> int:
        return int(self.call("balanceOf", account, token))

    # ------------------------------------------------------------ orders and batches

    def order(self, owner: Wallet, signer: Wallet | None = None, **fields: Any) -> SignedOrder:
        """Sign an order of ``owner``; fields not given are those of a plain single-shot buy."""
        signer = signer or owner
        plain: dict[str, Any] = {
            "account": owner.address,
            "nonce": 1,
            "flags": int(OrderBits.SINGLE_SHOT),
            "lane": 0,
            "base": self.base,
            "quote": self.quote,
            "base_amount": TOKEN,
            "quote_amount": 2_500 * TOKEN,
            "trigger_or_display": 0,
            "expiry": self.now() + HORIZON,
            "max_fee_ppm": 5_000,
            "ref": ZERO_REF,
            "signature": b"",
            "signer": signer.address,
            "digest": b"",
        }
        unsigned = SignedOrder(**(plain | fields))
        digest = eip712.order_digest(self.domain, unsigned)
        signature = eip712.sign(digest, signer.secret)
        fields_of = {f: getattr(unsigned, f) for f in unsigned.__struct_fields__}
        return SignedOrder(**(fields_of | {"digest": digest, "signature": signature}))

    def seal(self, trades: list[MatchedTrade], **header: Any) -> EncodedBatch:
        """Encode the next batch; header fields may be overridden."""
        fields: dict[str, Any] = {
            "batch": self.next_batch,
            "prev_head": self.head,
            "close_time": self.now(),
            "log_root": b"\x07" * 32,
            "first_sequence": self.next_batch,
            "command_count": 1,
        }
        return encode_batch(Header(**(fields | header)), trades, self.token_numbers)

    def settle(self, batch: EncodedBatch, gas: int = 0) -> Any:
        """Send a batch with its own gas limit, and follow the chain's head if it was accepted."""
        receipt = self.send(OPERATOR, self.exchange, batch.calldata, gas or batch.gas_limit)
        self.head, self.next_batch = batch.head, batch.header.batch + 1
        return receipt

    # ------------------------------------------------------------ inside

    def _fund(self, someone: Wallet) -> None:
        if someone.address not in self.known:
            self.tester.add_account("0x" + someone.secret.hex())
            self.known.add(someone.address)
        self.funded.add(someone.address)
        self._transact(
            {
                "from": self.funder,
                "to": Web3.to_checksum_address(someone.address),
                "value": 10**20,
            }
        )

    def _transact(self, fields: Any) -> Any:
        tx_hash = self.web3.eth.send_transaction({"gas": GAS_MAX} | fields)
        receipt = self.web3.eth.get_transaction_receipt(tx_hash)
        if receipt["status"] != 1:
            # A receipt does not say why; the same call on the block before does.
            try:
                self.web3.eth.call(fields | {"gas": GAS_MAX}, receipt["blockNumber"] - 1)
            except TransactionFailed as failure:
                raise refusal(str(failure)) from None
            raise Refused("OutOfGas", (receipt["gasUsed"],))
        return receipt


def _is_address(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == 20


def refusal(text: str) -> Refused:
    """Read the typed error out of eth-tester's message, which ends in a bytes literal."""
    literal = text.removeprefix("execution reverted: ")
    if not literal.startswith(("b'", 'b"')):
        return Refused(text, ())
    raw: bytes = ast.literal_eval(literal)
    for contract in ("Exchange", "Custodian", "InvoiceAddress"):
        for entry in artifact(contract).abi:
            if entry["type"] != "error":
                continue
            types = abi_types(contract, "error", entry["name"])
            if keccak256(f"{entry['name']}({','.join(types)})".encode())[:4] == raw[:4]:
                return Refused(entry["name"], decode(types, raw[4:]))
    return Refused(raw.hex(), ())


@pytest.fixture(scope="module")
def chain() -> Rig:
    """One exchange for all tests of a module; see ``fixtures`` for the clean state."""
    return Rig()


@pytest.fixture
def fixtures(chain: Rig) -> Iterator[Rig]:
    """The exchange as it was deployed; whatever a test does is undone."""
    snapshot = chain.tester.take_snapshot()
    head, next_batch, funded = chain.head, chain.next_batch, set(chain.funded)
    yield chain
    chain.tester.revert_to_snapshot(snapshot)
    chain.head, chain.next_batch, chain.funded = head, next_batch, funded
