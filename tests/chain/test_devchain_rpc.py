"""A browser or a JSON-RPC proxy can talk to either node and gets JSON in JSON-RPC's own words."""

import json
import re

import pytest

from settlement.chain.dev.devchain import DevChain, RpcError, dev_secret
from settlement.chain.signer import SecretSigner
from tests.chain.conftest import transfer

SENDER = "0x" + SecretSigner(dev_secret(0)).address.hex()
HEX = re.compile("0x[0-9a-f]*", re.IGNORECASE)


def test_the_accounts_of_the_phrase_are_funded(devchain: DevChain):
    for index in range(10):
        address = SecretSigner(dev_secret(index)).address
        assert devchain.chain.balance(address) >= 10_000 * 10**18


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_chainId", []),
        ("eth_blockNumber", []),
        ("eth_getBalance", [SENDER, "latest"]),
        ("eth_getTransactionCount", [SENDER, "pending"]),
        ("eth_getCode", [SENDER, "latest"]),
        ("eth_gasPrice", []),
        ("eth_maxPriorityFeePerGas", []),
        ("eth_estimateGas", [{"from": SENDER, "to": SENDER, "value": "0x1"}]),
        ("eth_call", [{"from": SENDER, "to": SENDER, "data": "0x"}, "latest"]),
    ],
)
def test_plain_answers_are_hex(devchain: DevChain, method: str, params: list[object]):
    assert HEX.fullmatch(devchain.rpc(method, params))


def test_a_wallets_road_from_raw_transaction_to_receipt(devchain: DevChain):
    tx_hash = devchain.rpc("eth_sendRawTransaction", ["0x" + transfer(devchain.chain, 0, 0).hex()])
    receipt = devchain.rpc("eth_getTransactionReceipt", [tx_hash])
    found = devchain.rpc("eth_getTransactionByHash", [tx_hash])
    block = devchain.rpc("eth_getBlockByNumber", ["latest", False])

    for answer in (receipt, found, block):
        json.dumps(answer)
    assert receipt["status"] == "0x1" and receipt["transactionHash"] == tx_hash
    assert found["blockHash"] == block["hash"] == receipt["blockHash"]
    assert block["transactions"] == [tx_hash]
    assert len(block["logsBloom"]) == 2 + 512
    assert devchain.rpc("eth_getTransactionReceipt", ["0x" + "11" * 32]) is None
    assert devchain.rpc("eth_getTransactionByHash", ["0x" + "11" * 32]) is None
    assert devchain.rpc("eth_getBlockByNumber", ["0x999", False]) is None


def test_both_nodes_are_one_chain_to_a_wallet(devchain: DevChain):
    assert devchain.rpc("eth_chainId", []) == "0x7a69"
    assert devchain.rpc("net_version", []) == "31337"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_sendRawTransaction", []),
        ("eth_sendRawTransaction", ["0xzz"]),
        ("eth_sendRawTransaction", ["0x12 mine"]),
        ("eth_sendRawTransaction", [7]),
        ("eth_getBalance", ["nobody", "latest"]),
        ("no_suchMethod", []),
    ],
)
def test_nonsense_is_an_error_answer_and_changes_nothing(
    devchain: DevChain, method: str, params: list[object]
):
    before = devchain.chain.head()
    with pytest.raises(RpcError) as refused:
        devchain.rpc(method, params)

    assert refused.value.code < 0 and refused.value.message
    assert devchain.chain.head() == before


def test_time_can_be_pushed_ahead_on_both_nodes(devchain: DevChain):
    devchain.mine()
    before = devchain.chain.head().timestamp
    devchain.rpc("evm_increaseTime", [5_000])
    devchain.mine()

    passed = devchain.chain.head().timestamp - before
    assert 4_990 <= passed < 5_100


def test_web3_works_over_the_same_door(devchain: DevChain):
    block = devchain.web3.eth.get_block("latest")
    assert block["number"] == 0
    assert devchain.web3.eth.chain_id == 31_337
