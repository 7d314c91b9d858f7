"""A merchant runs his shop in a real Chromium: he signs in by wallet and by passkey, confirms what
a session alone cannot do, and reads it all on a phone, in two languages and two colour schemes."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pyotp
import pytest
from playwright.async_api import Page, expect

from gateway.pages.assets import PAGES
from settlement.protocol.eip712 import address_of_secret
from tests.browser.dashboard_site import (
    Shop,
    add_passkey,
    agree,
    authenticator,
    enter,
    paper_wallet,
    told,
    visit,
)
from tests.browser.fixtures import keep, need_chromium, sideways
from tests.browser.test_market_page import CONTRAST, faults
from tests.merchants.test_shops_over_rest import bearer

need_chromium()

FOLDER = PAGES / "dashboard"
NEW_WALLET = "0x" + "1c" * 20
SECTIONS = (
    "today",
    "invoices",
    "exceptions",
    "conversions",
    "refunds",
    "points",
    "settings",
    "rules",
    "payouts",
    "grants",
    "webhooks",
    "keys",
    "reports",
    "team",
    "log",
    "account",
)


async def ask_payout(page: Page) -> None:
    await visit(page, "payouts")
    await page.get_by_role("textbox", name="Wallet", exact=True).fill(NEW_WALLET)
    await page.get_by_role("button", name="Ask for the change").click()


def test_a_merchant_signs_in_by_wallet_and_then_by_passkey(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await authenticator(page)
        await enter(shop, page)
        await add_passkey(page)
        await page.locator("#leave").click()
        await page.locator("#by-passkey").click()
        await page.locator("#heading").wait_for()
        (cookie,) = await page.context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        assert await page.evaluate("document.cookie") == ""

    told(tmp_path, story)


def test_another_payout_wallet_takes_passkey_and_wallet_waits_and_is_called_off(
    tmp_path: Path,
) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await authenticator(page)
        await enter(shop, page)
        await add_passkey(page)
        await ask_payout(page)
        await expect(page.locator("#confirm-what")).to_contain_text(NEW_WALLET)
        await keep(page, "dashboard-confirm")
        await page.locator('#confirm button[value="no"]').click()
        await expect(page.locator("#told")).to_have_text("Nothing was done.")
        await expect(page.locator("#shown")).to_contain_text("No change was asked for.")
        await ask_payout(page)
        await agree(page)
        await expect(page.locator("#told")).to_have_text("It takes effect in 24 hours.")
        await expect(page.locator(".state.waiting")).to_be_visible()
        await page.get_by_role("button", name="Cancel it").click()
        await expect(page.locator(".state.cancelled")).to_be_visible()

    told(tmp_path, story)


def test_with_a_session_alone_no_payout_is_changed(tmp_path: Path) -> None:
    """Without a passkey there is nothing to confirm with; a request beside the page is refused."""

    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await ask_payout(page)
        await expect(page.locator("#told")).to_contain_text("passkey")
        status = await page.evaluate(
            """async ([path, wallet]) => (await fetch(path, { method: "POST",
              headers: { "content-type": "application/json" },
              body: JSON.stringify({ wallet }) })).status""",
            [f"/v1/stores/{shop.store}/payout-changes", NEW_WALLET],
        )
        assert status == 403
        await visit(page, "payouts")
        await expect(page.locator("#shown")).to_contain_text("No change was asked for.")

    told(tmp_path, story)


def test_an_authenticator_that_does_not_verify_its_user_confirms_nothing(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        client, name = await authenticator(page)
        await enter(shop, page)
        await add_passkey(page)
        await client.send(
            "WebAuthn.setUserVerified", {"authenticatorId": name, "isUserVerified": False}
        )
        await ask_payout(page)
        await agree(page)
        await expect(page.locator("#told")).to_have_text("It was declined; nothing was done.")

    told(tmp_path, story)


def test_one_time_codes_are_set_up_and_confirm(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await visit(page, "account")
        await page.get_by_role("button", name="Set up an app").click()
        await agree(page)
        totp = pyotp.TOTP(await page.locator(".once pre").inner_text())
        await (
            page.locator("#shown")
            .get_by_label("One-time code")
            .fill(totp.at(shop.world.now_ns // 10**9))
        )
        await page.locator("#shown").get_by_role("button", name="Confirm").click()
        await expect(page.locator("#told")).to_have_text("One-time codes count from now on.")
        shop.world.pass_time(30)
        await page.get_by_role("button", name="Make ten codes").click()
        await agree(page, totp.at(shop.world.now_ns // 10**9))
        await expect(page.locator(".once pre")).to_contain_text("9-")

    told(tmp_path, story)


def test_a_recovery_code_lets_in_to_make_a_new_passkey(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        client, name = await authenticator(page)
        await enter(shop, page)
        await visit(page, "account")
        await page.get_by_role("button", name="Make ten codes").click()
        await agree(page)
        codes = (await page.locator(".once pre").inner_text()).split("\n")
        await add_passkey(page)
        await client.send("WebAuthn.clearCredentials", {"authenticatorId": name})
        await page.locator("#leave").click()
        await page.locator("summary").click()
        await page.get_by_label("Your wallet's address").fill(
            "0x"
            + shop.client.get(f"/v1/stores/{shop.store}", headers=shop.headers).json()["wallet"][2:]
        )
        await page.locator('#recover input[name="code"]').fill(codes[4])
        await page.locator('#recover button[type="submit"]').click()
        await expect(page.locator(".warning").first).to_contain_text("this session is short")
        await page.get_by_label("Name of this device").fill("new laptop")
        await page.get_by_role("button", name="Add a passkey").click()
        await expect(page.locator("#told")).to_have_text("The passkey is added.")

    told(tmp_path, story)


def test_what_was_sold_is_added_up_to_the_unit(tmp_path: Path) -> None:
    def before(shop: Shop) -> None:
        shop.sell("101.999", order_id="A-1")
        shop.sell("20", order_id="A-2")

    async def story(shop: Shop, page: Page) -> None:
        invoices = shop.client.get("/v1/invoices", headers=shop.headers).json()["invoices"]
        nets = [row["net"] for row in invoices]
        assert len(nets) == 2 and all(Decimal(net) > 0 for net in nets)
        total = sum(map(Decimal, nets)).normalize()
        await enter(shop, page)
        figures = page.locator(".figures dd")
        await expect(figures.nth(0)).to_have_text("121.999 USD")
        await expect(figures.nth(1)).to_have_text("2")
        assert (await figures.nth(2).inner_text()).startswith(str(total)[:8])
        await keep(page, "dashboard-today-sold")
        await visit(page, "conversions")
        await expect(page.locator(".state.final")).to_have_count(2)
        await keep(page, "dashboard-conversions-sold")
        await visit(page, "invoices")
        await page.get_by_label("Order").fill("A-2")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.get_by_label("Status").select_option("expired")
        await expect(page.locator("#shown")).to_contain_text("No invoices.")

    told(tmp_path, story, before=before)


def test_rules_for_exceptions_and_for_selling_are_changed_as_the_dialog_says(
    tmp_path: Path,
) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await visit(page, "rules")
        await page.get_by_label("Late, and enough").select_option("return")
        await page.locator("#shown form").first.get_by_role("button", name="Save").click()
        await expect(page.locator("#confirm-what")).to_contain_text("return")
        await agree(page)
        await expect(page.locator("#told")).to_have_text("Done.")
        policies = f"/v1/stores/{shop.store}/exception-policies"
        assert shop.client.get(policies, headers=shop.headers).json()["late"] == "return"
        await page.get_by_label("Policy").select_option("keep")
        await page.get_by_label("Kept as it came, in per cent").fill("12.5")
        await keep(page, "dashboard-rules-keep")
        await page.get_by_role("button", name="Try it on what was paid").click()
        await expect(page.locator("#shown")).to_contain_text("Slippage")
        await page.locator("#shown form").nth(1).get_by_role("button", name="Save").click()
        await agree(page)
        await expect(page.locator("#told")).to_have_text("Done.")
        policy = f"/v1/stores/{shop.store}/conversion-policy"
        found = shop.client.get(policy, headers=shop.headers).json()
        assert (found["kind"], found["keep_ppm"]) == ("keep", 125_000)

    told(tmp_path, story, before=lambda shop: shop.sell("101.999"))


def test_an_endpoint_is_added_changed_and_removed(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await visit(page, "webhooks")
        await page.get_by_label("Endpoint", exact=True).fill("https://shop.example/hook")
        await page.get_by_role("button", name="Add it").click()
        await agree(page)
        await expect(page.locator(".once pre")).to_contain_text("whsec_")
        await page.get_by_role("button", name="Change").click()
        await page.get_by_label("Endpoint").first.fill("https://shop.example/other")
        await page.locator("#shown form").first.get_by_text("Events").first.click()
        await page.locator("#shown form").first.get_by_label("invoice.settled").check()
        await page.locator("#shown form").first.get_by_role("button", name="Save").click()
        await expect(page.locator("#confirm-what")).to_contain_text("https://shop.example/other")
        await agree(page)
        await expect(page.locator("#told")).to_have_text("Done.")
        path = f"/v1/stores/{shop.store}/webhooks"
        (row,) = shop.client.get(path, headers=shop.headers).json()["webhooks"]
        assert (row["url"], row["event_types"]) == (
            "https://shop.example/other",
            ["invoice.settled"],
        )
        await keep(page, "dashboard-webhooks-one")
        await page.get_by_role("button", name="Remove").click()
        await agree(page)
        await expect(page.locator("#shown")).to_contain_text("The store is told nowhere.")

    told(tmp_path, story)


def test_money_is_given_back_from_the_dashboard(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await visit(page, "refunds")
        await page.get_by_label("How much").select_option("fiat")
        await page.get_by_label("Kept by the shop, in per cent").fill("10")
        await page.get_by_role("button", name="Give back").click()
        await expect(page.locator("#confirm-what")).to_contain_text("100000")
        await agree(page)
        await expect(page.locator(".once pre")).to_contain_text("/claim/")
        await expect(page.locator(".state.awaiting_payment")).to_have_count(1)
        await keep(page, "dashboard-refunds-one")
        opened = await page.locator(".once pre").inner_text()
        await visit(page, "refunds")
        await page.get_by_role("button", name="Show the link").click()
        await expect(page.locator("#confirm-what")).to_contain_text("Show the link that claims")
        await agree(page)
        await expect(page.locator(".once pre")).to_have_text(opened)
        await page.get_by_role("button", name="Give it up").click()
        await expect(page.locator(".state.cancelled")).to_have_count(1)

    told(tmp_path, story, before=lambda shop: shop.sell("101.999", order_id="A-1"))


def test_a_key_is_replaced_from_the_dashboard(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await authenticator(page)
        await enter(shop, page)
        await add_passkey(page)
        path = f"/v1/stores/{shop.store}/api-keys"
        shop.world.pass_time(1)
        body = {"scopes": ["btcpay.store.canmodifystoresettings"], "label": "till"}
        assert shop.client.post(path, json=body, headers=shop.headers).status_code == 201
        await visit(page, "keys")
        await page.get_by_role("button", name="Replace").first.click()
        await agree(page)
        await expect(page.locator(".once pre")).to_contain_text("tbk_")
        made = await page.locator(".once pre").inner_text()
        assert shop.client.get(path, headers=bearer(made)).status_code == 200

    told(tmp_path, story)


def test_a_report_is_saved_whole(tmp_path: Path) -> None:
    def before(shop: Shop) -> None:
        shop.sell("101.999", order_id="A-1")
        shop.sell("20", order_id="A-2")

    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        await visit(page, "reports")
        for form in ("csv", "json"):
            async with page.expect_download() as saving:
                await page.get_by_role("button", name=f"Payments, {form.upper()}").click()
            saved = await saving.value
            assert saved.suggested_filename == f"payments.{form}"
            text = Path(await saved.path()).read_text()
            assert "A-1" in text and "A-2" in text
        path = f"/v1/stores/{shop.store}/reports/payments"
        rows = shop.client.get(path, headers=shop.headers).json()["rows"]
        assert json.loads(text)["rows"] == rows

    told(tmp_path, story, before=before)


def test_who_is_not_signed_in_is_refused_nothing(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        answers: list[int] = []
        page.on("response", lambda answer: answers.append(answer.status))
        await page.goto(f"{shop.url}/dashboard")
        await page.locator("#wallets button").wait_for()
        await page.wait_for_load_state("networkidle")
        assert max(answers) < 400

    told(tmp_path, story)


def test_a_stranger_signs_up_with_his_wallet_and_opens_a_shop(tmp_path: Path) -> None:
    secret = b"\x77" * 32

    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page)
        card = page.locator("section", has_text="A store of your own")
        await card.get_by_label("Name").fill("Paper and Ink")
        await card.get_by_role("button", name="Make the store").click()
        await expect(card.locator(".once pre")).to_contain_text("tbk_")
        await card.get_by_role("button", name="Go to the store").click()
        await visit(page, "grants")
        await expect(page.locator("#shown")).to_contain_text("TOKEN-USD")
        await expect(page.locator("#store")).to_contain_text("Paper and Ink · owner")
        await expect(page.locator(".state.unsigned")).to_have_count(0)

    told(tmp_path, story, wallet=paper_wallet(secret, address_of_secret(secret)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_part_fits_stands_out_and_axe_finds_nothing(
    tmp_path: Path, width: int, scheme: str
) -> None:
    async def story(shop: Shop, page: Page) -> None:
        shop.invoice("5", order_id="A-1007")
        shop.invoice("120.50", order_id="a-very-long-order-name-" + "x" * 60)
        await page.goto(f"{shop.url}/dashboard")
        await page.locator("#wallets button").wait_for()
        assert await faults(page) == [] and await sideways(page) == 0
        await keep(page, f"dashboard-door-{width}-{scheme}")
        await enter(shop, page)
        for section in SECTIONS:
            await visit(page, section)
            await keep(page, f"dashboard-{section}-{width}-{scheme}")
            assert await page.evaluate(CONTRAST) == [], section
            assert await faults(page) == [], section
            assert await sideways(page) <= 0, section

    told(
        tmp_path,
        story,
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        reduced_motion="reduce",
    )


def test_it_speaks_chinese_and_says_so(tmp_path: Path) -> None:
    async def story(shop: Shop, page: Page) -> None:
        await enter(shop, page, "?lang=zh")
        assert await page.evaluate("document.documentElement.lang") == "zh"
        await expect(page.locator("#heading")).to_have_text("今日")
        await visit(page, "payouts")
        await keep(page, "dashboard-payouts-zh")
        assert await faults(page) == []

    told(tmp_path, story)


def catalogue() -> dict[str, tuple[str, str]]:
    """Return the words as they stand in the file: each key with English and Chinese."""
    text = (FOLDER / "words.js").read_text()
    rows = re.findall(
        r'^  "?([\w.-]+)"?: \[\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)",?\s*\],$', text, re.M
    )
    return {key: (english, chinese) for key, english, chinese in rows}


def test_every_word_that_is_said_is_there_in_both_languages() -> None:
    words = catalogue()
    assert len(words) > 150
    assert all(english and chinese for english, chinese in words.values())
    lines = (FOLDER / "words.js").read_text().split("};")[0].count(": [")
    assert lines == len(words), "each row is read"
    said, starts = set(), set()
    for path in (PAGES / "dashboard.html", *FOLDER.glob("*.js")):
        text = path.read_text()
        said |= set(re.findall(r'data-t(?:-label)?="(\w+)"', text))
        said |= set(re.findall(r'\bt\("([\w.-]+)"', text))
        said |= set(re.findall(r'\b(?:card|button|field|form|shownOnce)\("([\w.-]+)"', text))
        starts |= set(re.findall(r"\bt\(`([\w.-]+_)\$", text))
        for names in re.findall(r"table\(\[([^\]]*)\]", text):
            said |= set(re.findall(r'"([\w.-]+)"', names))
        said |= set(re.findall(r'^\s+"(\w+)"\)', text, re.M))  # A table's word for nothing.
    assert said - set(words) == set()
    assert {start for start in starts if not any(key.startswith(start) for key in words)} == set()


def test_the_words_for_states_are_those_that_the_house_has() -> None:
    from gateway.api.v1.people_schemas import PARAMETERS
    from merchants.people.roles import Role
    from merchants.records.refunds import RefundState, RefundVariant
    from merchants.records.states import (
        ConversionState,
        DeliveryState,
        InvoiceException,
        InvoiceState,
    )
    from merchants.stores.scopes import INCLUDED
    from merchants.webhooks.event_types import EventType
    from merchants.webhooks.formats import FORMATS

    words = catalogue()
    module = (FOLDER / "webhooks.js").read_text()
    listed = module.partition("EVENTS = [")[2].partition("]")[0]
    assert set(re.findall(r'"([\w.]+)"', listed)) == {*EventType}
    assert set(re.findall(r'FORMATS = \["(\w+)", "(\w+)"\]', module)) == {tuple(FORMATS)}
    parameters = {name for shape in PARAMETERS.values() for name in shape.__struct_fields__}
    wanted = {
        "role": [*Role],
        "status": [*InvoiceState],
        "exception": [*InvoiceException],
        "sale": [*ConversionState],
        "delivery": [*DeliveryState],
        "action": [*PARAMETERS],
        "parameter": [*parameters],
        "refund": [*RefundState],
        "variant": [*RefundVariant],
        "format": [*FORMATS],
        "payout": ["waiting", "cancelled", "done", "refused"],
        "section": [*SECTIONS],
        "scope": [scope.rsplit(".", 1)[-1] for scope in INCLUDED],
    }
    missing = {f"{start}_{name}" for start, names in wanted.items() for name in names} - set(words)
    assert missing == set()
