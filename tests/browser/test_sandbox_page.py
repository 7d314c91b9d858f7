"""A visitor of a sandbox trades with one click, while demo traders trade and a shop sells."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
from playwright.async_api import Page, expect

from tests.browser.fixtures import browser, keep, need_chromium, watched
from tests.browser.test_market_page import faults
from tests.e2e.running import Running, ask, until

need_chromium()

FAST = 300


def visited(tmp_path: Path, tale: Callable[[Running, Page], Awaitable[None]]) -> None:
    """Tell ``tale`` with a sandbox in a process of its own and a page of it."""
    here = Running(tmp_path, demo_trades=FAST)

    async def whole() -> None:
        async with (
            browser() as chromium,
            watched(chromium, here.port, viewport={"width": 1280, "height": 900}) as page,
        ):
            await tale(here, page)

    try:
        asyncio.run(whole())
        code, output = here.stop()
        assert code == 0 and "Traceback" not in output, output
    finally:
        if here.process.poll() is None:
            here.process.kill()
            here.process.communicate()


async def connect(page: Page) -> None:
    await page.locator("#link.live").wait_for()
    await page.locator("#connect").click()
    await page.get_by_role("button", name="Demo wallet").click()
    await page.locator("#account-open").wait_for()
    await expect(page.locator("#available")).not_to_have_text("–", timeout=20_000)


def test_a_visitor_trades_with_the_demo_wallet_down_to_the_transaction(tmp_path: Path) -> None:
    async def tale(here: Running, page: Page) -> None:
        await page.goto(f"http://127.0.0.1:{here.port}/")
        newest = page.locator("#trades tr[data-trade]").first
        await newest.wait_for(timeout=30_000)
        seen = await newest.get_attribute("data-trade")
        assert seen is not None
        await expect(newest).not_to_have_attribute("data-trade", seen, timeout=30_000)
        await connect(page)
        await page.locator("#kind").select_option("market")
        await page.locator("#quantity").fill("0.05")
        await page.locator("#sign").click()
        await expect(page.locator("#told")).to_contain_text("Filled: 0.05 TOKEN for")
        await page.get_by_role("tab", name="Fills").click()
        fill = page.locator("#own-fills tr").first
        await expect(fill).to_contain_text("final", timeout=30_000)
        await fill.get_by_role("button").click()
        await expect(page.locator("#tx-figures")).to_contain_text("succeeded")
        await page.keyboard.press("Escape")

        await page.reload()
        await page.locator("#account-open").wait_for()
        await page.get_by_role("tab", name="Fills").click()
        await expect(page.locator("#own-fills tr").first).to_contain_text("0.0500")
        assert await faults(page) == []
        await keep(page, "1280-sandbox")

    visited(tmp_path, tale)


def test_a_visitor_gets_test_money_and_moves_it_in_and_out(tmp_path: Path) -> None:
    async def tale(here: Running, page: Page) -> None:
        await page.goto(f"http://127.0.0.1:{here.port}/")
        await connect(page)
        await page.locator("#price").fill("2000")
        await page.locator("#quantity").fill("1,000.5")
        await page.locator("#sign").click()
        await expect(page.locator("#told")).to_contain_text("“Get test money” is under Deposit")
        await expect(page.locator("#available")).to_have_text("25\u202f000.00 USD")

        await page.locator("#open-deposit").click()
        await page.locator("#faucet").click()
        await expect(page.locator("#funds-state")).to_contain_text("On its way", timeout=20_000)
        await expect(page.locator("#available")).to_have_text("50\u202f000.00 USD", timeout=20_000)
        await page.locator("#funds-token").select_option("USD")
        await page.locator("#funds-amount").fill("1 000,5")
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("paid in", timeout=20_000)
        await expect(page.locator("#available")).to_have_text("51\u202f000.50 USD", timeout=20_000)
        await page.get_by_role("radio", name="Withdraw").check()
        await page.locator("#funds-amount").fill("1000.5")
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("is on its way")
        await expect(page.locator("#available")).to_have_text("50\u202f000.00 USD")
        await page.get_by_role("radio", name="Deposit").check()
        await expect(page.locator("#funds-there")).to_contain_text("50\u202f000.00 USD")

        for usd in ("75\u202f000.00 USD", "100\u202f000.00 USD"):  # What is credited counts.
            await page.locator("#faucet").click()
            await expect(page.locator("#available")).to_have_text(usd, timeout=30_000)
        told = page.locator("#funds-state")
        for _ in range(9):  # The other token is credited a moment later.
            await expect(page.locator("#faucet")).to_be_enabled(timeout=20_000)
            if "enough" in await told.inner_text():
                break
            await page.locator("#faucet").click()
        await expect(told).to_contain_text("has test money enough", timeout=20_000)

    visited(tmp_path, tale)


def test_the_shop_sells_while_they_trade_and_the_lent_wallet_signs_for_us_alone(
    tmp_path: Path,
) -> None:
    async def tale(here: Running, page: Page) -> None:
        await page.goto(f"http://127.0.0.1:{here.port}/")
        await page.locator("#link.live").wait_for()  # Somebody watches, so they go on trading.
        sold = await asyncio.to_thread(
            until,
            "the shop sells",
            lambda: (s := ask(here.port, "POST", "/sandbox/buy/book"))[0] == 303 and s,
        )
        invoice = sold[1]["location"].rpartition("/")[2]
        paid = await asyncio.to_thread(ask, here.port, "POST", f"/sandbox/pay/{invoice}")
        assert paid[0] == 303
        await asyncio.to_thread(
            until, "the sale is settled", lambda: here.phase_of(invoice) == "settled"
        )
        for method, params in (
            ("eth_sign", ["0x00", "0x00"]),
            ("eth_signTypedData_v4", ["0x00", '{"primaryType": "Permit", "message": {}}']),
            ("eth_signTypedData_v4", ["0x00", "no JSON"]),
            ("eth_signTypedData_v4", []),
            ("eth_sendTransaction", [{"to": "nobody"}]),
            ("eth_getBalance", ["0x00"]),
        ):
            body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            headers = {"Content-Type": "application/json"}
            status, _, said = await asyncio.to_thread(
                ask, here.port, "POST", "/sandbox/wallet", body, headers
            )
            assert status == 200 and orjson.loads(said)["error"]["code"] < 0, method
        elsewhere = {"Content-Type": "application/json", "Origin": "https://elsewhere.example"}
        for door, body in (("wallet", b"{}"), ("faucet", b'{"account":"0x' + b"1" * 40 + b'"}')):
            status, _, _ = await asyncio.to_thread(
                ask, here.port, "POST", f"/sandbox/{door}", body, elsewhere
            )
            assert status == 403, door

    visited(tmp_path, tale)
