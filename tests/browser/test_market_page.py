"""The market page in a real browser: static, live, narrow, readable, quick with what is new."""

import re

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page, expect

from engine.types import Side
from tests.api.fixtures import Served
from tests.browser.checkouts import AXE_RUN
from tests.browser.fixtures import keep, need_chromium, run, sideways

need_chromium()

LOGO = re.compile(r"^https://www\.tradingview\.com/")
WIDTHS = (320, 360, 390, 520, 768, 1000, 1180, 1280, 1600)


async def opened(up: Served, page: Page, query: str = "") -> None:
    await page.goto(f"http://127.0.0.1:{up.port}/{query}")
    await page.locator("#link.live").wait_for()
    await page.locator("#chart canvas").first.wait_for()


def test_the_page_follows_the_market_without_a_reload() -> None:
    async def story(up: Served, page: Page) -> None:
        await opened(up, page)
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
        await expect(page.locator("#last")).to_have_text(trade["price"])

        up.venue.settlement.move(trade["trade_id"], trade["trade_id"], "mined", 5, b"\x33" * 32)
        await expect(newest).to_contain_text("mined")
        await expect(newest).to_contain_text("#5 0x3333…3333")

        assert best is not None
        market = up.venue.exchange.catalog.markets[0]
        (ticks, _), *_ = up.venue.exchange.depth(market, Side.SELL, 1)
        await up.place(up.venue.maker.order("sell", 10, ticks - 1))
        await expect(page.locator("#best-ask")).not_to_have_text(best)

    run(story, viewport={"width": 1280, "height": 900}, color_scheme="light")


def test_the_panel_of_batches_is_drawn_from_the_frame_and_asks_for_nothing() -> None:
    """Found by a trader: it waited 400 ms and then asked, so ``final`` came half a second late."""

    async def story(up: Served, page: Page) -> None:
        asked: list[str] = []
        await opened(up, page)
        batches = page.locator("#batches tr")
        await expect(batches).to_have_count(4)
        page.on("request", lambda request: asked.append(request.url))
        last = up.venue.market_data.last_trade_id
        for state in ("batched", "submitted", "mined", "final"):
            up.venue.settlement.move(last, last, state, 5, b"\x55" * 32)
            await expect(batches.first).to_contain_text(state)
        await expect(batches.first).to_contain_text(f"#{last}")
        await expect(batches.first).to_contain_text("0x5555…5555")
        await expect(batches).to_have_count(5)
        assert asked == []

    run(story, viewport={"width": 1280, "height": 900})


def test_the_chart_moves_with_each_trade_and_keeps_its_logo() -> None:
    async def story(up: Served, page: Page) -> None:
        await opened(up, page)
        told = page.locator("#chart-told")
        await expect(told).to_contain_text("TOKEN")
        before = await told.text_content()
        assert before is not None
        await up.place(up.venue.taker.order("buy", 25, 853_000, single_shot=True))
        await expect(told).not_to_have_text(before)
        await expect(page.locator("#tv-attr-logo")).to_have_attribute("href", LOGO)
        size = await page.locator("#tv-attr-logo").bounding_box()
        assert size is not None and size["width"] == 35, "its style was let in"
        for interval in ("5m", "1d", "1m"):
            await page.get_by_role("button", name=interval, exact=True).click()
            await expect(page.locator(f"[data-interval='{interval}']")).to_have_attribute(
                "aria-pressed", "true"
            )
            await expect(told).to_contain_text("TOKEN")
        await page.get_by_role("button", name="Depth").click()
        await expect(page.locator("#depth-told")).to_contain_text("bid down to")
        await page.locator("#depth").hover(position={"x": 30, "y": 100})
        await expect(page.locator("#depth-told")).to_contain_text("TOKEN bid at")
        await keep(page, "1280-depth")

    run(story, viewport={"width": 1280, "height": 900})


def test_nothing_scrolls_sideways_on_a_small_screen() -> None:
    async def story(up: Served, page: Page) -> None:
        await opened(up, page, "?market=TOKEN-USD")
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 800})
            assert await sideways(page) <= 0, width
            await keep(page, f"{width}-dark")

    run(story, viewport={"width": 360, "height": 800}, color_scheme="dark")


def test_the_whole_ticket_is_on_a_phones_first_screen() -> None:
    async def story(up: Served, page: Page) -> None:
        for query in ("", "?lang=zh"):
            await opened(up, page, query)
            for field in ("price", "quantity", "sign"):
                box = await page.locator(f"#{field}").bounding_box()
                assert box is not None and box["y"] + box["height"] <= 844, field

    run(story, viewport={"width": 390, "height": 844}, has_touch=True)


def test_without_javascript_the_page_still_shows_the_market() -> None:
    async def story(up: Served, page: Page) -> None:
        await page.goto(f"http://127.0.0.1:{up.port}/")
        assert await page.locator("#asks tr").count() == 12
        assert await page.locator("#trades tr").count() > 5
        assert await page.locator("#batches tr").count() == 4
        await expect(page.locator("#link")).to_have_text("snapshot")
        await expect(page.locator("#form")).to_be_hidden()
        await expect(page.locator("#connect")).to_be_hidden()
        await keep(page, "1280-no-script")

    run(story, java_script_enabled=False, viewport={"width": 1280, "height": 900})


def test_the_page_speaks_chinese_to_who_does() -> None:
    async def story(up: Served, page: Page) -> None:
        await opened(up, page)
        await expect(page.locator("#book-title")).to_have_text("订单簿")
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        await keep(page, "1280-zh")
        await page.get_by_role("link", name="English").click()
        await expect(page.locator("#book-title")).to_have_text("Order book")
        await page.get_by_role("link", name="中文").click()
        await expect(page.locator("#book-title")).to_have_text("订单簿")

    run(story, viewport={"width": 1280, "height": 900}, locale="zh-CN")


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


async def faults(page: Page) -> list[str]:
    """Return what axe finds wrong, with the place."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate(AXE_RUN)
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_text_stands_out_and_axe_finds_nothing(scheme: str, width: int) -> None:
    async def story(up: Served, page: Page) -> None:
        await opened(up, page)
        assert await page.evaluate(CONTRAST) == []
        assert await faults(page) == []
        await page.get_by_role("button", name="Depth").click()
        await page.locator("#connect").click()
        await page.locator("#wallets").wait_for()
        assert await faults(page) == []
        await keep(page, f"{width}-{scheme}-still")

    run(
        story,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
