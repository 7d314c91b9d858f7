"""A wallet of the browser pays on the embedded chain, by every road, and each counts once."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from eth_account import Account
from playwright.async_api import Page, expect

from gateway.sandbox import actors
from settlement.chain.dev.devchain import dev_secret
from settlement.protocol.abi import encode_call
from settlement.protocol.checksum import checksum_address
from settlement.protocol.eip712 import address_of_secret
from tests.api.fixtures import Wallet
from tests.browser.fixtures import Declined, PaperWallet, browser, keep, need_chromium, watched
from tests.browser.test_market_page import faults
from tests.e2e.running import Running, ask, until

need_chromium()

SECRET = dev_secret(actors.CUSTOMER)
PLENTY = 10**24
GAS = 500_000


class ChainWallet(PaperWallet):
    """A wallet that signs and sends on the sandbox's chain, by the sandbox's own JSON-RPC."""

    def __init__(self, here: Running) -> None:
        self.here = here
        self.sent: list[str] = []
        super().__init__(Wallet(int.from_bytes(SECRET, "big")), int(self.rpc("eth_chainId"), 16))
        self.answers = {
            "eth_sendTransaction": lambda params: self.send(params[0]),
            "eth_call": lambda params: self.rpc("eth_call", *params),
            "eth_getTransactionReceipt": lambda params: self.rpc(
                "eth_getTransactionReceipt", *params
            ),
        }

    def rpc(self, method: str, *params: Any) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json"}
        _, _, said = ask(self.here.port, "POST", "/sandbox/rpc", body, headers)
        answer = orjson.loads(said)
        assert "error" not in answer, answer
        return answer["result"]

    def send(self, transaction: dict[str, str]) -> str:
        if self.declines:
            raise Declined(4001, "User rejected the request.")
        assert int(transaction.get("chainId", hex(self.chain_id)), 16) == self.chain_id
        sender = "0x" + address_of_secret(SECRET).hex()
        signed = Account.sign_transaction(
            {
                "chainId": self.chain_id,
                "nonce": int(self.rpc("eth_getTransactionCount", sender, "pending"), 16),
                "to": checksum_address(bytes.fromhex(transaction["to"][2:])),
                "data": transaction["data"],
                "value": 0,
                "gas": GAS,
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 10**9,
                "type": 2,
            },
            SECRET,
        )
        tx_hash = str(self.rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex()))
        self.sent.append(tx_hash)
        return tx_hash


@asynccontextmanager
async def paying(here: Running) -> AsyncIterator[tuple[Page, ChainWallet]]:
    async with browser() as chromium, watched(chromium, here.port) as page:
        paper = ChainWallet(here)
        await paper.inject(page)
        yield page, paper


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A sandbox whose customer has tokens in his wallet."""
    running = Running(tmp_path_factory.mktemp("sandbox"))
    try:
        paper = ChainWallet(running)
        config = orjson.loads(ask(running.port, "GET", "/v1/config")[2])
        for token in config["tokens"]:
            mint = encode_call("mint", address_of_secret(SECRET), PLENTY, contract="TestToken")
            paper.send({"to": token["address"], "data": "0x" + mint.hex()})
        yield running
        code, output = running.stop()
        assert code == 0 and "Traceback" not in output, output
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()


def bought(here: Running) -> str:
    """Return a new invoice."""
    status, headers, _ = until(
        "the shop sells",
        lambda: (s := ask(here.port, "POST", "/sandbox/buy/book"))[0] == 303 and s,
    )
    assert status == 303
    return str(headers["location"].rpartition("/")[2])


def booked(directory: Path, invoice: str) -> list[int]:
    """Return what was booked for an invoice, deposit by deposit."""
    database = sqlite3.connect(directory / "merchants.sqlite")
    try:
        rows = database.execute(
            "SELECT amount_pips FROM credits WHERE invoice_id = ?", (invoice,)
        ).fetchall()
    finally:
        database.close()
    return [pips for (pips,) in rows]


async def opened(here: Running, page: Page, paper: ChainWallet) -> str:
    """Open a new invoice and connect the wallet."""
    invoice = await asyncio.to_thread(bought, here)
    await page.goto(f"http://127.0.0.1:{here.port}/checkout/{invoice}")
    await page.get_by_role("button", name="Pay with Paper wallet").click()
    await page.get_by_role("radio").first.wait_for()
    return invoice


@pytest.mark.parametrize(
    ("road", "asked"),
    [
        ("transfer", {"eth_sendTransaction": 1, "eth_signTypedData_v4": 0}),
        ("permit", {"eth_sendTransaction": 1, "eth_signTypedData_v4": 1}),
        ("approve", {"eth_sendTransaction": 2, "eth_signTypedData_v4": 0}),
    ],
)
def test_each_road_pays_the_invoice_once(here, road, asked):
    async def whole() -> None:
        async with paying(here) as (page, paper):
            invoice = await opened(here, page, paper)
            await page.locator(f"[value={road}]").check()
            assert await faults(page) == []
            await keep(page, f"wallet-{road}")
            await page.get_by_role("button", name="Ask the wallet").dblclick()
            await expect(page.locator("[data-phase=settled]")).to_be_visible(timeout=60_000)
            assert {method: paper.asked.count(method) for method in asked} == asked
            pips = await asyncio.to_thread(booked, here.directory, invoice)
            assert len(pips) == 1 and pips[0] > 0, "once, whatever was pressed twice"

    asyncio.run(whole())


def test_a_wallet_on_another_chain_is_asked_to_switch_and_sends_nothing_before(here):
    async def whole() -> None:
        async with paying(here) as (page, paper):
            ours, paper.chain_id = paper.chain_id, 1
            await opened(here, page, paper)
            await expect(page.locator(".told")).to_have_text("The wallet is on another network.")
            assert await page.get_by_role("button", name="Ask the wallet").count() == 0
            await page.get_by_role("button", name="Switch the wallet to").click()
            await page.get_by_role("button", name="Ask the wallet").wait_for()
            assert (paper.chain_id, paper.sent) == (ours, [])
            paper.chain_id = 1
            await page.get_by_role("button", name="Ask the wallet").click()
            await expect(page.locator(".told")).to_have_text("The wallet is on another network.")
            assert "eth_sendTransaction" not in paper.asked

    asyncio.run(whole())


def test_who_declines_is_told_that_nothing_was_sent_and_may_try_again(here):
    async def whole() -> None:
        async with paying(here) as (page, paper):
            await opened(here, page, paper)
            paper.declines = True
            await page.locator("[value=permit]").check()
            await page.get_by_role("button", name="Ask the wallet").click()
            await expect(page.locator(".told")).to_have_text(
                "The wallet declined. Nothing was sent."
            )
            assert paper.sent == []
            paper.declines = False
            await page.locator("[value=transfer]").check()
            await page.get_by_role("button", name="Ask the wallet").click()
            await expect(page.locator("[data-phase=settled]")).to_be_visible(timeout=60_000)
            assert len(paper.sent) == 1

    asyncio.run(whole())
