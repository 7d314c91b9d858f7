"""What an attack on the trading page found."""

from playwright.async_api import Page, expect

from engine.commands import set_terms
from tests.api.fixtures import LOT_PIPS, TICK_PIPS, Served
from tests.browser.fixtures import PaperWallet, connected, need_chromium, run
from tests.browser.test_trading_page import WIDE, sign, ticket

need_chromium()


def test_found_ticks_of_other_terms_were_signed_at_ten_times_the_price() -> None:
    async def story(up: Served, page: Page) -> None:
        venue = up.venue
        paper = PaperWallet(venue.taker)
        await paper.inject(page)
        await connected(up, page, paper)
        finer = {"lot_pips": LOT_PIPS * 10, "tick_pips": TICK_PIPS}
        changed = set_terms(0, maker_fee_ppm=0, taker_fee_ppm=500, **finer)
        assert venue.commit(changed).accepted
        await up.place(
            venue.maker.order(
                "sell", 10, 8_502_500, baseAmount=str(LOT_PIPS * 100),
                quoteAmount=str(10 * 8_502_500 * TICK_PIPS),
            )
        )  # fmt: skip
        # The page has the ticks of before: it would read this offer as ten times as dear.
        await expect(page.locator("#asks tr")).to_have_count(1)
        await ticket(page, kind="market", slippage="100", quantity="0.001")
        signed = len(paper.signed)
        await sign(page, "have changed")
        assert len(paper.signed) == signed, "the wallet was not asked"
        await expect(page.locator("#sum-worst")).to_contain_text("858.75")
        await sign(page, "Filled: 0.001 TOKEN")
        assert int(paper.signed[-1]["message"]["quoteAmount"]) < 900 * 10**5

    run(story, viewport=WIDE)


def test_found_a_market_order_took_its_price_from_a_book_of_before_the_line_broke() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.taker)
        await paper.inject(page)
        await page.add_init_script(LINE)
        await connected(up, page, paper)
        await ticket(page, kind="market", quantity="0.5")
        await expect(page.locator("#sum-worst")).not_to_have_text("–")
        await page.evaluate("cutTheLine()")
        await expect(page.locator("#link")).to_have_text("reconnecting")
        signed = len(paper.signed)
        await sign(page, "the book may be old")
        assert len(paper.signed) == signed, "the wallet was not asked"
        await ticket(page, kind="ioc", price="1", quantity="1")
        await sign(page, "Nothing was filled")

    run(story, viewport=WIDE)


LINE = """(() => {
  const Real = WebSocket, open = [];
  let isCut = false;
  window.cutTheLine = () => { isCut = true; open.forEach((socket) => socket.close()); };
  window.WebSocket = class extends Real {
    constructor(url) {
      super(isCut ? url.replace("/v1/stream", "/v1/status") : url);
      open.push(this);
    }
  };
  window.WebSocket.OPEN = Real.OPEN;
})();"""
"""A network that breaks when it is told to."""
