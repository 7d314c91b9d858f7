"""What does the settler need from a chain, and how does a JSON-RPC node give it?

``Chain`` is the seam: everything else in settlement sees blocks, logs and receipts as plain values.
``RpcChain`` speaks raw JSON-RPC through any web3 provider. Nothing here fills in a nonce or a fee:
the outbox decides both, because what is sent must be on disk before it is sent.

A node answers a question about blocks it does not have yet with nothing, and behind one address
there may be many nodes. So whoever asks for logs is told at the same time, in one request, that
the node has the block that the logs are to reach; without that the answer counts for nothing.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import requests
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception, Web3RPCError
from web3.types import RPCEndpoint

RANGE_BLOCKS_MAX = 2_000
"""Most blocks asked for in one log request; public nodes refuse more."""

ANSWER_SECONDS_MAX = 10
"""How long a node may keep us waiting for one answer. Whoever asks tries again by itself, so
nothing below does: web3's own five attempts of 30 s each made one silent node cost 150 s a call."""


TOGETHER_MAX: Final = 50
"""Most questions in one request."""

COUNT_MAX: Final = 2**63 - 1
"""Block numbers, indices and times are kept in 64 bits; a node that says more is not believed."""

T = TypeVar("T")

_URL: Final = re.compile(r"\b\w+://\S+|\burl: \S+")


class ChainUnavailableError(Exception):
    """The node did not answer, or answered something that is no answer. Try again later.

    The words are public, and a node's address may hold a key: nothing of it is in them. ``node``
    is its scheme and host, for the log.
    """

    def __init__(self, words: str, node: str = "") -> None:
        super().__init__(without_urls(words))
        self.node = node


class CallRevertedError(Exception):
    """A call was refused by the contract; ``reason`` is what the node said about it."""

    def __init__(self, reason: str, output: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.output = output


class Block(NamedTuple):
    """A block's identity; ``timestamp`` in unix seconds, ``gas_limit`` 0 if it is not known."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    gas_limit: int = 0


class Log(NamedTuple):
    """One log entry. ``log_index`` counts within the block, so that the same entry has another one
    where its transaction has come into another block."""

    address: bytes
    topics: tuple[bytes, ...]
    payload: bytes
    block_number: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int


class Receipt(NamedTuple):
    """What became of a transaction that is in a block. ``gas_price`` in wei."""

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    gas_price: int
    contract: bytes | None


class Sending(Enum):
    """How the node took a raw transaction."""

    ACCEPTED = "accepted"
    ALREADY_KNOWN = "already known"
    NONCE_TOO_LOW = "nonce too low"
    UNDERPRICED = "underpriced"
    REJECTED = "refused"


class Sent(NamedTuple):
    """The node's answer to a raw transaction; ``reason`` in its own words unless accepted."""

    sending: Sending
    reason: str = ""


BlockTag = int | Literal["latest", "pending", "safe", "finalized"]

Topics = list[bytes | list[bytes] | None]


class LogFilter(NamedTuple):
    """Which logs are wanted: of any of ``addresses``, with ``topics`` as a node takes them."""

    addresses: list[bytes]
    topics: Topics


class Chain(Protocol):
    """An EVM chain, seen through one node. Every method may raise ``ChainUnavailableError``."""

    @property
    def chain_id(self) -> int:
        """Return the EIP-155 chain id."""

    def head(self) -> Block:
        """Return the newest block."""

    def block(self, number: int) -> Block | None:
        """Return the canonical block of that number; None beyond the head."""

    def call(
        self,
        to: bytes,
        calldata: bytes,
        block: BlockTag = "latest",
        sender: bytes = bytes(20),
        gas: int | None = None,
    ) -> bytes:
        """Return what the contract returns, with ``gas`` or what the node allows.

        Raises ``CallRevertedError`` for every end that the EVM itself makes of the call.
        """

    def logs(self, addresses: list[bytes], topics: Topics, first: int, last: int) -> list[Log]:
        """Return the logs of blocks ``first`` to ``last``, both included, in chain order.

        Only from a node that shows, in the same answer, that it has block ``last``.
        """

    def logs_of(self, block: Block, wanted: list[LogFilter]) -> list[Log]:
        """Return the logs of this very block that any of ``wanted`` lets through, in order.

        Only from a node that has the block, by its hash.
        """

    def positions(self, logs: list[Log]) -> list[int]:
        """Return of each log its place within its transaction, which no other block changes."""

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """Return the receipt; None while the transaction is in no block."""

    def calldata(self, tx_hash: bytes) -> bytes:
        """Return what a transaction in a block was sent with; empty if there is none."""

    def nonce(self, address: bytes, *, pending: bool) -> int:
        """Return the next nonce of ``address``, with or without what waits in the pool."""

    def send_raw(self, raw: bytes) -> Sent:
        """Hand a signed transaction to the node. A refusal is a value."""

    def base_fee(self) -> int:
        """Return the newest block's base fee per gas in wei (0 on chains without one)."""

    def code(self, address: bytes) -> bytes:
        """Return the contract code at ``address``; empty when there is none."""

    def balance(self, address: bytes) -> int:
        """Return the native balance in wei."""


def _number(answer: Any) -> int:
    """Return an integer from JSON-RPC's hex text, or from a provider that answers integers."""
    return int(answer, 16) if isinstance(answer, str) else int(answer)


def _count(answer: Any) -> int:
    """Return a number that has to fit where we keep it."""
    number = _number(answer)
    if not 0 <= number <= COUNT_MAX:
        raise ValueError(f"{number} is out of range")
    return number


_NO_ANSWER: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading something else than an answer ends in."""


def _parsed(what: str, parse: Callable[[Any], T], answer: Any) -> T:
    """Return ``answer`` as a value; what is none is as if nobody had answered."""
    try:
        return parse(answer)
    except _NO_ANSWER as error:
        raise ChainUnavailableError(f"{what}: no such answer, {error!r}") from error


def _octets(answer: Any) -> bytes:
    return bytes.fromhex(answer.removeprefix("0x")) if isinstance(answer, str) else bytes(answer)


def _hex(octets: bytes) -> str:
    return "0x" + octets.hex()


def _block(answer: Any) -> Block:
    return Block(
        _count(answer["number"]),
        _octets(answer["hash"]),
        _octets(answer["parentHash"]),
        _count(answer["timestamp"]),
        _count(answer.get("gasLimit") or 0),
    )


def _block_or_none(answer: Any) -> Block | None:
    return None if answer is None else _block(answer)


def _log(answer: Any) -> Log:
    return Log(
        _octets(answer["address"]),
        tuple(_octets(topic) for topic in answer["topics"]),
        _octets(answer["data"]),
        _count(answer["blockNumber"]),
        _octets(answer["blockHash"]),
        _octets(answer["transactionHash"]),
        _count(answer["logIndex"]),
    )


def _is_block(number: int, answer: Any) -> bool:
    block = _parsed("eth_getBlockByNumber", _block_or_none, answer)
    return block is not None and block.number == number


def _logs(answer: Any) -> list[Log]:
    return [_log(entry) for entry in answer]


def _receipt(answer: Any) -> Receipt | None:
    if answer is None or answer["blockHash"] is None:
        return None
    contract = answer.get("contractAddress")
    return Receipt(
        _octets(answer["transactionHash"]),
        _count(answer["blockNumber"]),
        _octets(answer["blockHash"]),
        _number(answer["status"]) == 1,
        _count(answer["gasUsed"]),
        _count(answer["effectiveGasPrice"]),
        _octets(contract) if contract else None,
    )


def _input(answer: Any) -> bytes:
    if answer is None:
        return b""
    return _octets(answer["input"] if "input" in answer else answer["data"])


def _base_fee(answer: Any) -> int:
    return _count(answer.get("baseFeePerGas") or 0)


def _log_start(answer: Any) -> tuple[bytes, int]:
    return _octets(answer["blockHash"]), _count(answer["logs"][0]["logIndex"])


def _place(log: Log) -> tuple[int, int]:
    return log.block_number, log.log_index


_EVM_CODES: Final = (3, -32015)
"""How nodes number a call that the EVM has ended: most the first, Nethermind the other."""

_EVM_WORDS: Final = (
    "revert",
    "evm error",  # Anvil, before the name of the exception.
    "vm execution error",
    "could not be completed due to an exception",  # Besu.
    "out of gas",
    "gas uint64 overflow",
    "intrinsic gas too",
    "floor data gas",
    "gas cannot be negative",  # Py-evm: less than the call costs before it begins.
    "invalid opcode",
    "bad instruction",
    "undefined instruction",
    "invalid jump",
    "bad jump",
    "stack underflow",
    "stack overflow",
    "stack limit reached",
    "write protection",
    "return data out of bounds",
    "max call depth exceeded",
    "insufficient balance for transfer",
)
"""What else the EVM says, in the words of geth, erigon, anvil, Nethermind, Besu and py-evm. Who has
not got a block or its state, is too busy, or stops a call for its time says none of it."""

_OUTPUT: Final = re.compile(r"\b0x((?:[0-9a-fA-F]{2})*)$")

_REFUSALS = (
    # Nodes agree on the meaning, not on the words: geth, anvil, nethermind, erigon.
    (Sending.ALREADY_KNOWN, ("already known", "already imported", "alreadyknown", "known trans")),
    (Sending.NONCE_TOO_LOW, ("nonce too low", "oldnonce")),
    (Sending.UNDERPRICED, ("underpriced", "fee too low", "feetoolow")),
)


def _rejection(reason: str) -> Sent:
    words = reason.lower()
    for sending, phrases in _REFUSALS:
        if any(phrase in words for phrase in phrases):
            return Sent(sending, reason)
    return Sent(Sending.REJECTED, reason)


class _Refused(NamedTuple):
    """A node's refusal of one question among several."""

    error: Any


def without_urls(words: str) -> str:
    """Return what a node or a library said with every address in it struck out."""
    return _URL.sub("(an address)", words)


def _kind_of(error: Exception) -> str:
    """Say what went wrong on the way to a node: the library's own words hold the whole address."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError | OSError):
        return "no connection"
    return f"no answer that can be read ({type(error).__name__})"


class RpcChain:
    """A ``Chain`` behind any synchronous web3 provider."""

    def __init__(self, web3: Web3) -> None:
        # web3's default middleware would fill in fees and gas; we ask the provider plainly.
        self._web3 = Web3(web3.provider, middleware=[])
        self._chain_id: int | None = None
        url = urlsplit(str(getattr(web3.provider, "endpoint_uri", "")))
        self._node = f"{url.scheme}://{url.hostname}" if url.hostname else ""

    def _ask(self, method: str, *params: Any) -> Any:
        try:
            return self._web3.manager.request_blocking(cast(RPCEndpoint, method), list(params))
        except Web3RPCError:
            raise
        except (Web3Exception, requests.RequestException, OSError, ValueError) as error:
            # A ValueError is an answer that is not JSON: a proxy's page, say.
            raise ChainUnavailableError(f"{method}: {_kind_of(error)}", self._node) from None

    def _read(self, parse: Callable[[Any], T], method: str, *params: Any) -> T:
        try:
            answer = self._ask(method, *params)
        except Web3RPCError as error:
            raise ChainUnavailableError(f"{method}: {_reason(error)}", self._node) from None
        return _parsed(method, parse, answer)

    def _together(self, *calls: tuple[str, list[Any]]) -> list[Any]:
        """Return the answers to all of ``calls``, which go as one request so that one node answers
        them. What it refuses is ``_Refused``."""
        what = " and ".join(dict.fromkeys(method for method, _ in calls))
        asked = [(cast(RPCEndpoint, method), params) for method, params in calls]
        try:
            answers = self._web3.provider.make_batch_request(asked)  # type: ignore[attr-defined]
            if not isinstance(answers, list) or len(answers) != len(calls):
                raise ChainUnavailableError(f"{what}: the node does not take them together")
            return [_Refused(one["error"]) if "error" in one else one["result"] for one in answers]
        except (Web3Exception, requests.RequestException, OSError, *_NO_ANSWER) as error:
            raise ChainUnavailableError(f"{what}: {_kind_of(error)}", self._node) from None

    @property
    def chain_id(self) -> int:
        """See ``Chain``; asked once."""
        if self._chain_id is None:
            self._chain_id = self._read(_count, "eth_chainId")
        return self._chain_id

    def head(self) -> Block:
        """See ``Chain``."""
        return self._read(_block, "eth_getBlockByNumber", "latest", False)

    def block(self, number: int) -> Block | None:
        """See ``Chain``."""
        return self._read(_block_or_none, "eth_getBlockByNumber", hex(number), False)

    def call(
        self,
        to: bytes,
        calldata: bytes,
        block: BlockTag = "latest",
        sender: bytes = bytes(20),
        gas: int | None = None,
    ) -> bytes:
        """See ``Chain``."""
        tag = hex(block) if isinstance(block, int) else block
        message = {"from": _hex(sender), "to": _hex(to), "data": _hex(calldata)}
        if gas is not None:
            message["gas"] = hex(gas)
        try:
            answer = self._ask("eth_call", message, tag)
        except Web3RPCError as error:
            raise _call_failure(error) from error
        return _parsed("eth_call", _octets, answer)

    def estimate_gas(self, sender: bytes, to: bytes | None, calldata: bytes) -> int:
        """Return what a transaction would use now. Raises ``CallRevertedError`` where it would
        revert, and ``ChainUnavailableError``."""
        message = {"from": _hex(sender), "data": _hex(calldata)}
        if to is not None:
            message["to"] = _hex(to)
        try:
            answer = self._ask("eth_estimateGas", message)
        except Web3RPCError as error:
            raise _call_failure(error) from error
        return _parsed("eth_estimateGas", _count, answer)

    def logs(self, addresses: list[bytes], topics: Topics, first: int, last: int) -> list[Log]:
        """See ``Chain``; a range the node refuses is halved until it takes it."""
        found: list[Log] = []
        wanted = [
            (start, min(start + RANGE_BLOCKS_MAX - 1, last))
            for start in range(first, last + 1, RANGE_BLOCKS_MAX)
        ][::-1]
        while wanted:
            start, end = wanted.pop()
            asked = _asked(addresses, topics) | {"fromBlock": hex(start), "toBlock": hex(end)}
            answer, shown = self._together(
                ("eth_getLogs", [asked]), ("eth_getBlockByNumber", [hex(end), False])
            )
            if isinstance(shown, _Refused) or not _is_block(end, shown):
                raise ChainUnavailableError(f"eth_getLogs: the node has no block {end} yet")
            if not isinstance(answer, _Refused):
                found += _parsed("eth_getLogs", _logs, answer)
            elif start == end:
                raise ChainUnavailableError(f"eth_getLogs of block {start}: {answer.error}")
            else:
                middle = (start + end) >> 1
                wanted += [(middle + 1, end), (start, middle)]
        return sorted(found, key=_place)

    def logs_of(self, block: Block, wanted: list[LogFilter]) -> list[Log]:
        """See ``Chain``; asked for by its hash, beside the block itself."""
        name = _hex(block.hash)
        calls = [
            ("eth_getLogs", [_asked(one.addresses, one.topics) | {"blockHash": name}])
            for one in wanted
        ]
        shown, *answers = self._together(("eth_getBlockByHash", [name, False]), *calls)
        if isinstance(shown, _Refused) or _parsed("a block", _block_or_none, shown) != block:
            raise ChainUnavailableError(f"eth_getLogs: the node has no block {name}")
        found: set[Log] = set()
        for answer in answers:
            if isinstance(answer, _Refused):
                raise ChainUnavailableError(f"eth_getLogs of block {name}: {answer.error}")
            found.update(_parsed("eth_getLogs", _logs, answer))
        if any((log.block_hash, log.block_number) != (block.hash, block.number) for log in found):
            raise ChainUnavailableError(f"eth_getLogs: logs of another block than {name}")
        return sorted(found, key=_place)

    def positions(self, logs: list[Log]) -> list[int]:
        """See ``Chain``; receipts tell where in the block the first log of each is."""
        blocks = {log.tx_hash: log.block_hash for log in logs}
        starts: dict[bytes, int] = {}
        hashes = list(blocks)
        for at in range(0, len(hashes), TOGETHER_MAX):
            part = hashes[at : at + TOGETHER_MAX]
            calls = [("eth_getTransactionReceipt", [_hex(tx_hash)]) for tx_hash in part]
            for tx_hash, answer in zip(part, self._together(*calls), strict=True):
                block_hash, start = _parsed("eth_getTransactionReceipt", _log_start, answer)
                if block_hash != blocks[tx_hash]:
                    raise ChainUnavailableError(f"0x{tx_hash.hex()} is in another block now")
                starts[tx_hash] = start
        return [log.log_index - starts[log.tx_hash] for log in logs]

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """See ``Chain``."""
        return self._read(_receipt, "eth_getTransactionReceipt", _hex(tx_hash))

    def calldata(self, tx_hash: bytes) -> bytes:
        """See ``Chain``."""
        return self._read(_input, "eth_getTransactionByHash", _hex(tx_hash))

    def nonce(self, address: bytes, *, pending: bool) -> int:
        """See ``Chain``."""
        tag = "pending" if pending else "latest"
        return self._read(_count, "eth_getTransactionCount", _hex(address), tag)

    def send_raw(self, raw: bytes) -> Sent:
        """See ``Chain``."""
        try:
            self._ask("eth_sendRawTransaction", _hex(raw))
        except Web3RPCError as error:
            return _rejection(_reason(error))
        return Sent(Sending.ACCEPTED)

    def base_fee(self) -> int:
        """See ``Chain``."""
        return self._read(_base_fee, "eth_getBlockByNumber", "latest", False)

    def code(self, address: bytes) -> bytes:
        """See ``Chain``."""
        return self._read(_octets, "eth_getCode", _hex(address), "latest")

    def balance(self, address: bytes) -> int:
        """See ``Chain``."""
        return self._read(_number, "eth_getBalance", _hex(address), "latest")


def node_at(url: str, answer_seconds_max: int = ANSWER_SECONDS_MAX) -> RpcChain:
    """Return the chain that the node at ``url`` shows."""
    return RpcChain(
        Web3(
            HTTPProvider(
                url,
                request_kwargs={"timeout": answer_seconds_max},
                exception_retry_configuration=None,
            )
        )
    )


def _asked(addresses: list[bytes], topics: Topics) -> dict[str, Any]:
    return {
        "address": [_hex(address) for address in addresses],
        "topics": [
            [_hex(one) for one in topic] if isinstance(topic, list) else topic and _hex(topic)
            for topic in topics
        ],
    }


def _error_fields(error: Web3RPCError) -> dict[str, Any]:
    response = error.rpc_response
    fields = response.get("error") if response else None
    return dict(fields) if isinstance(fields, dict) else {"message": str(error)}


def _reason(error: Web3RPCError) -> str:
    return without_urls(str(_error_fields(error).get("message", error)))


def _call_failure(error: Web3RPCError) -> CallRevertedError | ChainUnavailableError:
    """Tell a contract's refusal from a node's trouble."""
    fields = _error_fields(error)
    output = str(fields.get("data") or "")
    reason = without_urls(str(fields.get("message", "")))
    words = reason.lower()
    if fields.get("code") in _EVM_CODES or any(phrase in words for phrase in _EVM_WORDS):
        # Some put words where others put the output.
        found = _OUTPUT.search(output)
        why = without_urls(output) if output and found is None else ""
        return CallRevertedError(
            f"{reason}: {why}" if why else reason, bytes.fromhex(found[1]) if found else b""
        )
    return ChainUnavailableError(f"eth_call: {reason}")
