"""Contracts are deployed once, wherever the first try was interrupted."""

import json
from pathlib import Path

import pytest

from settlement.chain.chain import Chain, Sending
from settlement.chain.deploy import (
    DEPLOY_GAS,
    Deployment,
    DeploymentError,
    TokenPlan,
    check_acknowledger,
    check_operator,
    connect,
    created_address,
)
from settlement.chain.dev.devchain import DevChain, dev_secret, start_devchain
from settlement.chain.signer import SecretSigner, Transaction
from settlement.protocol.abi import encode_call, encode_deployment, selector
from settlement.protocol.eip712 import ACKNOWLEDGEMENTS_TYPE, keccak256
from tests.chain.conftest import Clock, transfer
from tests.chain.test_submitter_faults import CutChain, PowerCut
from tests.chain.venue import ACKNOWLEDGER, BOND, DELAYS, DEPLOYER, OPERATOR, deployed, number

STEPS = (
    *("Custodian", "Exchange", "proposeExchange", "appointExchange", "InvoiceDeposits"),
    *("TestToken", "listToken", "TestToken", "listToken"),
    *("Collector", "Bond", "mint", "approve", "post"),
)


def test_an_interrupted_deployment_goes_on_where_it_stopped(devchain: DevChain, tmp_path: Path):
    at, is_cut = 0, True
    while is_cut:
        at += 1
        try:
            deployed(CutChain(devchain.chain, at, at % 2 == 0), tmp_path)  # type: ignore[arg-type]
            is_cut = False
        except PowerCut:
            assert not (tmp_path / "deployment.json").exists()

    sent = len(STEPS)
    assert at > sent, "each of the transactions was interrupted, and more"
    assert devchain.chain.nonce(DEPLOYER.address, pending=True) == sent, "nothing was sent twice"
    deployment = connect(devchain.chain, tmp_path / "deployment.json")
    call = encode_call("operator")
    assert devchain.chain.call(deployment.exchange, call)[12:] == OPERATOR.address


def test_a_second_start_only_reads_the_record(devchain: DevChain, tmp_path: Path):
    first = deployed(devchain.chain, tmp_path)
    height = devchain.chain.head().number

    assert deployed(devchain.chain, tmp_path) == first
    assert devchain.chain.head().number == height
    assert Deployment.load(tmp_path / "deployment.json") == first
    assert [token.symbol for token in first.tokens] == ["USD", "TOKEN"]
    assert not list(tmp_path.glob("*.new"))


def test_a_record_from_before_there_was_a_bond_is_added_to(devchain: DevChain, tmp_path: Path):
    whole = deployed(devchain.chain, tmp_path)
    path = tmp_path / "deployment.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in fields.items() if k not in ("bond", "collector")}))
    assert connect(devchain.chain, path).contracts.keys() == whole.contracts.keys() - {
        *("bond", "collector")
    }

    assert deployed(devchain.chain, tmp_path) == whole == Deployment.load(path)
    assert devchain.chain.nonce(DEPLOYER.address, pending=True) == len(STEPS)


def test_collector_and_bond_serve_the_exchange_and_the_bond_is_posted(
    devchain: DevChain, tmp_path: Path
):
    deployment = deployed(devchain.chain, tmp_path)

    def asked(name: str, contract: str, address: bytes) -> bytes:
        return devchain.chain.call(address, encode_call(name, contract=contract))

    for name, address in (("Collector", deployment.collector), ("Bond", deployment.bond)):
        assert asked("exchange", name, address)[12:] == deployment.exchange
    assert number(asked("bonded", "Bond", deployment.bond)) == BOND.raw_amount > 0
    assert asked("owner", "Bond", deployment.bond)[12:] == DEPLOYER.address
    check_acknowledger(devchain.chain, deployment, ACKNOWLEDGER.address)
    with pytest.raises(DeploymentError, match="the bond answers for the word of 0x"):
        check_acknowledger(devchain.chain, deployment, OPERATOR.address)
    check_acknowledger(devchain.chain, deployment._replace(bond=b""), OPERATOR.address)


def test_a_bond_that_takes_acknowledgements_of_another_form_is_refused(
    devchain: DevChain, tmp_path: Path
):
    """Else an exchange on a bond of an older build would give words that prove nothing there."""
    deployment = deployed(devchain.chain, tmp_path)
    selector = encode_call("acknowledgementsDigest", bytes(32), contract="Bond")[:4]
    usd, signer = deployment.tokens[0].address, ACKNOWLEDGER.address
    code = encode_deployment("Bond", deployment.exchange, usd, signer, OPERATOR.address)
    assert code.count(selector) == 1, "the function has its name in one place"
    for name, built in (
        ("without it", code.replace(selector, b"\x00\x00\x00\x01")),
        ("other words", code.replace(keccak256(ACKNOWLEDGEMENTS_TYPE.encode()), bytes(32))),
    ):
        assert built != code, name
        older = deployment._replace(bond=created(devchain.chain, built))
        older.save(tmp_path / "older.json")
        assert connect(devchain.chain, tmp_path / "older.json") == older, "serves the exchange"
        with pytest.raises(DeploymentError, match="of another build"):
            check_acknowledger(devchain.chain, older, signer)


@pytest.mark.parametrize("name", ["settle", "orderDigest"])
def test_an_exchange_that_takes_orders_or_batches_of_another_form_is_refused(
    devchain: DevChain, tmp_path: Path, name: str
):
    """Else every batch would revert without a word, and settlement halt with no reason."""
    deployment = deployed(devchain.chain, tmp_path)
    assert check_operator(devchain.chain, deployment, OPERATOR.address)[0] > 0
    code = encode_deployment("Exchange", *[OPERATOR.address] * 3, deployment.custodian, *DELAYS[:3])
    assert code.count(selector(name)) == 1, "the function has its name in one place"
    older = created(devchain.chain, code.replace(selector(name), b"\x00\x00\x00\x01"))
    with pytest.raises(DeploymentError, match="of another build and takes other orders or batches"):
        check_operator(devchain.chain, deployment._replace(exchange=older), OPERATOR.address)


def created(chain: Chain, code: bytes) -> bytes:
    """Create a contract as anybody may; return its address."""
    nonce = chain.nonce(OPERATOR.address, pending=True)
    raw = OPERATOR.sign_transaction(
        Transaction(chain.chain_id, nonce, None, code, DEPLOY_GAS, 10**11, 10**9)
    )
    assert chain.send_raw(raw).sending is Sending.ACCEPTED
    return created_address(OPERATOR.address, nonce)


@pytest.mark.parametrize("contract", ["collector", "bond"])
def test_a_record_that_names_another_contract_is_refused(
    devchain: DevChain, tmp_path: Path, contract: str
):
    deployment = deployed(devchain.chain, tmp_path)
    for wrong in (deployment.tokens[0].address, b"\x11" * 20):
        deployment._replace(**{contract: wrong}).save(tmp_path / "wrong.json")
        with pytest.raises(DeploymentError, match="does not serve the exchange"):
            connect(devchain.chain, tmp_path / "wrong.json")


def test_a_record_of_another_chain_is_refused(tmp_path: Path, clock: Clock):
    with start_devchain(tmp_path / "one", "eth-tester", clock) as chain:
        deployed(chain.chain, tmp_path)
    with (
        start_devchain(tmp_path / "two", "eth-tester", clock) as chain,
        pytest.raises(DeploymentError, match="no contract at"),
    ):
        deployed(chain.chain, tmp_path)


def test_a_deployer_that_did_something_else_is_refused(devchain: DevChain, tmp_path: Path):
    assert DEPLOYER.address == SecretSigner(dev_secret(9)).address
    devchain.chain.send_raw(transfer(devchain.chain, 9, 0))
    with pytest.raises(DeploymentError, match="account of its own"):
        deployed(devchain.chain, tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tokens": [{}]}', '{"tokens": 1}'])
def test_a_spoilt_record_is_refused_by_name(tmp_path: Path, content: str):
    path = tmp_path / "deployment.json"
    path.write_text(content)
    with pytest.raises(DeploymentError, match=r"deployment\.json"):
        Deployment.load(path)


RECORD = {
    "chain_id": 1,
    "deploy_block": 2,
    "custodian": "11" * 20,
    "exchange": "22" * 20,
    "invoice_deposits": "33" * 20,
    "invoice_implementation": "44" * 20,
    "tokens": [],
}


def test_found_a_record_of_another_form_was_taken_or_ended_in_a_traceback(tmp_path: Path):
    path = tmp_path / "deployment.json"
    path.write_text(json.dumps(RECORD))
    assert Deployment.load(path).exchange == b"\x22" * 20
    wrong = (
        *("5", "null", '"x"'),
        *(
            json.dumps({**RECORD, **change})
            for change in (
                {"exchange": "22" * 19},
                {"exchange": 5},
                {"chain_id": None},
                {"chain_id": True},
                {"deploy_block": -1},
                {"deploy_block": "2"},
            )
        ),
    )
    for content in wrong:
        path.write_text(content)
        with pytest.raises(DeploymentError, match=r"deployment\.json"):
            Deployment.load(path)


@pytest.mark.parametrize(("decimals", "scale"), [(18, 10**10), (8, 1), (6, -100), (0, -(10**8))])
def test_the_unit_scale_follows_the_decimals(decimals: int, scale: int):
    assert TokenPlan("x", "X", decimals).unit_scale == scale
