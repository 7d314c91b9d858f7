"""How long do two hundred payments in one block take to settle, and how late do slow shops hear?

``merchants.burst_settled_p99_s`` is the whole product on its embedded chain: a store with an
endpoint, two hundred invoices, one transaction that pays them all, and the time from when it was
sent to when ``/v1/events`` says that each is settled. ``burst_told_p99_s`` is when the endpoint
has heard it; ``burst_cpu_s`` is what the server has used by then, sales that go on meanwhile
included. ``webhook_lag_p99_s`` is twenty sales at once of a store whose endpoint takes a second for
each answer: from the time an event says that it happened, which is a whole second, to its arrival.

Easier than the world: the chain is on this machine, makes a block as soon as there is something to
put into it and is final after two; all payments are of one store and one token, exact and in time;
rows are in a file whose disk is memory; nobody else asks. Harder: node, server, shop and whoever
watches share two cores.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from eth_account import Account
from eth_account.datastructures import SignedTransaction

from benchmarks.cases.bench_gateway import rate
from benchmarks.cases.bench_idle import cpu_seconds, wait_until_ready
from benchmarks.cases.bench_merchants import at
from settlement.chain.dev.devchain import dev_secret
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import address_of_secret

PORT: Final = 8_799
BURST: Final = 200
ROUNDS: Final = 2
SALES: Final = 20
ANSWER_SECONDS: Final = 1
SECONDS_MAX: Final = 240
LOOK_SECONDS: Final = 0.1
WALLET: Final = 9
"""Which of the chain's ten accounts is the shop's and the customers': no other uses it."""


class Listening(ThreadingHTTPServer):
    """As servers of shops are, with room for who connects at once: behind the five of Python's own
    the system drops connections, and each is tried again after a second."""

    request_queue_size = 128


class Shop:
    """An endpoint; ``heard`` has the time at which each event came first, and the event."""

    def __init__(self, answer_seconds: float) -> None:
        self.heard: dict[str, tuple[float, dict[str, Any]]] = {}
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                shop.heard.setdefault(self.headers["webhook-id"], (time.time(), orjson.loads(body)))
                time.sleep(answer_seconds)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = Listening(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Product:
    """``tillbook run`` in a process of its own, and one store of it."""

    def __init__(self, client: httpx.Client, process: int, directory: Path, shop: Shop) -> None:
        self.process, self._client, self._last = process, client, 0
        operator = {"authorization": f"Bearer {(directory / 'operator.token').read_text()}"}
        wallet = "0x" + address_of_secret(dev_secret(WALLET)).hex()
        store = self._post(
            "/v1/stores",
            {"settle": "USD", "tokens": ["TOKEN"], "name": "Burst", "wallet": wallet}
            | {"webhook_url": shop.url},
            operator,
        )
        (grant,) = store["grants"]
        signed = Account.sign_typed_data(dev_secret(WALLET), full_message=grant["grant"])
        self._key = {"authorization": f"Bearer {store['api_key']}"}
        self._post(
            f"/v1/stores/{store['id']}/grants/{grant['id']}/approval",
            {"signature": "0x" + signed.signature.hex().removeprefix("0x")},
            self._key,
        )
        tokens = client.get("/v1/config").json()["tokens"]
        self._token = next(one["address"] for one in tokens if one["symbol"] == "TOKEN")

    def invoices(self, count: int) -> dict[str, tuple[bytes, int]]:
        """Make ``count`` invoices; return where and how much each has to be paid."""
        made = [
            self._post("/v1/invoices", {"amount": "25.00", "tokens": ["TOKEN"]}, self._key)
            for _ in range(count)
        ]
        return {
            one["id"]: (
                bytes.fromhex(one["deposit_address"][2:]),
                int(one["options"][0]["amount_due_raw"]),
            )
            for one in made
        }

    def pay(self, due: Mapping[str, tuple[bytes, int]]) -> None:
        """Pay all of ``due`` in one transaction, and so in one block."""
        secret = dev_secret(WALLET)
        account = "0x" + address_of_secret(secret).hex()
        signed: SignedTransaction = Account.sign_transaction(
            {
                "data": disperser(bytes.fromhex(self._token[2:]), list(due.values())),
                "value": 0,
                "gas": 16_000_000,
                "gasPrice": 10**10,
                "nonce": int(self._rpc("eth_getTransactionCount", account, "latest"), 16),
                "chainId": int(self._rpc("eth_chainId"), 16),
            },
            secret,
        )
        tx_hash = self._rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
        until(lambda: self._rpc("eth_getTransactionReceipt", tx_hash) is not None)
        receipt = self._rpc("eth_getTransactionReceipt", tx_hash)
        assert receipt["status"] == "0x1", receipt

    def settled(self, count: int, began: float) -> list[float]:
        """Return when each of ``count`` invoices is settled, counted from ``began``."""
        took: list[float] = []
        for _ in range(int(SECONDS_MAX / LOOK_SECONDS)):
            answer = self._client.get(f"/v1/events?after={self._last}&limit=100", headers=self._key)
            events = answer.json()["events"]
            self._last = events[-1]["id"] if events else self._last
            kinds = [event["body"]["type"] for event in events]
            took += [time.time() - began] * kinds.count("invoice.settled")
            if len(took) == count:
                return took
            if not events:
                time.sleep(LOOK_SECONDS)
        raise AssertionError(f"{len(took)} of {count} are settled")

    def _post(self, path: str, document: Any, headers: dict[str, str]) -> Any:
        for _ in range(SECONDS_MAX):
            answer = self._client.post(path, json=document, headers=headers)
            if answer.status_code < httpx.codes.BAD_REQUEST:
                return answer.json()
            # Quotes have to be some seconds old; a store has so many invoices a minute.
            time.sleep(1)
        raise AssertionError(answer.text)

    def _rpc(self, method: str, *params: Any) -> Any:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._client.post("/sandbox/rpc", json=call).json()
        assert "error" not in answer, answer
        return answer["result"]


def disperser(token: bytes, due: list[tuple[bytes, int]]) -> bytes:
    """Return the code of a contract that, as it is made, mints what it needs, sends each his part
    and leaves nothing behind."""

    def called(calldata: bytes) -> bytes:
        stored = b"".join(
            b"\x7f"
            + calldata[at : at + 32].ljust(32, b"\0")
            + b"\x61"
            + at.to_bytes(2, "big")
            + b"\x52"
            for at in range(0, len(calldata), 32)
        )
        asked = b"\x60\0\x60\0\x61" + len(calldata).to_bytes(2, "big") + b"\x60\0\x60\0"
        return stored + asked + b"\x73" + token + b"\x5a\xf1\x50"  # PUSH20, GAS, CALL, POP.

    total = sum(raw for _, raw in due)
    # The receiver of what is minted is whoever runs this: ADDRESS over the first parameter.
    minted = called(encode_call("mint", bytes(20), total, contract="TestToken"))
    first = minted.index(b"\x60\0\x60\0\x61")
    own = b"\x30\x60\x04\x52"  # ADDRESS, PUSH1 4, MSTORE.
    amount = b"\x7f" + total.to_bytes(32, "big") + b"\x60\x24\x52"
    code = minted[:first] + own + amount + minted[first:]
    for to, raw in due:
        code += called(encode_call("transfer", to, raw, contract="TestToken"))
    return code + b"\x60\0\x60\0\xf3"


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(int(SECONDS_MAX / LOOK_SECONDS)):
        if is_so():
            return
        time.sleep(LOOK_SECONDS)
    raise AssertionError("waited long enough")


@contextmanager
def product(tmp_path: Path, answer_seconds: float) -> Iterator[tuple[Product, Shop]]:
    run = [Path(sys.executable).with_name("tillbook"), "run", "--data", str(tmp_path / "data")]
    process = subprocess.Popen(
        [*run, "--port", str(PORT)],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"TILLBOOK_DEMO_TRADES": "0"},
    )
    shop = Shop(answer_seconds)
    try:
        wait_until_ready(PORT)
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=30) as client:
            yield Product(client, process.pid, tmp_path / "data", shop), shop
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shop.close()


def heard(shop: Shop, kind: str, since: float) -> list[tuple[float, dict[str, Any]]]:
    """Return what a shop was told of a kind since then."""
    found = list(shop.heard.values())
    return [(when, body) for when, body in found if body["type"] == kind and when >= since]


def test_merchants_settle_a_burst(benchmark: Any, tmp_path: Path) -> None:
    settled: list[float] = []
    told: list[float] = []
    cpu: list[float] = []

    def burst(due: Mapping[str, tuple[bytes, int]]) -> None:
        used, began = cpu_seconds(venue.process), time.time()
        venue.pay(due)
        settled.append(at(venue.settled(len(due), began), 99))
        until(lambda: len(heard(shop, "invoice.settled", began)) == len(due))
        told.append(at([when - began for when, _ in heard(shop, "invoice.settled", began)], 99))
        cpu.append(cpu_seconds(venue.process) - used)

    with product(tmp_path, 0) as (venue, shop):
        burst(venue.invoices(1))  # The first waits for what is imported then.
        settled.clear(), told.clear(), cpu.clear()

        def next_ones() -> tuple[Any, Any]:
            # What the round before has paid is sold and final first.
            until(lambda: len(heard(shop, "conversion.final", 0)) == 1 + BURST * len(cpu))
            return (venue.invoices(BURST),), {}

        benchmark.pedantic(burst, setup=next_ones, rounds=ROUNDS)
    benchmark.extra_info["figures"] = {
        "merchants.burst_settled_p99_s": rate(settled, "s"),
        "merchants.burst_told_p99_s": rate(told, "s"),
        "merchants.burst_cpu_s": rate(cpu, "s"),
    }


def test_merchants_tell_slow_shops(benchmark: Any, tmp_path: Path) -> None:
    lags: list[float] = []

    def sell(due: Mapping[str, tuple[bytes, int]]) -> None:
        began = time.time()
        venue.pay(due)
        until(lambda: len(heard(shop, "conversion.final", began)) == len(due))
        late = [
            when - datetime.fromisoformat(body["timestamp"]).timestamp()
            for when, body in list(shop.heard.values())
            if when >= began
        ]
        lags.append(at(late, 99))

    with product(tmp_path, ANSWER_SECONDS) as (venue, shop):
        sell(venue.invoices(1))
        lags.clear()
        benchmark.pedantic(sell, setup=lambda: ((venue.invoices(SALES),), {}), rounds=ROUNDS)
    benchmark.extra_info["figures"] = {"merchants.webhook_lag_p99_s": rate(lags, "s")}
