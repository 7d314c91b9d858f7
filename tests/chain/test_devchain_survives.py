"""The embedded chain keeps every mined transaction, however its owner ends."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from settlement.chain.chain import Sending
from settlement.chain.dev.devchain import (
    STATES_KEPT,
    DevChain,
    DevChainError,
    dev_secret,
    start_devchain,
)
from settlement.chain.signer import SecretSigner
from settlement.protocol.eip712 import keccak256
from tests.chain.conftest import NODES, Clock, transfer, until

OWNER = """
import sys, time
from pathlib import Path
from settlement.chain.dev.devchain import start_devchain, dev_secret
from settlement.protocol.eip712 import keccak256
from settlement.chain.signer import SecretSigner
from tests.chain.conftest import transfer

chain = start_devchain(Path(sys.argv[1]), sys.argv[2], time.time_ns)
address = SecretSigner(dev_secret(0)).address
print("up", chain.rpc_url, flush=True)
nonce = chain.chain.nonce(address, pending=False)
while True:
    raw = transfer(chain.chain, 0, nonce)
    assert chain.chain.send_raw(raw).sending.name == "ACCEPTED"
    receipt = chain.chain.receipt(keccak256(raw))
    print(receipt.tx_hash.hex(), receipt.block_hash.hex(), flush=True)
    nonce += 1
"""


def kill_owner_after(lines: int, directory: Path, node: str) -> tuple[list[str], str]:
    """Let a process own the chain, kill it after ``lines`` transactions; return what it mined."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory), node], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    url = owner.stdout.readline().split()[1]
    mined = [owner.stdout.readline() for _ in range(lines)]
    os.kill(owner.pid, signal.SIGKILL)
    mined += owner.stdout.readlines()  # What it managed to say before the signal arrived.
    owner.wait()
    return [line for line in mined if line.endswith("\n")], url


@pytest.mark.parametrize("node", NODES)
def test_sigkill_at_any_moment_loses_no_mined_transaction(node: str, tmp_path: Path, clock: Clock):
    mined: list[str] = []
    for lines in (0, 1, 7, 2, 20):
        mined += kill_owner_after(lines, tmp_path, node)[0]

    with start_devchain(tmp_path, "auto", clock) as chain:
        assert chain.name == node
        assert len(mined) >= 30
        for line in mined:
            tx_hash, block_hash = map(bytes.fromhex, line.split())
            receipt = chain.chain.receipt(tx_hash)
            assert receipt is not None and receipt.succeeded
            assert receipt.block_hash == block_hash, "the very same block"
        # The one that was on its way when the signal came may be in or not, but only whole.
        count = chain.chain.nonce(SecretSigner(dev_secret(0)).address, pending=False)
        assert len(mined) <= count <= len(mined) + 5
        assert chain.chain.balance(b"\x22" * 20) == count


def test_anvil_dies_with_a_killed_owner(anvil: DevChain, tmp_path: Path):
    url = kill_owner_after(1, tmp_path / "other", "anvil")[1]
    port = re.sub(r".*:", "", url)

    until(lambda: f"{int(port):04X}" not in listening_ports())

    assert anvil.chain.head().number == 0, "another chain's anvil is left alone"


def listening_ports() -> set[str]:
    """Return the hexadecimal ports in state LISTEN (0A)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1].rpartition(":")[2] for row in rows if row[3] == "0A"}


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("keep_state", [True, False])
def test_a_clean_stop_restarts_with_the_same_blocks(
    node: str, keep_state: bool, tmp_path: Path, clock: Clock
):
    with start_devchain(tmp_path, node, clock) as chain:
        for nonce in range(3):
            assert chain.chain.send_raw(transfer(chain.chain, 0, nonce)).sending is Sending.ACCEPTED
        chain.mine(2)
        head = chain.chain.head()
    if not keep_state:
        for state in tmp_path.glob("state-*.json"):
            state.unlink()

    with start_devchain(tmp_path, "auto", clock) as chain:
        assert chain.chain.head() == head
        raw = transfer(chain.chain, 0, 3)
        assert chain.chain.send_raw(raw).sending is Sending.ACCEPTED
        after = chain.chain.head()
        assert after.number == head.number + 1 and after.parent_hash == head.hash

    with start_devchain(tmp_path, "auto", clock) as chain:
        assert chain.chain.head() == after
        assert chain.chain.receipt(keccak256(raw)) is not None


@pytest.mark.node
def test_a_spoilt_state_file_is_replaced_by_replay(tmp_path: Path, clock: Clock):
    with start_devchain(tmp_path, "anvil", clock) as chain:
        chain.chain.send_raw(transfer(chain.chain, 0, 0))
        head = chain.chain.head()
    (state,) = tmp_path.glob("state-*.json")
    state.write_text(state.read_text()[:100])

    with start_devchain(tmp_path, "anvil", clock) as chain:
        assert chain.chain.head() == head


@pytest.mark.parametrize("node", NODES)
def test_what_the_node_refused_is_refused_again_at_replay(node: str, tmp_path: Path, clock: Clock):
    with start_devchain(tmp_path, node, clock) as chain:
        chain.chain.send_raw(transfer(chain.chain, 0, 0))
        assert chain.chain.send_raw(b"\x02\xff").sending is Sending.REJECTED
        assert chain.chain.send_raw(transfer(chain.chain, 0, 0, 9)).sending is Sending.NONCE_TOO_LOW
        chain.chain.send_raw(transfer(chain.chain, 0, 1))
        head = chain.chain.head()
    for state in tmp_path.glob("state-*.json"):
        state.unlink()

    with start_devchain(tmp_path, node, clock) as chain:
        assert chain.chain.head() == head


def test_old_blocks_and_receipts_stay_when_old_states_go(anvil: DevChain):
    raw = transfer(anvil.chain, 0, 0)
    anvil.chain.send_raw(raw)
    first = anvil.chain.block(1)
    anvil.rpc("anvil_mine", [hex(2 * STATES_KEPT)])

    assert first is not None and anvil.chain.block(1) == first
    receipt = anvil.chain.receipt(keccak256(raw))
    assert receipt is not None and receipt.block_number == 1
    assert anvil.chain.call(b"\x22" * 20, b"", anvil.chain.head().number - 10) == b""


def test_a_torn_last_line_is_dropped(tmp_path: Path, clock: Clock):
    with start_devchain(tmp_path, "eth-tester", clock) as chain:
        chain.chain.send_raw(transfer(chain.chain, 0, 0))
        head, raw = chain.chain.head(), transfer(chain.chain, 0, 1)
    with (tmp_path / "transactions").open("ab") as torn:
        torn.write(f"{head.timestamp + 5} 0x{raw.hex()[:60]}".encode())

    with start_devchain(tmp_path, "eth-tester", clock) as chain:
        assert chain.chain.head() == head
        assert chain.chain.send_raw(raw).sending is Sending.ACCEPTED


def test_a_directory_belongs_to_one_process_and_one_node(tmp_path: Path, clock: Clock):
    with (
        start_devchain(tmp_path, "eth-tester", clock),
        pytest.raises(DevChainError, match="in use"),
    ):
        start_devchain(tmp_path, "auto", clock)

    with pytest.raises(DevChainError, match="holds a chain of eth-tester"):
        start_devchain(tmp_path, "anvil", clock)


def test_blocks_follow_the_clock_and_never_run_backwards(devchain: DevChain, clock: Clock):
    devchain.mine()
    before = devchain.chain.head().timestamp
    clock.ahead_ns = 3_600 * 10**9
    devchain.mine()
    ahead = devchain.chain.head().timestamp
    clock.ahead_ns = 0
    devchain.mine()

    assert 3_599 <= ahead - before <= 3_660
    assert devchain.chain.head().timestamp >= ahead
