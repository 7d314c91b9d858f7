"""How does Tillbook bring its own chain when it is given none?

Two nodes, one behaviour: ``anvil`` as a child process where it is installed, else eth-tester inside
this process. Both are deterministic once timestamps are given, so durability is one append-only
file: each transaction is on disk with its timestamp before the node sees it, and a start replays
the file. Killing this process at any moment, or the whole machine, loses nothing that was mined.
A clean stop of anvil also leaves a state file, so that the next start replays only what is newer.
"""

import fcntl
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Literal, Protocol, Self, cast

from eth.exceptions import PyEVMError
from eth.exceptions import TransactionNotFound as EvmTransactionNotFound
from eth.vm.spoof import SpoofTransaction
from eth_abi import abi
from eth_account.hdaccount import ETHEREUM_DEFAULT_PATH, key_from_seed, seed_from_mnemonic
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.backends.pyevm import serializers
from eth_tester.exceptions import (
    BlockNotFound,
    TransactionFailed,
    TransactionNotFound,
)
from eth_tester.exceptions import ValidationError as TesterRefusal
from eth_utils.exceptions import ValidationError as EvmRefusal
from eth_utils.functional import to_tuple
from rlp.exceptions import RLPException  # type: ignore[import-untyped]
from web3 import EthereumTesterProvider, Web3
from web3.exceptions import Web3Exception
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from settlement.chain.chain import RpcChain
from settlement.chain.dev.line import Line
from settlement.chain.dev.transaction_log import Entry, NodeName, TransactionFile, sync_directory
from settlement.protocol.eip712 import keccak256

CHAIN_ID: Final = 31337
MNEMONIC: Final = "test test test test test test test test test test test junk"
"""The well-known development phrase: its accounts are worthless anywhere else, on purpose."""
ACCOUNTS: Final = 10

Clock = Callable[[], int]
"""Returns unix time in nanoseconds."""

STATES_KEPT: Final = 256
"""Blocks back from the head at which anvil can still answer a call, or reorganise."""

START_SECONDS_MAX: Final = 20
STOP_SECONDS_MAX: Final = 20
MINED_POLLS_MAX: Final = 50
"""anvil mines a moment after it answers; it took one poll in 200 sends, three times."""

_STEP_SECONDS: Final = 0.01


class DevChainError(Exception):
    """No development chain can be started on this directory; the message says why."""


class RpcError(Exception):
    """A JSON-RPC error answer, with the fields a proxy passes on."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


def dev_secret(index: int) -> bytes:
    """Return the private key (32 bytes) of funded development account ``index``, 0 to 9."""
    assert 0 <= index < ACCOUNTS, "only ten accounts are funded"
    path = ETHEREUM_DEFAULT_PATH.removesuffix("0") + str(index)
    return bytes(key_from_seed(seed_from_mnemonic(MNEMONIC, ""), path))


class Node(Protocol):
    """A node that mines each transaction at once, at the timestamp it is told."""

    name: NodeName
    rpc_url: str | None
    block_gap_seconds: int

    def ask(self, method: str, params: list[Any]) -> Any:
        """Answer one JSON-RPC request. Raises ``RpcError``."""

    def at(self, timestamp: int) -> None:
        """Fix the next block's timestamp."""

    def settle(self, tx_hash: str) -> None:
        """Return when the transaction is mined, or when it plainly is not going to be."""

    def stop(self, state: Path | None) -> None:
        """End the node; write its state to ``state`` if there is a path and the node can."""


# The guard waits on a pipe whose other end only this process holds. However this process ends,
# SIGKILL included, the pipe closes and anvil goes too. PR_SET_PDEATHSIG was tried first: it fires
# when the *thread* that started the child ends, and it does not exist outside Linux.
_GUARD: Final = """
"$@" </dev/null & child=$!
read word
if [ "$word" = dump ]; then kill -TERM $child; else kill -KILL $child; fi
wait $child
"""


class AnvilNode:
    """anvil on a free loopback port, guarded so that it cannot outlive this process."""

    name: NodeName = "anvil"
    block_gap_seconds = 0

    def __init__(self, binary: Path, directory: Path, genesis: int, state: Path | None) -> None:
        self._dump = directory / "anvil-dump.json"
        output = directory / "anvil.log"
        with output.open("wb") as sink:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "anvil-guard", *self._command(binary, genesis, state)],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
                start_new_session=True,  # Ctrl-C in a terminal is for us; we stop anvil ourselves.
            )
        port = self._port(output)
        self.rpc_url: str | None = f"http://127.0.0.1:{port}"
        self._line, self._words = Line(port), JSONBaseProvider()
        self.ask("anvil_setLoggingEnabled", [False])

    def _command(self, binary: Path, genesis: int, state: Path | None) -> list[str]:
        command = [str(binary), "--port", "0", "--host", "127.0.0.1", "--mnemonic", MNEMONIC]
        command += ["--chain-id", str(CHAIN_ID), "--accounts", str(ACCOUNTS)]
        command += ["--timestamp", str(genesis), "--dump-state", str(self._dump)]
        # Old states, not old blocks: anvil would write one file a block outside our directory.
        command += ["--prune-history", str(STATES_KEPT)]
        return command + (["--load-state", str(state)] if state else [])

    def _port(self, output: Path) -> int:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            text = output.read_text(errors="replace")
            before, found, address = text.partition("Listening on ")
            if found and "\n" in address:
                return int(address.split()[0].rpartition(":")[2])
            if "error" in before.lower():
                break
            time.sleep(_STEP_SECONDS)
        self.stop(None)
        raise DevChainError(f"anvil did not start, see {output}")

    def ask(self, method: str, params: list[Any]) -> Any:
        """See ``Node``."""
        try:
            asked = self._words.encode_rpc_request(cast(RPCEndpoint, method), params)
            response = self._words.decode_rpc_response(self._line.asked(asked))
        except OSError as error:
            raise ConnectionError(f"anvil is gone: {error}") from error
        error_fields = cast(Any, response.get("error"))
        if error_fields:
            raise RpcError(
                int(error_fields["code"]), str(error_fields["message"]), error_fields.get("data")
            )
        return response["result"]

    def at(self, timestamp: int) -> None:
        """See ``Node``."""
        self.ask("evm_setNextBlockTimestamp", [timestamp])

    def settle(self, tx_hash: str) -> None:
        """See ``Node``. Bounded, for automine may be off or a nonce gap may hold it back."""
        for _ in range(MINED_POLLS_MAX):
            if self.ask("eth_getTransactionReceipt", [tx_hash]) is not None:
                return

    def stop(self, state: Path | None) -> None:
        """See ``Node``."""
        assert self._guard.stdin is not None
        self._dump.unlink(missing_ok=True)
        try:
            self._guard.stdin.write(b"dump\n" if state else b"kill\n")
            self._guard.stdin.close()
        except BrokenPipeError:
            pass  # The guard itself was killed; there is nothing left to stop.
        self._guard.wait(STOP_SECONDS_MAX)
        if state and self._dump.exists():
            with self._dump.open("rb") as dumped:
                os.fsync(dumped.fileno())
            self._dump.rename(state)
            sync_directory(state.parent)


class _RevertedError(Exception):
    """A call was refused by the contract; eth-tester's own exception loses the output."""

    def __init__(self, output: bytes) -> None:
        super().__init__()
        self.output = output
        self.reason = "execution reverted"
        if output.startswith(_ERROR_STRING):
            self.reason += f": {abi.decode(['string'], output[4:])[0]}"


_ERROR_STRING: Final = bytes.fromhex("08c379a0")


class _TimedBackend(PyEVMBackend):  # type: ignore[misc]
    """py-evm whose blocks depend on nothing but transactions and the timestamps given."""

    def at(self, timestamp: int) -> None:
        self.chain.header = self.chain.header.copy(timestamp=timestamp)

    @to_tuple
    def mine_blocks(self, num_blocks: int = 1, coinbase: bytes = bytes(20)) -> Iterator[bytes]:
        for _ in range(num_blocks):
            # eth-tester draws this from the operating system; then no replay gives the same hash.
            mix_hash = keccak256(self.chain.header.parent_hash)
            block = self.chain.mine_block(coinbase=coinbase, mix_hash=mix_hash, blob_gas_used=0)
            yield block.hash

    def call(self, transaction: dict[str, Any], block_number: int | str = "latest") -> bytes:
        head: int = self.chain.get_block().number - 1
        number = block_number if isinstance(block_number, int) else head
        if number > head:
            raise BlockNotFound(f"No block found for block number: {number}")
        fields = {"gas": self._max_available_gas()} | transaction
        unsigned = self._get_normalized_and_unsigned_evm_transaction(fields, number)
        header = self.chain.get_canonical_block_by_number(number).header
        # The state object is this call's own and is never committed, so the sender can be rich.
        state = self.chain.get_vm(at_header=header).state
        state.set_balance(fields["from"], 2**200)
        computation = state.apply_transaction(SpoofTransaction(unsigned, from_=fields["from"]))
        if computation.is_error:
            raise _RevertedError(bytes(computation.output))
        return bytes(computation.output)

    def _find(self, tx_hash: bytes) -> tuple[Any, Any, int]:
        # eth-tester walks all blocks back to genesis; py-evm has had an index all the time.
        try:
            number, index = self.chain.chaindb.get_transaction_index(tx_hash)
        except EvmTransactionNotFound as error:
            raise TransactionNotFound(tx_hash.hex()) from error
        block = self.chain.get_canonical_block_by_number(number)
        return block, block.transactions[index], index

    def get_transaction_by_hash(self, transaction_hash: bytes) -> Any:
        block, transaction, index = self._find(transaction_hash)
        return serializers.serialize_transaction(block, transaction, index, False)

    def get_transaction_receipt(self, transaction_hash: bytes) -> Any:
        block, transaction, index = self._find(transaction_hash)
        return serializers.serialize_transaction_receipt(
            block,
            block.get_receipts(self.chain.chaindb),
            transaction,
            index,
            False,
            self.chain.get_vm(),
        )


class TesterNode:
    """eth-tester over py-evm, in this process; needs nothing but pip."""

    name: NodeName = "eth-tester"
    rpc_url: str | None = None
    block_gap_seconds = 1
    """py-evm insists that a block is later than its parent; anvil does not."""

    def __init__(self, genesis: int) -> None:
        path = ETHEREUM_DEFAULT_PATH.removesuffix("/0")
        self._backend = _TimedBackend.from_mnemonic(
            MNEMONIC,
            num_accounts=ACCOUNTS,
            hd_path=path,
            genesis_parameters=_TimedBackend.generate_genesis_params({"timestamp": genesis}),
        )
        # The class is made anew for each chain, so this changes no other one.
        type(self._backend.chain).chain_id = CHAIN_ID
        self._tester = EthereumTester(self._backend)
        self._web3 = Web3(EthereumTesterProvider(self._tester), middleware=[])

    def ask(self, method: str, params: list[Any]) -> Any:
        """See ``Node``; answers are put into JSON-RPC's words, which eth-tester does not speak."""
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "net_version":
                return str(CHAIN_ID)
            case "evm_mine":
                self._tester.mine_block()
                return "0x0"
            case "eth_getLogs" if params and "blockHash" in params[0]:
                params = [self._by_number(params[0])]
        try:
            answer = self._web3.manager.request_blocking(cast(RPCEndpoint, method), params)
        except _RevertedError as error:
            raise RpcError(3, error.reason, "0x" + error.output.hex()) from error
        except TransactionFailed as error:
            raise RpcError(3, str(error)) from error
        except _TESTER_REFUSALS as error:
            raise RpcError(-32000, _usual_words(str(error))) from error
        return _wire(answer)

    def _by_number(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return a filter for one block as eth-tester knows it."""
        block = self.ask("eth_getBlockByHash", [wanted["blockHash"], False])
        if block is None:
            raise RpcError(-32000, "unknown block")
        rest = {name: value for name, value in wanted.items() if name != "blockHash"}
        return rest | {"fromBlock": block["number"], "toBlock": block["number"]}

    def at(self, timestamp: int) -> None:
        """See ``Node``."""
        self._backend.at(timestamp)

    def settle(self, tx_hash: str) -> None:
        """See ``Node``; mined before the answer, always."""

    def stop(self, state: Path | None) -> None:
        """See ``Node``; there is nothing to stop and no state to write."""


_TESTER_REFUSALS = (
    Web3Exception,
    EvmRefusal,
    PyEVMError,
    TesterRefusal,
    BlockNotFound,
    TransactionNotFound,
    RLPException,
    NotImplementedError,
    # Malformed parameters end in whatever the layers below trip over.
    TypeError,
    ValueError,
    KeyError,
    IndexError,
)


def _usual_words(reason: str) -> str:
    """Say about a nonce what other nodes say: callers must tell too low from too high."""
    nonces = re.search(r"nonce: Expected (\d+), but got (\d+)", reason)
    if nonces is None:
        return reason
    expected, got = map(int, nonces.groups())
    return f"nonce too {'low' if got < expected else 'high'}: expected {expected}, got {got}"


def _wire(answer: Any, field: str = "") -> Any:
    """Return ``answer`` as a node would put it into JSON: numbers and octets in hex."""
    if field == "logsBloom":
        return "0x" + (answer if isinstance(answer, int) else 0).to_bytes(256, "big").hex()
    match answer:
        case None | bool() | str():
            return answer
        case int():
            return hex(answer)
        case bytes():
            return "0x" + answer.hex()
        case Mapping():
            return {name: _wire(value, name) for name, value in answer.items()}
        case list() | tuple():
            return [_wire(value) for value in answer]
        case _:
            raise AssertionError(f"eth-tester answered {type(answer)}")


class DevChain:
    """A development chain on a directory; one process at a time.

    What comes by ``rpc`` as ``eth_sendRawTransaction`` or ``evm_mine`` is durable. What goes past
    it to ``rpc_url``, which a sandbox therefore tells nobody, and anvil's own methods survive a
    clean stop only. Any thread may call; eth-tester answers them one after the other.
    """

    def __init__(
        self, directory: Path, prefer: Literal["anvil", "eth-tester", "auto"], clock: Clock
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._clock = clock
        self._lock = threading.RLock()
        self._lock_file = _lock_of(directory)
        binary = find_anvil()
        wanted: NodeName = "anvil" if binary and prefer != "eth-tester" else "eth-tester"
        self._log = TransactionFile(directory / "transactions", self._now_seconds(), wanted)
        if prefer not in ("auto", self._log.node) or (self._log.node == "anvil" and not binary):
            raise DevChainError(
                f"{directory} holds a chain of {self._log.node}; wanted {prefer}, "
                f"anvil is {binary or 'not installed'}"
            )
        self._node, covered = self._started(binary)
        self._ahead_seconds = 0
        self._last_timestamp = self._log.genesis
        for entry in self._log.entries[:covered]:
            self._last_timestamp = max(self._last_timestamp, entry.timestamp)
        for entry in self._log.entries[covered:]:
            self._replay(entry)
        self.chain = RpcChain(Web3(_DevProvider(self)))
        self.web3 = Web3(_DevProvider(self))
        """For tests and tools; settlement itself uses ``chain``."""

    def _started(self, binary: Path | None) -> tuple[Node, int]:
        """Return the node, and how many entries its state file already covers."""
        if self._log.node == "eth-tester":
            return TesterNode(self._log.genesis), 0
        assert binary is not None
        covered = _newest_state(self._directory, len(self._log.entries))
        if covered:
            state = self._state_path(covered)
            try:
                return AnvilNode(binary, self._directory, self._log.genesis, state), covered
            except DevChainError:
                # Only a shortcut is lost, for example to another version of anvil.
                state.unlink()
        return AnvilNode(binary, self._directory, self._log.genesis, None), 0

    def _state_path(self, count: int) -> Path:
        return self._directory / f"state-{count}.json"

    def _now_seconds(self) -> int:
        return self._clock() // 10**9

    @property
    def name(self) -> NodeName:
        """Return which node this is."""
        return self._node.name

    @property
    def rpc_url(self) -> str | None:
        """Return anvil's own address; None where there is only ``rpc``."""
        return self._node.rpc_url

    def rpc(self, method: str, params: list[Any]) -> Any:
        """Answer one JSON-RPC request with JSON values. Raises ``RpcError``."""
        with self._lock:
            match method:
                case "eth_sendRawTransaction":
                    return self._apply(self._entry(_raw_hex(params)))
                case "evm_mine":
                    return self._apply(self._entry(None))
                case "evm_increaseTime":
                    self._ahead_seconds += int(params[0])
                    return hex(self._ahead_seconds)
            if self._node.name == "eth-tester":
                return self._node.ask(method, params)
        return self._node.ask(method, params)

    def mine(self, count: int = 1) -> None:
        """Add ``count`` empty blocks."""
        for _ in range(count):
            self.rpc("evm_mine", [])

    def _entry(self, raw: str | None) -> Entry:
        now = self._now_seconds() + self._ahead_seconds
        return Entry(max(now, self._last_timestamp + self._node.block_gap_seconds), raw)

    def _apply(self, entry: Entry) -> Any:
        self._log.append(entry)
        return self._execute(entry)

    def _execute(self, entry: Entry) -> Any:
        self._last_timestamp = entry.timestamp
        self._node.at(entry.timestamp)
        if entry.raw is None:
            return self._node.ask("evm_mine", [])
        answer = self._node.ask("eth_sendRawTransaction", [entry.raw])
        self._node.settle(answer)
        return answer

    def _replay(self, entry: Entry) -> None:
        try:
            self._execute(entry)
        except RpcError:
            # It was refused the first time too: the file is written before the node is asked.
            return

    def close(self) -> None:
        """Stop the node; the next start finds the chain as it is now."""
        with self._lock:
            self._node.stop(self._state_path(len(self._log.entries)))
            kept = _newest_state(self._directory, len(self._log.entries))
            for stale in self._directory.glob("state-*.json"):
                if stale != self._state_path(kept):
                    stale.unlink()
            self._log.close()
            self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _DevProvider(JSONBaseProvider):
    """web3's door to a ``DevChain``: the same one a browser comes through."""

    def __init__(self, chain: DevChain) -> None:
        super().__init__()
        self._chain = chain

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        try:
            result = self._chain.rpc(method, list(params))
        except RpcError as refused:
            error: dict[str, Any] = {"code": refused.code, "message": refused.message}
            if refused.data is not None:
                error["data"] = refused.data
            return cast(RPCResponse, {"jsonrpc": "2.0", "id": 1, "error": error})
        return cast(RPCResponse, {"jsonrpc": "2.0", "id": 1, "result": result})

    def make_batch_request(
        self, requests: list[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        return [self.make_request(method, params) for method, params in requests]


def _raw_hex(params: list[Any]) -> str:
    """Return the one parameter of ``eth_sendRawTransaction``, safe to be written as a word."""
    raw = params[0] if len(params) == 1 else None
    if isinstance(raw, bytes):
        return "0x" + raw.hex()
    if not isinstance(raw, str) or not re.fullmatch("0x([0-9a-fA-F]{2})+", raw):
        raise RpcError(-32602, "expected one hex string")
    return raw


def _newest_state(directory: Path, entries: int) -> int:
    """Return how many entries the newest state file covers; 0 when there is none."""
    counts = [int(path.stem.removeprefix("state-")) for path in directory.glob("state-*.json")]
    return max((count for count in counts if count <= entries), default=0)


def _lock_of(directory: Path) -> IO[str]:
    handle = (directory / "lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.close()
        raise DevChainError(f"{directory} is in use by another process") from error
    return handle


def find_anvil() -> Path | None:
    """Return the anvil binary on PATH or where npm puts it; None when there is none."""
    found = shutil.which("anvil")
    if found:
        return Path(found)
    modules = Path(__file__).parents[2] / "contracts" / "node_modules" / "@foundry-rs"
    return next(iter(sorted(modules.glob("anvil-*/bin/anvil"))), None)


def start_devchain(
    directory: Path, prefer: Literal["anvil", "eth-tester", "auto"], clock: Clock
) -> DevChain:
    """Start, or start again, the chain of ``directory``.

    ``clock`` returns unix nanoseconds and gives blocks their timestamps. A directory keeps the
    node it was begun with, for another one would give its blocks other hashes. Raises
    ``DevChainError``.
    """
    return DevChain(directory, prefer, clock)
