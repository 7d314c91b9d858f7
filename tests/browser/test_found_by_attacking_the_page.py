"""What an attack on the trading page found."""

from typing import Any

from playwright.async_api import Page, expect

from engine.commands import set_terms
from settlement.protocol.checksum import checksum_address
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


class Coins:
    """What a wallet with money answers, on whichever chain it is."""

    def __init__(self, paper: PaperWallet) -> None:
        self.sent: list[dict[str, str]] = []
        paper.answers = {
            "eth_call": lambda _: hex(5_000 * 10**6),
            "eth_sendTransaction": self._send,
            "eth_getTransactionReceipt": lambda _: {"status": "0x1"},
        }

    def _send(self, params: list[Any]) -> str:
        self.sent.append(params[0])
        return "0x" + f"{len(self.sent):064x}"


def test_found_a_deposit_went_to_whatever_chain_the_wallet_was_on() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.taker)
        coins = Coins(paper)
        await paper.inject(page)
        await connected(up, page, paper)
        await page.locator("#open-deposit").click()
        await page.locator("#funds-token").select_option("USD")
        await expect(page.locator("#funds-there")).to_contain_text("In your wallet")
        await page.locator("#funds-amount").fill("5")
        ours, paper.chain_id = paper.chain_id, 1  # It does not say so, as some do not.
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("on another chain")
        assert coins.sent == [], "on another chain the same addresses are somebody else's"
        paper.chain_id = ours
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("5 USD paid in")
        assert {one["chainId"] for one in coins.sent} == {hex(ours)}

    run(story, viewport=WIDE)


def test_found_a_withdrawal_went_where_the_account_before_had_its_own() -> None:
    async def story(up: Served, page: Page) -> None:
        venue = up.venue
        paper = PaperWallet(venue.taker)
        await paper.inject(page)
        await connected(up, page, paper)
        await page.locator("#open-withdraw").click()
        await expect(page.locator("#funds-to")).to_have_value(paper.account)
        await page.locator("#funds .close").click()
        paper.wallet = venue.maker
        await page.evaluate(f"tellPage('accountsChanged', ['{paper.account}'])")
        await page.locator("#log-in").click()
        await page.locator("#account-open").wait_for()
        await page.locator("#open-withdraw").click()
        await expect(page.locator("#funds-to")).to_have_value(paper.account)

        # Of mixed case: what is typed wrong is noticed, here by its last letter.
        right = checksum_address(venue.taker.address)
        at = max(n for n, letter in enumerate(right) if letter.isupper())
        await page.locator("#funds-token").select_option("USD")
        await page.locator("#funds-amount").fill("1")
        await page.locator("#funds-to").fill(right[:at] + right[at].lower() + right[at + 1 :])
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("checksum is wrong")
        await page.locator("#funds-to").fill(right)
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("is on its way")

    run(story, viewport=WIDE)
