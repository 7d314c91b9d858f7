"""One seam, two nodes: the same questions get answers of the same shape."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from web3 import Web3
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from settlement.chain.chain import (
    Block,
    CallRevertedError,
    ChainUnavailableError,
    Log,
    LogFilter,
    RpcChain,
    Sending,
)
from settlement.chain.dev.devchain import DevChain, dev_secret
from settlement.chain.signer import SecretSigner, Transaction
from settlement.protocol.eip712 import keccak256
from tests.chain.conftest import transfer

SENDER = SecretSigner(dev_secret(0))

EMITTER = bytes.fromhex(
    # Creation code of a contract that logs its calldata word under topic 7 and, called with
    # nothing, reverts with the octets 0xdead. Hand-assembled so that this test needs no compiler.
    "601f600c600039601f6000f3" + "3615601357600035600052600760206000a1005b61dead6000526002601efd"
)


def deploy(chain: DevChain, code: bytes) -> bytes:
    raw = SENDER.sign_transaction(
        Transaction(
            chain.chain.chain_id,
            chain.chain.nonce(SENDER.address, pending=True),
            None,
            code,
            200_000,
            10**11,
            10**9,
        )
    )
    assert chain.chain.send_raw(raw).sending is Sending.ACCEPTED
    receipt = chain.chain.receipt(keccak256(raw))
    assert receipt is not None and receipt.succeeded and receipt.contract is not None
    return receipt.contract


def call_emitter(chain: DevChain, contract: bytes, word: int) -> bytes:
    raw = SENDER.sign_transaction(
        Transaction(
            chain.chain.chain_id,
            chain.chain.nonce(SENDER.address, pending=True),
            contract,
            word.to_bytes(32, "big"),
            100_000,
            10**11,
            10**9,
        )
    )
    assert chain.chain.send_raw(raw).sending is Sending.ACCEPTED
    return keccak256(raw)


def test_a_transfer_is_mined_with_receipt_nonce_and_block(devchain: DevChain):
    chain = devchain.chain
    raw = transfer(chain, 0, 0)

    assert chain.send_raw(raw).sending is Sending.ACCEPTED

    receipt, head = chain.receipt(keccak256(raw)), chain.head()
    assert receipt is not None
    assert (receipt.succeeded, receipt.gas_used) == (True, 21_000)
    assert (receipt.block_number, receipt.block_hash) == (head.number, head.hash)
    assert chain.block(head.number) == head
    assert chain.block(head.number + 1) is None
    assert chain.nonce(SENDER.address, pending=False) == 1
    assert chain.balance(b"\x22" * 20) == 1


def test_refusals_of_raw_transactions_are_typed(devchain: DevChain):
    chain = devchain.chain
    chain.send_raw(transfer(chain, 0, 0))

    assert chain.send_raw(transfer(chain, 0, 0, wei=2)).sending is Sending.NONCE_TOO_LOW
    assert chain.send_raw(b"\x02\x11").sending is Sending.REJECTED
    assert chain.receipt(b"\x11" * 32) is None


def test_a_pending_transaction_is_already_known(anvil: DevChain):
    anvil.rpc("evm_setAutomine", [False])
    raw = transfer(anvil.chain, 0, 0)

    assert anvil.chain.send_raw(raw).sending is Sending.ACCEPTED
    assert anvil.chain.send_raw(raw).sending is Sending.ALREADY_KNOWN
    assert anvil.chain.receipt(keccak256(raw)) is None


def test_logs_come_in_chain_order_and_by_range(devchain: DevChain):
    chain = devchain.chain
    contract = deploy(devchain, EMITTER)
    first = chain.head().number + 1
    hashes = [call_emitter(devchain, contract, word) for word in range(5)]
    last = chain.head().number

    logs = chain.logs([contract], [(7).to_bytes(32, "big")], first, last)

    assert [log.tx_hash for log in logs] == hashes
    assert [int.from_bytes(log.payload, "big") for log in logs] == list(range(5))
    assert chain.logs([contract], [], first + 1, first + 1) == logs[1:2]
    assert chain.logs([b"\x33" * 20], [], first, last) == []
    assert chain.logs([contract], [[b"\x01" * 32]], first, last) == []


def test_a_reverting_call_carries_what_the_contract_said(devchain: DevChain):
    contract = deploy(devchain, EMITTER)

    with pytest.raises(CallRevertedError) as refused:
        devchain.chain.call(contract, b"")

    assert refused.value.output == bytes.fromhex("dead")


def test_a_transaction_that_reverts_is_mined_as_failed(devchain: DevChain):
    contract = deploy(devchain, EMITTER)
    raw = SENDER.sign_transaction(
        Transaction(devchain.chain.chain_id, 1, contract, b"", 100_000, 10**11, 10**9)
    )

    assert devchain.chain.send_raw(raw).sending is Sending.ACCEPTED

    receipt = devchain.chain.receipt(keccak256(raw))
    assert receipt is not None and not receipt.succeeded


def test_logs_of_a_block_are_asked_for_by_its_hash(devchain: DevChain):
    chain = devchain.chain
    contract = deploy(devchain, EMITTER)
    (sent,) = [call_emitter(devchain, contract, 9)]
    block = chain.head()
    wanted = [LogFilter([contract], [(7).to_bytes(32, "big")]), LogFilter([b"\x33" * 20], [])]

    (log,) = chain.logs_of(block, wanted)
    assert (log.tx_hash, log.block_hash) == (sent, block.hash)
    assert chain.logs_of(chain.block(block.number - 1), wanted) == []
    assert chain.positions([log]) == [0]
    with pytest.raises(ChainUnavailableError):
        chain.logs_of(block._replace(hash=b"\x01" * 32), wanted)
    with pytest.raises(ChainUnavailableError):
        chain.positions([log._replace(block_hash=b"\x01" * 32)])
    with pytest.raises(ChainUnavailableError, match="has no block"):
        chain.logs([contract], [], block.number, block.number + 1)


class Talking(JSONBaseProvider):
    """Answers everything with ``answer``."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return cast(RPCResponse, {"jsonrpc": "2.0", "id": 1, "result": self.answer})

    def make_batch_request(
        self, requests: list[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        return [self.make_request(*one) for one in requests]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        "0xzz",
        [],
        {},
        {"number": None},
        {"number": hex(2**64), "hash": "0x01", "parentHash": "0x", "timestamp": "0x1"},
    ],
)
def test_an_answer_that_is_none_is_as_if_nobody_had_answered(answer: Any):
    """A node that answers nonsense must not end the process: it is asked again."""
    chain = RpcChain(Web3(Talking(answer)))
    block = Block(1, b"\x01" * 32, bytes(32), 1)
    log = Log(b"\x01" * 20, (), b"", 1, block.hash, bytes(32), 0)
    questions: list[Callable[[], Any]] = [
        chain.head,
        lambda: chain.logs([], [], 1, 2),
        lambda: chain.logs_of(block, [LogFilter([], [])]),
        lambda: chain.positions([log]),
        lambda: chain.nonce(bytes(20), pending=True) if answer != 7 else chain.head(),
    ]
    for question in questions:
        with pytest.raises(ChainUnavailableError):
            question()


class Answering(JSONBaseProvider):
    """A node that answers every question with one error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__()
        self.error = error

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return cast(RPCResponse, {"jsonrpc": "2.0", "id": 1, "error": self.error})


@pytest.mark.parametrize(
    ("code", "message", "data", "output"),
    [
        (3, "execution reverted", "0xdead", "dead"),
        (-32000, "execution reverted", None, ""),
        (-32000, "out of gas", None, ""),
        (-32000, "invalid opcode: INVALID", None, ""),
        (-32000, "invalid jump destination", None, ""),
        (-32000, "err: intrinsic gas too low: have 100, want 21000 (supplied gas 100)", None, ""),
        (-32603, "EVM error OutOfGas", None, ""),
        (-32603, "EVM error InvalidFEOpcode", None, ""),
        (-32603, "EVM error InvalidJump", None, ""),
        (-32000, "intrinsic gas too high -- CallGasCostMoreThanGasLimit", None, ""),
        (-32015, "VM execution error.", "Bad instruction fe", ""),
        (-32015, "VM execution error.", "Reverted 0xdead", "dead"),
        (-32000, "Message.gas cannot be negative: Got: -20744", None, ""),
    ],
)
def test_what_the_evm_ends_is_a_refusal_in_every_nodes_words(
    code: int, message: str, data: str | None, output: str
):
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    with pytest.raises(CallRevertedError) as refused:
        RpcChain(Web3(Answering(error))).call(b"\x01" * 20, b"", gas=100)
    assert refused.value.output == bytes.fromhex(output)
    assert refused.value.reason.startswith(message)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32000, "header not found"),
        (-32000, "missing trie node 1f2e (path )"),
        (-32000, "execution aborted (timeout = 5s)"),
        (-32001, "block not found: 0x10"),
        (-32005, "daily request count exceeded, request rate limited"),
        (429, "Your app has exceeded its compute units per second capacity"),
        (-32603, "Internal error"),
        (-32603, "failed to get account for 0x01: error sending request for url"),
    ],
)
def test_what_ails_a_node_is_no_refusal(code: int, message: str):
    chain = RpcChain(Web3(Answering({"code": code, "message": message})))
    with pytest.raises(ChainUnavailableError):
        chain.call(b"\x01" * 20, b"")
