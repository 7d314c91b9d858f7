"""In a real Chromium: a plugin sends the owner to ``/api-keys/authorize``, he signs in, confirms
what it asks for, and his browser posts the key to the plugin."""

from pathlib import Path
from urllib.parse import parse_qs, urlencode

from playwright.async_api import Page, expect

from tests.browser.dashboard_site import Shop, add_passkey, agree, authenticator, enter, told
from tests.browser.fixtures import keep, need_chromium, sideways
from tests.browser.test_market_page import CONTRAST, faults

need_chromium()

SCOPES = ["btcpay.store.canviewinvoices", "btcpay.store.cancreateinvoice"]


def test_an_owner_signs_in_confirms_and_his_browser_posts_the_key(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await authenticator(page)
        await enter(shop, page)
        await add_passkey(page)
        await page.locator("#leave").click()
        back = f"{shop.url}/plugin/callback"
        asks = {
            "applicationName": "WooCommerce",
            "permissions": SCOPES,
            "strict": "false",
            "redirect": back,
        }
        await page.goto(f"{shop.url}/api-keys/authorize?{urlencode(asks, doseq=True)}")
        await page.locator("#wallets button").first.click()
        await page.locator('#shown[data-section="authorize"]').wait_for()
        await expect(page.locator("#shown strong")).to_have_text(shop.url)
        assert await faults(page) == [] and await page.evaluate(CONTRAST) == []
        assert await sideways(page) <= 0
        await keep(page, "authorize")
        await page.get_by_label("Make invoices").uncheck()
        async with page.expect_request(back) as posted:
            await page.get_by_role("button", name="Give it the key").click()
            await expect(page.locator("#confirm-what")).to_contain_text(back)
            await agree(page)
        sent = await posted.value
        fields = parse_qs(sent.post_data or "")
        assert sent.method == "POST" and "tbk_" not in sent.url
        assert fields["permissions[]"] == [f"{SCOPES[0]}:{shop.store}"]
        (key,) = fields["apiKey"]
        headers = {"authorization": f"token {key}"}
        assert shop.client.get("/v1/invoices", headers=headers).status_code == 200
        refused = shop.client.post("/v1/invoices", json={"amount": "5"}, headers=headers)
        assert refused.status_code == 403

    told(tmp_path, story)
