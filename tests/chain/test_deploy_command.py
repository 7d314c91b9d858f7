"""``tillbook deploy`` ends in the same contracts wherever it was killed; nothing is sent twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import httpx
import pytest
from eth_account import Account

from gateway.cli.deploy import plan_of, signer_of
from settlement.chain.chain import RpcChain, Sending
from settlement.chain.code_check import is_code_of
from settlement.chain.deploy import Delays, Deployment, DeploymentError, connect
from settlement.chain.deploying import Deploying, DeployPlan, Terms, check, code_of
from settlement.chain.dev.devchain import DevChain, dev_secret
from settlement.chain.signer import KeystoreError, SecretSigner
from tests.chain.conftest import transfer

ROOT = Path(__file__).parents[2]
RUN = "import sys; from gateway.cli.main import main; sys.argv[0] = 'tillbook'; main()"
DEPLOYER, OPERATOR, ACKNOWLEDGER = (SecretSigner(dev_secret(i)) for i in (7, 0, 6))
POLLS_MAX = 1_200
POLL_SECONDS = 0.05
PLAN = {
    "operator": "0x" + OPERATOR.address.hex(),
    "acknowledger": "0x" + ACKNOWLEDGER.address.hex(),
    "tokens": [
        {"name": "Dollar", "symbol": "USD", "decimals": 6},
        {"name": "Token", "symbol": "TOKEN", "decimals": 18},
    ],
    "bond": {"token": "USD", "raw_amount": 10**9},
}
STEPS = 14


def mine(anvil: DevChain) -> None:
    """Make a block at the node's own time: others have it make blocks too, and none goes back."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "evm_mine", "params": []}
    assert "error" not in httpx.post(str(anvil.rpc_url), json=asked, timeout=10).json()


class Desk:
    """The files of somebody who deploys, and his commands."""

    def __init__(self, directory: Path, anvil: DevChain) -> None:
        self.directory, self.anvil = directory, anvil
        self.key, self.plan = directory / "key", directory / "plan.json"
        self.record = directory / "contracts.json"
        self.key.write_text(dev_secret(7).hex() + "\n")
        self.key.chmod(0o600)
        self.plan.write_text(json.dumps(PLAN))

    def begin(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-c", RUN, "deploy", "--rpc", str(self.anvil.rpc_url)),
                *("--key-file", str(self.key), "--plan", str(self.plan), "--to", str(self.record)),
                *("--confirmations", "2", "--test-tokens", *options),
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )

    def run(self, *options: str, code: int = 0) -> str:
        """Let it run to its end, while blocks come; return what it says."""
        process = self.begin("--yes", *options)
        self.until(process, lambda: process.poll() is not None, mining=True)
        output, _ = process.communicate()
        assert process.returncode == code, output
        return output

    def until(self, process: subprocess.Popen[str], is_so, *, mining: bool) -> None:
        pause = Event()
        for _ in range(POLLS_MAX):
            if is_so():
                return
            if mining:
                mine(self.anvil)
            pause.wait(POLL_SECONDS)
        process.kill()
        raise AssertionError(process.communicate()[0])

    def nonce(self, *, pending: bool = False) -> int:
        return self.anvil.chain.nonce(DEPLOYER.address, pending=pending)

    def deploying(self, plan: DeployPlan | None = None) -> Deploying:
        terms = Terms(1, 10**9, 0, lambda: mine(self.anvil), 100)
        plan = plan or plan_of(self.plan, test_tokens=True)
        assert isinstance(self.anvil.chain, RpcChain)
        return Deploying(self.anvil.chain, self.record, DEPLOYER, plan, terms)


@pytest.fixture
def desk(tmp_path: Path, anvil: DevChain) -> Desk:
    directory = tmp_path / "desk"
    directory.mkdir()
    return Desk(directory, anvil)


def assert_whole(desk: Desk) -> Deployment:
    assert desk.nonce(pending=True) == STEPS, "nothing was sent twice"
    deployment = connect(desk.anvil.chain, desk.record)
    check(
        desk.anvil.chain,
        deployment,
        DEPLOYER.address,
        plan_of(desk.plan, test_tokens=True),
    )
    assert not desk.record.with_name("contracts.json.begun").exists()
    return deployment


def test_it_tells_what_it_costs_deploys_and_a_second_run_changes_nothing(desk: Desk):
    asked = desk.begin()
    output, _ = asked.communicate(timeout=60)
    assert asked.returncode == 1 and "14 transactions, about" in output, output
    assert desk.nonce(pending=True) == 0 and not desk.record.exists(), "nobody agreed"

    told = int(output.partition("about ")[2].partition(" gas")[0].replace(",", ""))
    before = desk.anvil.chain.balance(DEPLOYER.address)
    words = desk.run()
    deployment = assert_whole(desk)
    assert deployment.deploy_block <= desk.anvil.chain.head().number
    for contract, address in code_of(deployment).items():
        assert address.hex() in words, contract
    spent = before - desk.anvil.chain.balance(DEPLOYER.address)
    assert told * 5 // 10 * 10**9 < spent < told * 3 * 10**9, "the estimate is of that size"

    assert "deployed already" in desk.run()
    assert_whole(desk)
    for text in (output, words):
        assert dev_secret(7).hex() not in text


@pytest.mark.parametrize("mined", [0, 5, 13])
def test_killed_in_the_middle_it_goes_on_where_it_stopped(desk: Desk, mined: int):
    """Each time with a transaction in the pool that no block has."""
    desk.anvil.rpc("evm_setAutomine", [False])
    process = desk.begin("--yes")
    for done in range(mined):
        desk.until(process, lambda done=done: desk.nonce(pending=True) > done, mining=False)
        mine(desk.anvil)
    desk.until(process, lambda: desk.nonce(pending=True) > mined, mining=False)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not desk.record.exists() and desk.nonce() == mined

    desk.run()

    assert_whole(desk)


def test_two_that_run_at_once_deploy_once(desk: Desk):
    first, second = desk.begin("--yes"), desk.begin("--yes")
    for process in (first, second):
        desk.until(process, lambda p=process: p.poll() is not None, mining=True)
    words = [process.communicate()[0] for process in (first, second)]
    if first.returncode or second.returncode:
        desk.run()  # Whoever lost says why, and the same again finds all done.
    assert_whole(desk)
    assert words


def test_another_plan_cannot_go_on_with_what_was_begun(desk: Desk):
    desk.deploying().run(lambda _: None)
    desk.record.unlink()
    begun = desk.directory / "contracts.json.begun"
    first = desk.deploying()
    begun.write_text(json.dumps(first._begun._asdict()))
    plan = plan_of(desk.plan, test_tokens=True)
    with pytest.raises(DeploymentError, match="another plan, key or chain"):
        desk.deploying(plan._replace(delays=Delays(horizon=7)))
    begun.write_text("{")
    with pytest.raises(DeploymentError, match="no note of a deployment"):
        desk.deploying()


def test_a_deployer_that_does_something_else_meanwhile_is_refused(desk: Desk):
    deploying = desk.deploying()
    for nonce in range(STEPS + 1):
        sent = desk.anvil.chain.send_raw(transfer(desk.anvil.chain, 7, nonce))
        assert sent.sending is Sending.ACCEPTED
    with pytest.raises(DeploymentError, match="account of its own"):
        deploying.estimate()


def test_an_account_that_has_sent_before_may_deploy(desk: Desk):
    assert desk.anvil.chain.send_raw(transfer(desk.anvil.chain, 7, 0)).sending is Sending.ACCEPTED
    deployment = desk.deploying().run(lambda _: None)
    assert desk.nonce(pending=True) == STEPS + 1
    assert connect(desk.anvil.chain, desk.record) == deployment


def test_without_money_nothing_is_sent(desk: Desk):
    desk.anvil.rpc("anvil_setBalance", ["0x" + DEPLOYER.address.hex(), hex(10**15)])
    assert "nothing was sent" in desk.run(code=1)
    assert desk.nonce(pending=True) == 0


def test_code_of_another_is_told_by_one_byte(desk: Desk):
    deployment = desk.deploying().run(lambda _: None)
    plan = plan_of(desk.plan, test_tokens=True)
    for contract, address in code_of(deployment).items():
        code = desk.anvil.chain.code(address)
        assert is_code_of(contract, code)
        assert not is_code_of(contract, b"") and not is_code_of(contract, code[:-1])
        changed = bytearray(code)
        changed[len(code) >> 1] ^= 1
        others = (name for name in code_of(deployment) if name != contract)
        assert not any(is_code_of(name, code) for name in others)
        desk.anvil.rpc("anvil_setCode", ["0x" + address.hex(), "0x" + changed.hex()])
        with pytest.raises(DeploymentError):
            check(desk.anvil.chain, deployment, DEPLOYER.address, plan)
        desk.anvil.rpc("anvil_setCode", ["0x" + address.hex(), "0x" + code.hex()])
    for wrong in (
        plan._replace(operator=DEPLOYER.address),
        plan._replace(delays=Delays(horizon=7)),
    ):
        with pytest.raises(DeploymentError):
            check(desk.anvil.chain, deployment, DEPLOYER.address, wrong)


@pytest.mark.parametrize(
    "changes",
    [
        {"operator": "0x12"},
        {"operator": "0x" + "aB" * 20},
        {"more": 1},
        {"tokens": []},
        {"tokens": [PLAN["tokens"][0]] * 2},  # type: ignore[index]
        {"bond": {"token": "EUR"}},
        {"delays": {"horizon": 0}},
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(tmp_path: Path, changes: dict[str, object]):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN | changes))
    with pytest.raises(DeploymentError, match=r"plan\.json"):
        plan_of(path, test_tokens=True)
    path.write_text(json.dumps(PLAN))
    with pytest.raises(DeploymentError, match="--test-tokens"):
        plan_of(path, test_tokens=False)


def test_a_key_is_read_from_a_private_file_and_shown_nowhere(tmp_path: Path):
    secret = dev_secret(7).hex()
    key, password = tmp_path / "key", tmp_path / "password"
    for text in (secret, "0x" + secret, f" {secret}\n"):
        key.write_text(text)
        key.chmod(0o600)
        assert signer_of(key, None).address == DEPLOYER.address
    key.chmod(0o644)
    with pytest.raises(KeystoreError, match="chmod 600"):
        signer_of(key, None)
    for text in ("", secret[:-1], secret + "0", "\xff" * 64):
        key.write_text(text)
        key.chmod(0o600)
        with pytest.raises(KeystoreError) as refused:
            signer_of(key, None)
        assert secret[:16] not in str(refused.value)
    key.write_text(json.dumps(Account.encrypt(dev_secret(7), "open", kdf="pbkdf2", iterations=2)))
    password.write_text("open\n")
    assert signer_of(key, password).address == DEPLOYER.address
