"""A merchant sets up his shop in a real Chromium: settings, confirmations by amount, pay buttons, a
till, the account that refunds are paid out of."""

import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from playwright.async_api import Page, expect

from tests.browser.dashboard_site import (
    Shop,
    add_passkey,
    agree,
    authenticator,
    enter,
    told,
    visit,
)
from tests.browser.fixtures import keep, need_chromium
from tests.merchants.test_shops_over_rest import bearer

need_chromium()


def test_a_stores_settings_are_changed_and_only_what_is_another_way(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await visit(page, "settings")
        own = page.locator("#shown form").first
        await own.get_by_role("button", name="Save").click()
        await expect(page.locator("#told")).to_have_text("Nothing was done.")
        await own.get_by_label("Name").fill("Paper and Ink")
        await own.get_by_label("A payment may be short by, in per cent").fill("0,75")
        await own.get_by_label("Or by so much USD").fill("0.5")
        await own.get_by_label("No second invoice of the same order").check()
        await own.get_by_role("button", name="Save").click()
        await expect(page.locator("#confirm-what")).to_contain_text("Paper and Ink")
        await expect(page.locator("#confirm-what")).not_to_contain_text("Slippage")
        await keep(page, "dashboard-settings-confirm")
        await agree(page)
        await expect(page.locator("#told")).to_have_text("Done.")
        found = shop.client.get(f"/v1/stores/{shop.store}", headers=shop.headers).json()
        assert (found["name"], found["tolerance_ppm"], found["tolerance"]) == (
            *("Paper and Ink", 7_500),
            "0.5",
        )
        assert found["unique_order_ids"] and found["accepts_invoices"]

    told(tmp_path, story)


def test_confirmations_by_amount_are_a_row_a_step(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await visit(page, "settings")
        steps = page.locator("#shown form").nth(1)
        await steps.get_by_label("From a price of").fill("100")
        await steps.get_by_label("Blocks").fill("12")
        await steps.get_by_role("button", name="One more").click()
        await steps.get_by_label("From a price of").nth(1).fill("1000.5")
        await steps.get_by_label("Blocks").nth(1).fill("30")
        await steps.get_by_role("button", name="Save").click()
        await expect(page.locator("#confirm-what")).to_contain_text("From 1000.5 · blocks 30")
        await agree(page)
        await expect(page.locator("#told")).to_have_text("Done.")
        await keep(page, "dashboard-settings-steps")
        path = f"/v1/stores/{shop.store}/confirmations"
        assert shop.client.get(path, headers=shop.headers).json()["steps"] == [
            {"from_amount": "100", "confirmations": 12},
            {"from_amount": "1000.5", "confirmations": 30},
        ]
        await steps.get_by_label("Blocks").nth(1).fill("1")
        await steps.get_by_role("button", name="Save").click()
        await agree(page)
        await expect(page.locator("#told")).to_contain_text("books nothing before")

    told(tmp_path, story)


def test_a_pay_button_is_made_shown_and_ended(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await visit(page, "points")
        card = page.locator("section", has_text="A new pay button")
        await card.get_by_label("What is sold").fill('A "mug" & more')
        await card.get_by_label("Amount").fill("12.50")
        await card.get_by_label("TOKEN").check()
        await card.get_by_role("button", name="Make the button").click()
        await agree(page)
        await expect(page.locator("#told")).to_have_text("Done.")
        await page.get_by_role("button", name="For your site").click()
        html = await page.locator(".sample").inner_text()
        assert "A &quot;mug&quot; &amp; more · 12.5" in html and 'method="post"' in html
        await keep(page, "dashboard-points-one")
        path = f"/v1/stores/{shop.store}/pay-buttons"
        (row,) = shop.client.get(path, headers=shop.headers).json()["pay_buttons"]
        assert (row["amount"], row["tokens"]) == ("12.50", ["TOKEN"])
        assert await page.get_by_role("link", name="Open").get_attribute("href") == row["url"]
        await page.get_by_role("button", name="Remove").click()
        await expect(page.locator("#shown")).to_contain_text("No pay buttons.")

    told(tmp_path, story)


def test_a_till_is_a_link_with_a_key_that_sells_and_nothing_else(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await authenticator(page)
        await enter(shop, page)
        await add_passkey(page)
        await visit(page, "points")
        card = page.locator("section", has_text="A till").last
        await card.get_by_label("Label").fill("counter 1")
        await card.get_by_role("button", name="Make its link").click()
        await agree(page)
        link = await page.locator(".once pre").inner_text()
        given = dict(parse_qsl(urlsplit(link).fragment))
        assert given["currency"] == "USD" and "token" not in given
        till = bearer(given["key"])
        assert shop.client.get("/v1/invoices", headers=till).status_code == 403
        sold = shop.client.post("/v1/till-sales", json={"amount": "5"}, headers=till)
        assert sold.status_code == 201
        await keep(page, "dashboard-points-till")

    told(tmp_path, story)


def test_a_refund_account_is_opened_and_ended_by_who_is_signed_in(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await authenticator(page)
        await enter(shop, page)
        await add_passkey(page)
        await visit(page, "refunds")
        await expect(page.locator("#shown")).to_contain_text("the wallet signs each refund")
        await page.get_by_label("For so many days").fill("30")
        await page.get_by_role("button", name="Open an account").click()
        await expect(page.locator("#confirm-what")).to_contain_text("2592000")
        await agree(page)
        await expect(page.locator("#told")).to_have_text("Done.")
        path = f"/v1/stores/{shop.store}/refund-key"
        found = shop.client.get(path, headers=shop.headers).json()
        await expect(page.locator("#shown")).to_contain_text(found["top_up_address"])
        await keep(page, "dashboard-refund-account")
        await page.get_by_role("button", name="End it").click()
        await expect(page.locator("#told")).to_have_text("Done.")
        ended = shop.client.get(path, headers=shop.headers).json()
        assert ended["expires_at"] < found["expires_at"]

    told(tmp_path, story)


def test_the_address_of_an_old_invoice_is_looked_at_again_and_of_a_young_one_not(
    tmp_path: Path,
) -> None:
    def before(shop: Shop) -> None:
        shop.invoice("5", order_id="old")

    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await visit(page, "invoices")
        again = page.get_by_role("button", name="Look again")
        await expect(again).to_have_count(0)
        await page.clock.set_fixed_time(time.time() + 31 * 86_400)
        await visit(page, "today")
        await visit(page, "invoices")
        await again.click()
        await expect(page.locator("#told")).to_contain_text("watched")

    told(tmp_path, story, before=before)


def test_a_store_is_closed_by_its_owner(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await authenticator(page)
        await enter(shop, page)
        await add_passkey(page)
        await visit(page, "settings")
        await page.get_by_role("button", name="Close the store for good").click()
        await agree(page)
        await expect(page.locator("#told")).to_have_text("Done.")
        await page.reload()
        await page.locator("#shown[data-section]").wait_for()
        await expect(page.get_by_role("button", name="Close the store for good")).to_have_count(0)

    told(tmp_path, story)
