"""How does a browser wallet reach the embedded chain?

JSON-RPC with what a wallet asks, single or batched. Transactions go through the durable log, so
that SIGKILL loses none; what would go past it (a node's own accounts, resets) is not answered.
A page of another site cannot ask: it could only send what needs no permission, and that is refused.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from fastapi import Request, Response

from engine.types import Outcome
from gateway.problems import Rejected
from settlement.devchain import RpcRefusedError

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
NO_SUCH_METHOD: Final = -32601
INVALID: Final = -32600
JSON: Final = "application/json"


class RpcCall(msgspec.Struct, frozen=True):
    """One JSON-RPC request."""

    method: str
    params: list[Any] = []
    id: int | str | None = None


async def answer_rpc(request: Request, ask: Callable[[str, list[Any]], Any]) -> Response:
    """Answer a JSON-RPC request, or several in one, by ``ask``."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        return Response(f"JSON-RPC comes as {JSON}", status_code=415)
    if _is_of_another_site(request):
        return Response("not for pages of other sites", status_code=403)
    try:
        asked = msgspec.json.decode(await request.body(), type=RpcCall | list[RpcCall])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Outcome.MALFORMED, str(error)) from None
    if isinstance(asked, RpcCall):
        return _json(await _answer(asked, ask))
    if not 1 <= len(asked) <= BATCH_MAX:
        return _json(_error(None, INVALID, f"1 to {BATCH_MAX} requests at once"))
    return _json([await _answer(call, ask) for call in asked])


async def _answer(call: RpcCall, ask: Callable[[str, list[Any]], Any]) -> dict[str, Any]:
    if call.method not in METHODS:
        return _error(call.id, NO_SUCH_METHOD, f"{call.method} is not answered here")
    try:
        result = await asyncio.to_thread(ask, call.method, call.params)
    except RpcRefusedError as refused:
        return _error(call.id, refused.code, str(refused), refused.data)
    return {"jsonrpc": "2.0", "id": call.id, "result": result}


def _is_of_another_site(request: Request) -> bool:
    """Browsers say where a page is from; a wallet's extension is no site."""
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc != request.headers.get("host")


def _error(
    call_id: int | str | None, code: int, message: str, data: str | None = None
) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": call_id, "error": error}


def _json(answer: object) -> Response:
    return Response(msgspec.json.encode(answer), media_type=JSON)
