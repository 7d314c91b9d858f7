"""The market page in a real browser: static, live, narrow, and with a wallet."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from playwright.async_api import Browser, Page, async_playwright, expect

from engine.types import Side
from gateway.api.v1.orders import PlaceOrder, checked_order
from gateway.trading.order_entry import recovered_order
from tests.api.fixtures import Served, Venue, served

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder to leave screenshots in, for people to look at."""

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("chromium is not installed (apt-get install chromium)", allow_module_level=True)

Story = Callable[[Served, Page], Awaitable[None]]


def run(story: Story, **context: Any) -> None:
    async def whole() -> None:
        assert CHROMIUM is not None, "CI installs chromium before the tests"
        async with served(await filled()) as up, browser() as chromium:
            page = await chromium.new_page(**context)
            page.set_default_timeout(10_000)
            complaints: list[str] = []
            page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            await story(up, page)
            assert complaints == []
            own = (f"http://127.0.0.1:{up.port}/", f"ws://127.0.0.1:{up.port}/", "data:")
            assert [url for url in asked if not url.startswith(own)] == [], "no other origin"

    asyncio.run(whole())


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield chromium
        finally:
            await chromium.close()


async def filled() -> Venue:
    """Return a venue with a book, some trades on their way and a few batches."""
    venue = Venue()
    maker, taker = venue.maker, venue.taker

    async def place(body: dict[str, Any]) -> None:
        order = checked_order(msgspec.convert(body, PlaceOrder))
        result = await venue.exchange.place(recovered_order(venue.exchange.domain, order))
        assert result.accepted, result

    for n in range(14):
        await place(maker.order("sell", 9_000 + 7_919 * n % 41_000, 850_250 + 250 * n))
        await place(maker.order("buy", 8_000 + 6_113 * n % 37_000, 850_000 - 250 * n))
    for n in range(9):
        side, ticks = ("buy", 853_000) if n % 3 else ("sell", 848_000)
        await place(taker.order(side, 900 + 1_371 * n, ticks, single_shot=True))
    last = venue.market_data.last_trade_id
    venue.settlement.move(1, 3, "final", 1, b"\xa1\x5c" * 16)
    venue.settlement.move(4, 5, "mined", 2, b"\xd3\x0e" * 16)
    venue.settlement.move(6, 7, "submitted", 3, b"\x7f\x42" * 16)
    venue.settlement.move(8, last - 1, "batched", 4, None)
    return venue


async def keep(page: Page, name: str) -> None:
    if SCREENSHOTS:
        await page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


async def sideways(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    wider: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wider


def test_the_page_follows_the_market_without_a_reload() -> None:
    async def story(up: Served, page: Page) -> None:
        await page.goto(f"http://127.0.0.1:{up.port}/")
        await expect(page.locator("#link")).to_have_text("live")
        await keep(page, "1280-light")
        trades = page.locator("#trades tr")
        before = up.venue.market_data.last_trade_id
        best = await page.locator("#best-ask").text_content()
        placed = await up.place(up.venue.taker.order("buy", 25, 853_000, single_shot=True))
        trade = placed.json()["fills"][0]
        assert trade["trade_id"] == before + 1
        newest = trades.first
        await expect(newest).to_contain_text(trade["price"])
        await expect(newest).to_contain_text("matched")

        up.venue.settlement.move(trade["trade_id"], trade["trade_id"], "mined", 5, b"\x33" * 32)
        await expect(newest).to_contain_text("mined")
        await expect(newest).to_contain_text("#5 0x3333…3333")
        await expect(page.locator("#batches tr").first).to_contain_text("mined")

        assert best is not None
        market = up.venue.exchange.catalog.markets[0]
        (ticks, _), *_ = up.venue.exchange.depth(market, Side.SELL, 1)
        await up.place(up.venue.maker.order("sell", 10, ticks - 1))
        await expect(page.locator("#best-ask")).not_to_have_text(best)

    run(story, viewport={"width": 1280, "height": 900}, color_scheme="light")


def test_nothing_scrolls_sideways_on_a_small_screen() -> None:
    async def story(up: Served, page: Page) -> None:
        await page.goto(f"http://127.0.0.1:{up.port}/?market=TOKEN-USD")
        await expect(page.locator("#link")).to_have_text("live")
        for width in (360, 520, 768, 1180):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await sideways(page) <= 0, width
            await keep(page, f"{width}-dark")

    run(story, viewport={"width": 360, "height": 800}, color_scheme="dark")


def test_without_javascript_the_page_still_shows_the_market() -> None:
    async def story(up: Served, page: Page) -> None:
        await page.goto(f"http://127.0.0.1:{up.port}/")
        assert await page.locator("#asks tr").count() == 12
        assert await page.locator("#trades tr").count() > 5
        assert await page.locator("#batches tr").count() == 4
        await expect(page.locator("#link")).to_have_text("snapshot")
        await expect(page.locator("#form")).to_be_hidden()
        await keep(page, "1280-no-script")

    run(story, java_script_enabled=False, viewport={"width": 1280, "height": 900})


def test_an_injected_wallet_signs_an_order_that_the_exchange_takes() -> None:
    async def story(up: Served, page: Page) -> None:
        maker = up.venue.maker

        async def request(method: str, params: list[Any] | None) -> Any:
            if method == "eth_requestAccounts":
                return ["0x" + maker.address.hex()]
            assert method == "eth_signTypedData_v4" and params is not None
            # eth-account walks the type tree by itself: an independent reading of what we sign.
            message = encode_typed_data(full_message=orjson.loads(params[1]))
            signed = Account.sign_message(message, maker.secret)
            return "0x" + signed.signature.hex().removeprefix("0x")

        await page.expose_function("askWallet", request)
        await page.add_init_script(
            "window.ethereum = { request: ({ method, params }) => askWallet(method, params) };"
        )
        await page.goto(f"http://127.0.0.1:{up.port}/")
        await page.get_by_role("button", name="Connect a wallet").click()
        await page.get_by_role("button", name="Sign as 0x").wait_for()
        await page.get_by_label("Price").fill("849.9")
        await page.get_by_label("Quantity").fill("1,25")
        await page.get_by_role("button", name="Sign as 0x").click()
        await expect(page.locator("#told")).to_contain_text("the rest stands in the book")
        await expect(page.locator("#bids")).to_contain_text("849.900")
        await page.get_by_text("Sell", exact=True).click()
        await page.get_by_label("May rest in the book").uncheck()
        await page.get_by_role("button", name="Sign as 0x").click()
        await expect(page.locator("#told")).to_contain_text("nothing rests")
        await page.get_by_label("Price").fill("849.90001")
        await page.get_by_role("button", name="Sign as 0x").click()
        await expect(page.locator("#told")).to_contain_text("Price must be a multiple of 0.001")
        await keep(page, "1280-signed")

    run(story, viewport={"width": 1280, "height": 900})


CONTRAST = """() => {
  // A canvas turns every notation of a colour, light-dark() included, into bytes.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const bytes = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = bytes(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const worst = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const grounds = [ground(element)];
    const bar = element.closest("tr")?.querySelector(".bar");
    if (bar) grounds.push(bytes(getComputedStyle(bar).fill));
    for (const behind of grounds) {
      const [a, b] = [light(bytes(getComputedStyle(element).color)), light(behind)];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) worst.push(`${walker.currentNode.data.trim()} ${ratio.toFixed(2)}`);
    }
  }
  return worst;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(scheme: str) -> None:
    async def story(up: Served, page: Page) -> None:
        await page.goto(f"http://127.0.0.1:{up.port}/")
        await expect(page.locator("#link")).to_have_text("live")
        assert await page.evaluate(CONTRAST) == []
        await keep(page, f"1280-{scheme}-still")

    run(
        story,
        viewport={"width": 1280, "height": 900},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
