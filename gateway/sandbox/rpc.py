"""How does a browser wallet reach the embedded chain?

JSON-RPC with what a wallet asks, single or batched. Transactions go through the durable log, so
that SIGKILL loses none; what would go past it (a node's own accounts, resets) is not answered.
A page of another site cannot ask: it could only send what needs no permission, and that is refused.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from fastapi import Request, Response

from gateway.http.body import DECODE_ERRORS, malformed
from settlement.chain.dev.devchain import RpcError

METHODS: Final = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockTransactionCountByHash",
        "eth_getBlockTransactionCountByNumber",
        "eth_getCode",
        "eth_getLogs",
        "eth_getStorageAt",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "eth_sendRawTransaction",
        "eth_syncing",
        "evm_mine",
        "net_listening",
        "net_version",
        "web3_clientVersion",
    }
)
BATCH_MAX: Final = 100
RUNS_CODE: Final = frozenset({"eth_call", "eth_estimateGas"})
GAS_MAX: Final = 30_000_000
"""A block's. A call that names more would keep the node for as long as it likes."""

NO_SUCH_METHOD: Final = -32601
INVALID: Final = -32600
INVALID_PARAMS: Final = -32602
NODE_SILENT: Final = -32000
JSON: Final = "application/json"
HIDDEN: Final = "null"
"""The origin that a browser tells of such a page."""

_HEX: Final = re.compile("0x[0-9a-fA-F]{1,16}")


class RpcCall(msgspec.Struct, frozen=True):
    """One JSON-RPC request."""

    method: str
    params: list[Any] = []
    id: int | str | None = None


async def answer_rpc(
    request: Request,
    ask: Callable[[str, list[Any]], Any],
    threads: Executor,
    methods: frozenset[str] = METHODS,
) -> Response:
    """Answer a JSON-RPC request for one of ``methods``, or several in one, by ``ask`` in one of
    ``threads``: not one of those that the exchange itself asks the chain in."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        return Response(f"JSON-RPC comes as {JSON}", status_code=415)
    if is_of_another_site(request):
        return Response("not for pages of other sites", status_code=403)
    try:
        asked = msgspec.json.decode(await request.body(), type=RpcCall | list[RpcCall])
    except DECODE_ERRORS as error:
        raise malformed(error) from None
    if isinstance(asked, RpcCall):
        return _json(await _answer(asked, ask, threads, methods))
    if not 1 <= len(asked) <= BATCH_MAX:
        return _json(_error(None, INVALID, f"1 to {BATCH_MAX} requests at once"))
    return _json([await _answer(call, ask, threads, methods) for call in asked])


async def _answer(
    call: RpcCall,
    ask: Callable[[str, list[Any]], Any],
    threads: Executor,
    methods: frozenset[str],
) -> dict[str, Any]:
    if call.method not in methods:
        return _error(call.id, NO_SUCH_METHOD, f"{call.method} is not answered here")
    if call.method in RUNS_CODE and not _is_bounded(call.params):
        sentence = f"a call, a block, and at most {GAS_MAX} gas in hex"
        return _error(call.id, INVALID_PARAMS, sentence)
    loop = asyncio.get_running_loop()
    try:
        result = await loop.run_in_executor(threads, ask, call.method, call.params)
    except RpcError as refused:
        return _error(call.id, refused.code, str(refused), refused.data)
    except ConnectionError:
        return _error(call.id, NODE_SILENT, "the node does not answer")
    return {"jsonrpc": "2.0", "id": call.id, "result": result}


def _is_bounded(params: list[Any]) -> bool:
    """Return whether a node comes back soon. Further parameters replace code and blocks' limits."""
    if len(params) > 2 or not params or not isinstance(params[0], dict):
        return False
    # Every spelling but the one that wallets use is refused: nodes know several.
    if any(name.lower().startswith("gas") for name in params[0].keys() - {"gas", "gasPrice"}):
        return False
    gas = params[0].get("gas", "0x0")
    return isinstance(gas, str) and bool(_HEX.fullmatch(gas)) and int(gas, 16) <= GAS_MAX


def is_of_another_site(request: Request) -> bool:
    """Return whether a page elsewhere asks: browsers say so. A wallet's extension is no site; a
    page that hides where it is from, in a frame without rights or out of a file, is not ours."""
    said = request.headers.get("origin", "")
    origin = urlsplit(said)
    return said == HIDDEN or (
        origin.scheme in ("http", "https") and origin.netloc != request.headers.get("host")
    )


def _error(
    call_id: int | str | None, code: int, message: str, data: str | None = None
) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": call_id, "error": error}


def _json(answer: object) -> Response:
    return Response(msgspec.json.encode(answer), media_type=JSON)
