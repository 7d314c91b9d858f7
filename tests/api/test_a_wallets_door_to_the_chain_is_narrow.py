"""What a stranger asks of the embedded chain ends soon and takes no thread of the exchange."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from gateway.sandbox.rpc import GAS_MAX, INVALID_PARAMS, NODE_SILENT, answer_rpc

CALL = {"to": "0x" + "77" * 20, "data": "0x"}


class Chain:
    """Remembers what it was asked, and in which thread."""

    def __init__(self, is_silent: bool = False) -> None:
        self.asked: list[tuple[str, list[Any]]] = []
        self.threads: set[str] = set()
        self._is_silent = is_silent

    def ask(self, method: str, params: list[Any]) -> str:
        if self._is_silent:
            raise ConnectionError("http://node.example/SECRET timed out")
        self.asked.append((method, params))
        self.threads.add(threading.current_thread().name)
        return "0x0"


def said(chain: Chain, method: str, params: list[Any]) -> dict[str, Any]:
    app = FastAPI()
    threads = ThreadPoolExecutor(1, thread_name_prefix="rpc")

    @app.post("/")
    async def rpc(request: Request) -> Response:
        return await answer_rpc(request, chain.ask, threads)

    async def story() -> dict[str, Any]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            answer = await http.post("/", json={"id": 1, "method": method, "params": params})
        document: dict[str, Any] = answer.json()
        return document

    with threads:
        return asyncio.run(story())


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
@pytest.mark.parametrize(
    "params",
    [
        [],
        ["0x"],
        [CALL | {"gas": hex(GAS_MAX + 1)}],
        [CALL | {"gas": str(10**15)}],
        [CALL | {"gas": 10**15}],
        [CALL | {"gasLimit": "0x1"}],
        [CALL, "latest", {CALL["to"]: {"code": "0x5b600056"}}],
    ],
)
def test_found_a_call_without_end_kept_the_node_and_a_thread(
    method: str, params: list[Any]
) -> None:
    chain = Chain()
    assert said(chain, method, params)["error"]["code"] == INVALID_PARAMS
    assert not chain.asked


@pytest.mark.parametrize(
    "params",
    [[CALL], [CALL, "latest"], [CALL | {"gas": hex(GAS_MAX), "gasPrice": "0x1"}, "0x10"]],
)
def test_what_wallets_ask_is_answered_in_the_threads_for_it(params: list[Any]) -> None:
    chain = Chain()
    assert said(chain, "eth_call", params)["result"] == "0x0"
    assert chain.asked == [("eth_call", params)]
    assert all(name.startswith("rpc") for name in chain.threads)


def test_a_node_that_does_not_answer_is_no_fault_of_ours_and_stays_unnamed() -> None:
    answer = said(Chain(is_silent=True), "eth_blockNumber", [])
    assert answer["error"]["code"] == NODE_SILENT and "SECRET" not in str(answer)
