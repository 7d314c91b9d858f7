"""What does the settler need from a chain, and how does a JSON-RPC node give it?

``Chain`` is the seam: everything else in settlement sees blocks, logs and receipts as plain values.
``RpcChain`` speaks raw JSON-RPC through any web3 provider. Nothing here fills in a nonce or a fee:
the outbox decides both, because what is sent must be on disk before it is sent.
"""

import re
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, Protocol, cast
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
    """One log entry. ``(tx_hash, log_index)`` names it; the index counts within the block."""

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
    REFUSED = "refused"


class Sent(NamedTuple):
    """The node's answer to a raw transaction; ``reason`` in its own words unless accepted."""

    sending: Sending
    reason: str = ""


BlockTag = int | Literal["latest", "pending", "safe", "finalized"]


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
        self, to: bytes, calldata: bytes, block: BlockTag = "latest", sender: bytes = bytes(20)
    ) -> bytes:
        """Return what the contract returns. Raises ``CallRevertedError``."""

    def logs(
        self,
        addresses: list[bytes],
        topics: list[bytes | list[bytes] | None],
        first: int,
        last: int,
    ) -> list[Log]:
        """Return the logs of blocks ``first`` to ``last``, both included, in chain order."""

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


def _octets(answer: Any) -> bytes:
    return bytes.fromhex(answer.removeprefix("0x")) if isinstance(answer, str) else bytes(answer)


def _hex(octets: bytes) -> str:
    return "0x" + octets.hex()


def _block(answer: Any) -> Block:
    return Block(
        _number(answer["number"]),
        _octets(answer["hash"]),
        _octets(answer["parentHash"]),
        _number(answer["timestamp"]),
        _number(answer.get("gasLimit") or 0),
    )


def _log(answer: Any) -> Log:
    return Log(
        _octets(answer["address"]),
        tuple(_octets(topic) for topic in answer["topics"]),
        _octets(answer["data"]),
        _number(answer["blockNumber"]),
        _octets(answer["blockHash"]),
        _octets(answer["transactionHash"]),
        _number(answer["logIndex"]),
    )


_REFUSALS = (
    # Nodes agree on the meaning, not on the words: geth, anvil, nethermind, erigon.
    (Sending.ALREADY_KNOWN, ("already known", "already imported", "alreadyknown", "known trans")),
    (Sending.NONCE_TOO_LOW, ("nonce too low", "oldnonce")),
    (Sending.UNDERPRICED, ("underpriced", "fee too low", "feetoolow")),
)


def _refusal(reason: str) -> Sent:
    words = reason.lower()
    for sending, phrases in _REFUSALS:
        if any(phrase in words for phrase in phrases):
            return Sent(sending, reason)
    return Sent(Sending.REFUSED, reason)


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

    def _read(self, method: str, *params: Any) -> Any:
        try:
            return self._ask(method, *params)
        except Web3RPCError as error:
            raise ChainUnavailableError(f"{method}: {_reason(error)}", self._node) from None

    @property
    def chain_id(self) -> int:
        """See ``Chain``; asked once."""
        if self._chain_id is None:
            self._chain_id = _number(self._read("eth_chainId"))
        return self._chain_id

    def head(self) -> Block:
        """See ``Chain``."""
        return _block(self._read("eth_getBlockByNumber", "latest", False))

    def block(self, number: int) -> Block | None:
        """See ``Chain``."""
        answer = self._read("eth_getBlockByNumber", hex(number), False)
        return None if answer is None else _block(answer)

    def call(
        self, to: bytes, calldata: bytes, block: BlockTag = "latest", sender: bytes = bytes(20)
    ) -> bytes:
        """See ``Chain``."""
        tag = hex(block) if isinstance(block, int) else block
        message = {"from": _hex(sender), "to": _hex(to), "data": _hex(calldata)}
        try:
            return _octets(self._ask("eth_call", message, tag))
        except Web3RPCError as error:
            raise _call_failure(error) from error

    def logs(
        self,
        addresses: list[bytes],
        topics: list[bytes | list[bytes] | None],
        first: int,
        last: int,
    ) -> list[Log]:
        """See ``Chain``; a range the node refuses is halved until it takes it."""
        found: list[Log] = []
        wanted = [
            (start, min(start + RANGE_BLOCKS_MAX - 1, last))
            for start in range(first, last + 1, RANGE_BLOCKS_MAX)
        ][::-1]
        while wanted:
            start, end = wanted.pop()
            try:
                answer = self._ask("eth_getLogs", _log_filter(addresses, topics, start, end))
            except Web3RPCError as error:
                if start == end:
                    words = f"eth_getLogs of block {start}: {_reason(error)}"
                    raise ChainUnavailableError(words, self._node) from None
                middle = (start + end) >> 1
                wanted += [(middle + 1, end), (start, middle)]
            else:
                found += map(_log, answer)
        return sorted(found, key=lambda log: (log.block_number, log.log_index))

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """See ``Chain``."""
        answer = self._read("eth_getTransactionReceipt", _hex(tx_hash))
        if answer is None or answer["blockHash"] is None:
            return None
        contract = answer.get("contractAddress")
        return Receipt(
            tx_hash,
            _number(answer["blockNumber"]),
            _octets(answer["blockHash"]),
            _number(answer["status"]) == 1,
            _number(answer["gasUsed"]),
            _number(answer["effectiveGasPrice"]),
            _octets(contract) if contract else None,
        )

    def calldata(self, tx_hash: bytes) -> bytes:
        """See ``Chain``."""
        answer = self._read("eth_getTransactionByHash", _hex(tx_hash))
        if answer is None:
            return b""
        return _octets(answer["input"] if "input" in answer else answer["data"])

    def nonce(self, address: bytes, *, pending: bool) -> int:
        """See ``Chain``."""
        tag = "pending" if pending else "latest"
        return _number(self._read("eth_getTransactionCount", _hex(address), tag))

    def send_raw(self, raw: bytes) -> Sent:
        """See ``Chain``."""
        try:
            self._ask("eth_sendRawTransaction", _hex(raw))
        except Web3RPCError as error:
            return _refusal(_reason(error))
        return Sent(Sending.ACCEPTED)

    def base_fee(self) -> int:
        """See ``Chain``."""
        block = self._read("eth_getBlockByNumber", "latest", False)
        return _number(block.get("baseFeePerGas") or 0)

    def code(self, address: bytes) -> bytes:
        """See ``Chain``."""
        return _octets(self._read("eth_getCode", _hex(address), "latest"))

    def balance(self, address: bytes) -> int:
        """See ``Chain``."""
        return _number(self._read("eth_getBalance", _hex(address), "latest"))


def node_at(url: str, answer_seconds_max: int = ANSWER_SECONDS_MAX) -> Chain:
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


def _log_filter(
    addresses: list[bytes], topics: list[bytes | list[bytes] | None], first: int, last: int
) -> dict[str, Any]:
    return {
        "address": [_hex(address) for address in addresses],
        "topics": [
            [_hex(one) for one in topic] if isinstance(topic, list) else topic and _hex(topic)
            for topic in topics
        ],
        "fromBlock": hex(first),
        "toBlock": hex(last),
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
    output = fields.get("data")
    reason = without_urls(str(fields.get("message", "")))
    if fields.get("code") == 3 or "revert" in reason.lower():
        return CallRevertedError(reason, _octets(output) if isinstance(output, str) else b"")
    return ChainUnavailableError(f"eth_call: {reason}")
