"""Trading on the page in a real browser, by clicks and keys, with a wallet that signs for real."""

from typing import Any

from playwright.async_api import Page, expect

from engine.types import Outcome, Side
from gateway.api.services import PageTerms
from gateway.pages.assets import PAGES
from settlement.orders.catalog import Market
from tests.api.fixtures import LOT_PIPS, TOKEN_ADDRESS, USD_ADDRESS, Served, Wallet
from tests.browser.fixtures import PaperWallet, connected, keep, need_chromium, run
from tests.browser.test_market_page import faults

need_chromium()

WORDS = PAGES / "market"
REFUSALS = ("INSUFFICIENT_BALANCE", "RATE_LIMITED", "MARKET_HALTED", "POST_ONLY_WOULD_TRADE")
ENDS = ("IMMEDIATE_REMAINDER", "SELF_TRADE", "EXPIRED", "NOT_FILLABLE_WHOLE", "FILLS_EXHAUSTED")
WIDE = {"width": 1280, "height": 900}


def market_of(up: Served) -> Market:
    return up.venue.exchange.catalog.markets[0]


async def ticket(page: Page, **fields: str) -> None:
    for field, text in fields.items():
        if field in ("kind", "slippage", "lifetime"):
            await page.locator(f"#{field}").select_option(text)
        else:
            await page.locator(f"#{field}").fill(text)


async def sign(page: Page, told: str) -> None:
    await page.locator("#sign").click()
    await expect(page.locator("#told")).to_contain_text(told)


def test_an_order_is_placed_seen_and_cancelled() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.maker)
        await paper.inject(page)
        await connected(up, page, paper)
        before = await page.locator("#open-orders tr").count()
        assert before > 10, "the maker's own orders"
        await ticket(page, price="849.9", quantity="1,25")
        await expect(page.locator("#sum-value")).to_have_text("1\u202f062.375 USD")
        await expect(page.locator("#sum-fee")).to_have_text("1.062375 USD")
        await expect(page.locator("#sum-end")).to_have_text("1\u202f063.437375 USD")
        await expect(page.locator("#sum-get")).to_have_text("1.25 TOKEN")
        await sign(page, "In the book: 1.25 TOKEN")
        assert paper.signed[-1]["message"]["baseAmount"] == "125000000"
        assert paper.signed[-1]["message"]["quoteAmount"] == str(1_062_375 * 10**5)
        newest = page.locator("#open-orders tr").first
        await expect(newest).to_contain_text("849.900")
        await expect(newest).to_contain_text("1.2500")
        await keep(page, "1280-open-orders")
        await newest.get_by_role("button").click()
        await expect(page.locator("#account-told")).to_have_text("Cancelled.")
        await expect(page.locator("#open-orders tr")).to_have_count(before)
        await page.get_by_role("tab", name="History").click()
        await expect(page.locator("#ended-orders tr").first).to_contain_text("cancelled by you")
        await page.get_by_role("tab", name="Open orders").click()
        await page.locator("#cancel-all").click()
        await expect(page.locator("#account-told")).to_contain_text(f"Cancelled: {before}")
        await expect(page.locator("#open-orders")).to_have_text("No open orders")
        await expect(page.locator("#asks")).to_have_text("No offers")
        assert not up.venue.exchange.depth(market_of(up), Side.BUY, 1)

    run(story, viewport=WIDE)


def test_a_market_order_signs_its_worst_price_and_its_fill_is_followed_to_the_chain() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.taker)
        await paper.inject(page)
        await connected(up, page, paper)
        (best, _), *_ = up.venue.exchange.depth(market_of(up), Side.SELL, 1)
        await ticket(page, kind="market", slippage="100", quantity="0.5")
        await expect(page.locator("#price-field")).to_be_hidden()
        worst = best * 10_100 // 10_000
        await expect(page.locator("#sum-worst")).to_contain_text(
            f"{worst // 1000}.{worst % 1000}"[:6]
        )
        await sign(page, "Filled: 0.5 TOKEN for")
        message = paper.signed[-1]["message"]
        assert message["flags"] == 2 and message["lane"] == 0
        assert int(message["quoteAmount"]) == 5_000 * worst * 10
        await page.get_by_role("tab", name="Fills").click()
        fill = page.locator("#own-fills tr").first
        await expect(fill).to_contain_text("matched")
        last = up.venue.market_data.last_trade_id
        up.venue.settlement.move(last, last, "final", 9, b"\x99" * 32)
        await expect(fill).to_contain_text("final")
        link = fill.get_by_role("link")
        await expect(link).to_have_attribute("href", "https://scan.example/tx/0x" + "99" * 32)
        await page.get_by_role("tab", name="Open orders").click()
        await expect(page.locator("#open-orders")).to_have_text("No open orders")

        await ticket(page, slippage="10", quantity="999")
        await expect(page.locator("#sum-worst")).to_contain_text("the book has")

    page_terms = PageTerms(explorer_url="https://scan.example/tx/")
    run(story, changes={"page": page_terms}, viewport=WIDE)


def test_what_is_typed_is_understood_or_refused_before_anybody_signs() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.taker)
        await paper.inject(page)
        await connected(up, page, paper)
        signed = len(paper.signed)
        for quantity, price, told in (
            ("1", "849.90001", "steps of 0.001"),
            ("0.00001", "849.9", "steps of 0.0001"),
            ("1,234", "849.9", "could be 1234 or 1.234"),
            ("ten", "849.9", "is not a number"),
            ("-1", "849.9", "leave the sign out"),
            ("", "849.9", "Enter an amount"),
            ("99999999", "849.9", "You need"),
        ):
            await ticket(page, price=price, quantity=quantity)
            await sign(page, told)
        await expect(page.locator("#quantity")).to_be_focused()
        await expect(page.locator("#quantity")).to_have_attribute("aria-invalid", "true")
        assert len(paper.signed) == signed, "the wallet was not asked"
        await ticket(page, price="1,000.5", quantity="0,1")
        await page.locator("#price").blur()
        await expect(page.locator("#price")).to_have_value("1\u202f000.5")
        await page.locator("#quantity").blur()
        await expect(page.locator("#quantity")).to_have_value("0.1")

        await ticket(page, kind="post", price="900", quantity="1")
        await sign(page, "It would have traded at once")
        await ticket(page, kind="ioc", price="1", quantity="1")
        await sign(page, "Nothing was filled, nothing rests: nothing more within the price")
        paper.declines = True
        await ticket(page, quantity="1")
        await sign(page, "You declined it in the wallet")
        await keep(page, "1280-declined")

    run(story, viewport=WIDE)


def test_a_level_is_put_on_the_ticket_by_click_and_by_keys() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.taker)
        await paper.inject(page)
        await connected(up, page, paper)
        third = page.locator("#asks tr").nth(-3)
        price = await third.locator("button").text_content()
        total = await third.locator("td").nth(2).text_content()
        await third.locator("td").nth(1).click()
        assert price is not None and total is not None
        await expect(page.locator("#price")).to_have_value(price.rstrip("0"))
        await expect(page.locator("#quantity")).to_have_value(total.rstrip("0"))
        await expect(page.get_by_role("radio", name="Buy")).to_be_checked()

        await page.locator("#asks tr").last.locator("button").focus()
        for _ in range(3):
            await page.keyboard.press("ArrowDown")
        level = page.locator("#bids tr").nth(2).locator("button")
        await expect(level).to_be_focused()
        await expect(level).to_have_attribute("tabindex", "0")
        price = await level.text_content()
        await page.keyboard.press("Enter")
        assert price is not None
        await expect(page.locator("#price")).to_have_value(price.rstrip("0"))
        await expect(page.get_by_role("radio", name="Sell")).to_be_checked()

        await page.keyboard.press("Escape")
        await page.keyboard.press("b")
        await expect(page.get_by_role("radio", name="Buy")).to_be_checked()
        await expect(page.locator("#price")).to_be_focused()
        await page.keyboard.type("s")  # In a field a letter is a letter.
        await expect(page.get_by_role("radio", name="Buy")).to_be_checked()
        await ticket(page, price="840", quantity="2")
        await page.keyboard.press("Enter")
        await expect(page.locator("#told")).to_contain_text("In the book: 2 TOKEN")
        await page.keyboard.press("Escape")
        await page.keyboard.press("s")
        await expect(page.get_by_role("radio", name="Sell")).to_be_checked()

    run(story, viewport=WIDE)


def test_the_slider_takes_a_share_of_what_there_is() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.taker)
        await paper.inject(page)
        await connected(up, page, paper)
        await ticket(page, price="1000")
        await page.locator("#share").fill("100")
        most = available(up, USD_ADDRESS)
        await expect(page.locator("#quantity-hint")).to_be_empty()
        paid = pips_of(await page.locator("#sum-end").text_content())
        a_lot = 1_000 * LOT_PIPS * 1_001 // 1_000 + 1
        assert 0 <= most - paid <= a_lot, "no more than there is, and no less than a lot"
        await page.get_by_role("radio", name="Sell").check()
        await page.locator("#share").fill("50")
        half = pips_of(await page.locator("#quantity").input_value())
        assert half == available(up, TOKEN_ADDRESS) // LOT_PIPS // 2 * LOT_PIPS

    run(story, viewport=WIDE)


def available(up: Served, token: bytes) -> int:
    return up.venue.exchange.balance(up.venue.taker.address, token).available


def pips_of(shown: str | None) -> int:
    assert shown is not None
    whole, _, rest = shown.replace("\u202f", "").partition(" ")[0].partition(".")
    return int(whole) * 10**8 + int(rest.ljust(8, "0"))


def test_a_wallet_on_another_chain_is_asked_to_switch_and_another_account_is_logged_out() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.maker, chain_id=1)
        await paper.inject(page, announces=False)
        await page.goto(f"http://127.0.0.1:{up.port}/")
        await page.locator("#link.live").wait_for()
        await page.locator("#sign").click()
        await page.get_by_role("button", name="Browser wallet").click()
        await expect(page.locator("#chain-warning")).to_be_visible()
        await expect(page.locator("#sign")).to_have_text("Switch to this chain")
        assert not paper.signed, "nothing is signed for another chain"
        await keep(page, "1280-wrong-chain")
        await page.locator("#switch-chain").click()
        await expect(page.locator("#chain-warning")).to_be_hidden()
        await expect(page.locator("#sign")).to_have_text("Sign: buy TOKEN")
        await page.locator("#log-in").click()
        await page.locator("#account-open").wait_for()

        await page.evaluate("tellPage('chainChanged', '0x5')")
        await expect(page.locator("#chain-warning")).to_be_visible()
        await page.evaluate("tellPage('chainChanged', '0x7a69')")
        await expect(page.locator("#chain-warning")).to_be_hidden()
        paper.wallet = up.venue.taker
        await page.evaluate(f"tellPage('accountsChanged', ['{paper.account}'])")
        await expect(page.locator("#account-open")).to_be_hidden()
        await expect(page.locator("#connect")).to_contain_text(paper.account[:6])
        await page.locator("#log-in").click()
        await page.locator("#account-open").wait_for()
        await expect(page.locator("#open-orders")).to_have_text("No open orders")
        await page.evaluate("tellPage('accountsChanged', [])")
        await expect(page.locator("#connect")).to_have_text("Connect")

    run(story, viewport=WIDE)


def test_money_is_paid_in_by_two_transactions_and_out_by_one_signature() -> None:
    async def story(up: Served, page: Page) -> None:
        venue = up.venue
        paper = PaperWallet(venue.taker)
        sent: list[dict[str, str]] = []

        def call(params: list[Any]) -> str:
            balance = params[0]["data"].startswith("0x70a08231")
            return hex(5_000 * 10**6 if balance else 0).ljust(3)

        def send(params: list[Any]) -> str:
            sent.append(params[0])
            return "0x" + f"{len(sent):064x}"

        paper.answers = {
            "eth_call": call,
            "eth_sendTransaction": send,
            "eth_getTransactionReceipt": lambda _: {"status": "0x1"},
        }
        await paper.inject(page)
        await connected(up, page, paper)
        await page.locator("#open-deposit").click()
        await page.locator("#funds-token").select_option("USD")
        await expect(page.locator("#funds-there")).to_have_text("In your wallet: 5\u202f000.00 USD")
        await page.locator("#funds-amount").fill("6000")
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("You need 6\u202f000.00 USD")
        await page.locator("#funds-amount").fill("1,000.5")
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("1\u202f000.5 USD paid in")
        raw = f"{1_000_500_000:064x}"
        assert [one["to"] for one in sent] == ["0x" + USD_ADDRESS.hex(), "0x" + "ee" * 20]
        assert sent[0]["data"].startswith("0x095ea7b3") and sent[0]["data"].endswith(raw)
        assert raw in sent[1]["data"] and paper.account[2:] in sent[1]["data"]
        assert await faults(page) == []
        await keep(page, "1280-deposit")

        await page.get_by_role("radio", name="Withdraw").check()
        before = venue.exchange.balance(venue.taker.address, USD_ADDRESS).available
        await page.locator("#funds-amount").fill("12.5")
        await page.locator("#funds-to").fill("0x12")
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("That is no address")
        await page.locator("#funds-to").fill(paper.account)
        await page.locator("#funds-submit").click()
        await expect(page.locator("#funds-state")).to_contain_text("is on its way")
        assert paper.signed[-1]["primaryType"] == "Withdrawal"
        after = venue.exchange.balance(venue.taker.address, USD_ADDRESS).available
        assert before - after == 12_5 * 10**7
        await page.keyboard.press("Escape")
        await page.get_by_role("tab", name="Balances").click()
        await expect(page.locator("#own-balances tr")).to_have_count(2)

    run(story, viewport=WIDE)


def test_somebody_without_money_is_told_and_pays_nothing() -> None:
    async def story(up: Served, page: Page) -> None:
        poor = Wallet(77)
        up.venue.open_account(poor.address)
        up.venue.deposit(poor.address, USD_ADDRESS, 10**8)
        paper = PaperWallet(poor)
        await paper.inject(page)
        await connected(up, page, paper)
        await ticket(page, price="849", quantity="1")
        await sign(page, "You need 849.849 USD and have 1.00.")
        await expect(page.locator("#told")).not_to_contain_text("test money")
        assert [typed["primaryType"] for typed in paper.signed] == ["Login"]
        assert up.venue.exchange.balance(poor.address, USD_ADDRESS).held == 0

    run(story, viewport=WIDE)


def test_a_phone_in_the_dark_can_do_all_of_it_in_chinese() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.taker)
        await paper.inject(page)
        await connected(up, page, paper, "?lang=zh")
        await ticket(page, price="840", quantity="1")
        await sign(page, "已挂单")
        await page.locator("#open-orders button").first.tap()
        await expect(page.locator("#account-told")).to_have_text("已撤单。")
        assert await faults(page) == []
        await keep(page, "390-zh-dark")

    run(
        story,
        viewport={"width": 390, "height": 844},
        color_scheme="dark",
        has_touch=True,
        reduced_motion="reduce",
    )


def test_all_that_the_exchange_refuses_often_has_words() -> None:
    """An outcome that is renamed in the engine must not leave the page with a bare code."""
    words = (WORDS / "words_en.js").read_text()
    for prefix, names in (("outcome_", REFUSALS), ("ended_", ENDS)):
        for name in names:
            assert hasattr(Outcome, name), name
            assert f"{prefix}{name}:" in words, name


def test_fill_or_kill_and_stops_are_signed_as_the_protocol_has_them() -> None:
    async def story(up: Served, page: Page) -> None:
        paper = PaperWallet(up.venue.taker)
        await paper.inject(page)
        await connected(up, page, paper)
        await ticket(page, kind="fok", price="851", quantity="900")
        await sign(page, "Nothing was filled, nothing rests: not all of it could be filled")
        assert paper.signed[-1]["message"]["flags"] == 2 | 16
        await ticket(page, kind="stop_limit", trigger="851", price="852", quantity="0.25")
        await page.get_by_role("radio", name="Sell").check()
        await sign(page, "A stop that sells triggers below the last price.")
        await page.get_by_role("radio", name="Buy").check()
        await sign(page, "The stop is armed.")
        message = paper.signed[-1]["message"]
        assert message["flags"] & ~4 == 64 and message["lane"] >= 0x8000
        assert int(message["triggerOrDisplay"]) == 2_500 * 851_000 * 10
        stop = page.locator("#open-orders tr").first
        await expect(stop).to_contain_text("852.000")
        await keep(page, "1280-stop")

        other = Wallet(78)  # Trades through the trigger.
        up.venue.open_account(other.address)
        up.venue.deposit(other.address, USD_ADDRESS, 10**13)
        await up.place(other.order("buy", 200_000, 851_000, single_shot=True))
        await page.get_by_role("tab", name="Fills").click()
        await expect(page.locator("#own-fills tr").first).to_contain_text("0.2500")
        await page.get_by_role("tab", name="Open orders").click()
        await expect(page.locator("#open-orders")).to_have_text("No open orders")

    run(story, viewport=WIDE)
