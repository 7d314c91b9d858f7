"""How fast are shops served, with their rows in a file and on a Postgres server beside it?

``invoices_s`` and ``quotes_s`` are one after the other on one core, over a book of 1,000 levels a
side; ``page_p99_ms`` is the first look at each of a hundred checkout pages, on the ASGI
application. ``final_*`` is the whole product on its embedded chain: from a customer's payment,
alone, to the page that says that all is done, his tokens sold and the batch of it final.

Easier than the world: the server is on this machine and its disk is memory, nobody else asks, the
chain makes a block when there is something to put into it and is final after two, and no webhook
waits for a shop. Without Postgres on the machine its figures are left out.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import uvloop

from benchmarks.cases.bench_dearest_request import OPERATOR, Filled, call
from benchmarks.cases.bench_gateway import rate, secret_of
from benchmarks.cases.bench_idle import wait_until_ready
from gateway.api.v1.shops import merchants_router
from gateway.node.app import create_app
from gateway.pages.checkout import checkout_router
from gateway.pages.checkout_view import CheckoutPage, PageFacts
from merchants.records.rejection import Rejection
from merchants.sales.asked import InvoiceRequest
from settlement.protocol.eip712 import address_of_secret
from tests import postgres

ROUNDS: Final = 3
INVOICES: Final = 100
QUOTES: Final = 200
SALES: Final = 20
FINAL_SECONDS_MAX: Final = 30
PIPS: Final = 5 * 10**7
KINDS: Final = ("sqlite", "postgres")


@pytest.fixture(params=KINDS)
def place(request: Any) -> Iterator[tuple[str, str]]:
    """Which database, and its URL if it has one."""
    with ExitStack() as closing:
        url = ""
        if request.param == "postgres":
            if postgres.program("initdb") is None:
                pytest.skip("no Postgres on this machine")
            server = closing.enter_context(postgres.running())
            url = server.url(server.fresh("shops"))
        yield request.param, url


def at(values: list[float], percent: int) -> float:
    """Return the value below which ``percent`` of them are."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


async def in_process(directory: Path, url: str) -> dict[str, list[float]]:
    """Return what was measured, by name, a value a round."""
    venue = Filled(directory, url)
    secrets = [secret_of(each, role) for each in (0, 1) for role in (0, 1)]
    await venue.open([address_of_secret(secret) for secret in secrets])
    await venue.fill()
    merchants = venue.merchants
    store = merchants.stores.keys.authenticate(venue.api_key)
    assert store is not None
    market = venue.catalog.markets[0]
    shops = merchants_router(merchants, venue.exchange.domain, OPERATOR, "http://x")
    pages = checkout_router(merchants.reader, CheckoutPage(PageFacts("bench")))
    app = create_app(replace(venue.services, routers=(shops, pages), operator_token=OPERATOR))
    found: dict[str, list[float]] = {"invoices_s": [], "quotes_s": [], "page_p99_ms": []}
    for _ in range(ROUNDS):
        began = time.perf_counter()
        made = []
        for _ in range(INVOICES):
            answer = merchants.create_invoice(
                store.store.id, InvoiceRequest("0.5", tokens=("TOKEN",))
            )
            assert not isinstance(answer, Rejection), answer
            made.append(answer.invoice.id)
        found["invoices_s"].append(INVOICES / (time.perf_counter() - began))
        began = time.perf_counter()
        for _ in range(QUOTES):
            merchants.prices.quote(market, PIPS, venue.exchange.now_ns())
        found["quotes_s"].append(QUOTES / (time.perf_counter() - began))
        looks = []
        for invoice_id in made:
            began = time.perf_counter()
            status, _ = await call(app, f"/checkout/{invoice_id}")
            assert status == httpx.codes.OK
            looks.append(1_000 * (time.perf_counter() - began))
        found["page_p99_ms"].append(at(looks, 99))
    return found


def test_merchants_are_served(benchmark: Any, tmp_path: Path, place: tuple[str, str]) -> None:
    kind, url = place
    found: list[dict[str, list[float]]] = []
    benchmark.pedantic(
        lambda: found.append(uvloop.run(in_process(tmp_path, url))), rounds=1, iterations=1
    )
    units = {"invoices_s": "invoices/s", "quotes_s": "quotes/s", "page_p99_ms": "ms"}
    benchmark.extra_info["figures"] = {
        f"merchants.{name}.{kind}": rate(found[0][name], unit)
        for name, unit in units.items()
        if name != "quotes_s" or kind == "sqlite"  # It asks no database.
    }


def seconds_to_final(client: httpx.Client) -> float:
    """Buy something, pay for it, and return how long it took until all was done."""
    ends = time.monotonic() + FINAL_SECONDS_MAX
    while "location" not in (bought := client.post("/sandbox/buy/coffee")).headers:
        assert time.monotonic() < ends, bought.text  # Its makers have to quote first.
        time.sleep(0.2)
    page = bought.headers["location"]
    invoice_id = page.partition("?")[0].rpartition("/")[2]
    began = time.monotonic()
    client.post(f"/sandbox/pay/{invoice_id}")
    while True:
        phase = json.loads(client.get(f"/checkout/{invoice_id}/state").content)["phase"]
        took = time.monotonic() - began
        if phase == "settled":
            return took
        assert took < FINAL_SECONDS_MAX, phase
        time.sleep(0.02)


def test_merchants_sales_become_final(
    benchmark: Any, tmp_path: Path, place: tuple[str, str]
) -> None:
    (kind, url), port = place, 8_798
    run = [Path(sys.executable).with_name("tillbook"), "run", "--data", str(tmp_path / "data")]
    environment = os.environ | {"TILLBOOK_MERCHANTS_DATABASE": url, "TILLBOOK_DEMO_TRADES": "0"}
    process = subprocess.Popen(
        [*run, "--port", str(port)], stdout=subprocess.DEVNULL, env=environment
    )
    took: list[float] = []
    try:
        wait_until_ready(port)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            seconds_to_final(client)  # The first waits for what is imported then.
            benchmark.pedantic(
                lambda: took.append(seconds_to_final(client)), rounds=SALES, iterations=1
            )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    figures = {
        f"merchants.final_p{percent}_s.{kind}": rate([at(took, percent)], "s")
        for percent in (50, 95)
    }
    benchmark.extra_info["figures"] = figures
