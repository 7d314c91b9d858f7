"""Contracts are deployed once, wherever the first try was interrupted."""

from pathlib import Path

import pytest

from settlement.batch import encode_call
from settlement.deploy import Deployment, DeploymentError, TokenPlan, connect
from settlement.devchain import DevChain, dev_secret, start_devchain
from settlement.signer import SecretSigner
from tests.chain.conftest import Clock, transfer
from tests.chain.road import DEPLOYER, OPERATOR, deployed
from tests.chain.test_submitter_faults import CutChain, PowerCut


def test_an_interrupted_deployment_goes_on_where_it_stopped(devchain: DevChain, tmp_path: Path):
    at, is_cut = 0, True
    while is_cut:
        at += 1
        try:
            deployed(CutChain(devchain.chain, at, at % 2 == 0), tmp_path)  # type: ignore[arg-type]
            is_cut = False
        except PowerCut:
            assert not (tmp_path / "deployment.json").exists()

    assert at > 10, "each of the nine transactions was interrupted, and more"
    assert devchain.chain.nonce(DEPLOYER.address, pending=True) == 9, "nothing was sent twice"
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


@pytest.mark.parametrize(("decimals", "scale"), [(18, 10**10), (8, 1), (6, -100), (0, -(10**8))])
def test_the_unit_scale_follows_the_decimals(decimals: int, scale: int):
    assert TokenPlan("x", "X", decimals).unit_scale == scale
