"""A pay button and a till in a real browser: they read well, and a till's key is not shown."""

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from gateway.pages.languages import HABITS, language
from merchants.stores.api_keys import Holder
from merchants.stores.pay_buttons import ButtonRequest
from merchants.stores.scopes import CREATE_INVOICES, UNRESTRICTED
from merchants.stores.scopes import opened as opened_scopes
from tests.browser.checkouts import kept_for_people, looked_at, opened, shows, ticked
from tests.merchants.fixtures import CONFIRMATIONS
from tests.merchants.site import served


@pytest.fixture
def button(shop):
    venue, store, address = shop
    request = ButtonRequest("Coffee, large", "4.50", "USD", ("TOKEN",))
    made = venue.merchants.stores.pay_buttons.make(store.store_id, request)
    return f"{address}/pay/{store.store_id}/{made.id}"


@pytest.fixture
def till_key(shop):
    """Return the key of a till."""
    venue, store, _ = shop
    first = venue.merchants.stores.keys.authenticate(store.api_key)
    owner = Holder(first.store, first.key_id, opened_scopes((UNRESTRICTED,)))
    return venue.merchants.stores.keys.make(owner, "till", [CREATE_INVOICES]).api_key


@pytest.mark.parametrize("code", HABITS)
def test_a_pay_button_and_a_till_fit_every_screen(browser, shop, button, code):
    _, _, address = shop
    page = opened(browser, f"{button}?lang={code}")
    page.wait_for_selector("form button")
    looked_at(page, f"pay-{code}")
    page.goto(f"{address}/pos?lang={code}#key=tbk_none&token=TOKEN")
    page.wait_for_selector("#till:not([hidden])")
    looked_at(page, f"till-{code}")
    assert page.complaints == []
    page.close()


def test_a_pay_button_works_without_scripts(browser, button):
    page = opened(browser, button, 390, java_script_enabled=False)
    page.click("form button")
    shows(page, "waiting")
    assert "$4.50" in page.inner_text(".price")
    page.close()


def test_a_clerk_types_an_amount_and_the_checkout_opens(browser, shop, till_key):
    _, _, address = shop
    page = opened(browser, f"{address}/pos?lang=de#key={till_key}&token=TOKEN", 390)
    page.wait_for_selector("#till:not([hidden])")
    assert till_key not in page.url and till_key not in page.content()
    assert page.evaluate("document.activeElement.id") == "sum"
    page.keyboard.type("1.234")
    page.keyboard.press("Enter")
    page.wait_for_selector("#told:not(:empty)")
    assert page.inner_text("#told") == language("de").words["till_bad_amount"]
    page.fill("#sum", "12,5")
    page.fill("#note", "Tisch 7")
    page.press("#note", "Enter")
    shows(page, "waiting")
    assert "12,50" in page.inner_text(".price") and "Tisch 7" in page.inner_text(".summary")
    page.goto(f"{address}/pos")
    page.wait_for_selector("#till:not([hidden])")
    assert page.complaints == []
    page.close()


def test_a_till_without_a_key_or_with_too_strong_a_one_says_so(browser, shop):
    _, store, address = shop
    page = opened(browser, f"{address}/pos")
    english = language("en").words
    page.wait_for_selector("#told:not(:empty)")
    assert page.inner_text("#told") == english["till_no_key"]
    assert not page.is_visible("#till")
    for key, said in ((store.api_key, "till_strong"), ("tbk_wrong", "till_bad_key")):
        page.goto("about:blank")
        page.goto(f"{address}/pos#key={key}&token=TOKEN")
        page.fill("#sum", "5")
        page.click("#sell")
        page.wait_for_selector(f'#told:has-text("{english[said][:20]}")')
    page.close()


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A shop's own page</title>
<link rel="icon" href="data:,">
<h1>Corner Books</h1><p><a id="buy" href="{home}/pay/{button}">Buy the book</a></p>
<script src="{home}/pay.js" data-button="{button}" async></script>
<script>addEventListener("tillbook", (event) => {{
  document.title = `${{event.detail.state}} ${{event.detail.invoice}}`; }});</script></html>"""


@pytest.fixture
def own_site(shop, button):
    """Serve the shop's own site, with the button's link and script in its page."""
    text = PAGE.format(home=shop[2], button=button.rpartition("/pay/")[2])
    app = FastAPI()

    @app.get("/")
    async def page():
        return HTMLResponse(text)

    with served(app) as address:
        yield address


def at(browser, address, width=1280):
    """Return the shop's page with its script run."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.complaints = []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
    page.goto(f"{address}/", wait_until="load")
    return page


def named(venue, store, *origins):
    kept = venue.merchants.stores.embeddings.change(store.store_id, origins)
    assert kept == origins


@pytest.mark.parametrize("width", [390, 1280])
def test_a_button_opens_over_the_shops_page_and_tells_it_the_end_alone(
    browser, shop, own_site, width
):
    venue, store, _ = shop
    named(venue, store, "https://other.example", own_site)
    page = at(browser, own_site, width)
    page.evaluate("addEventListener('message', (e) => (window.heard ??= []).push(e.data))")
    page.click("#buy")
    frame = page.frame_locator("dialog iframe")
    frame.locator("form button").click()
    frame.locator("[data-phase=waiting]").wait_for()
    kept_for_people(page, f"embedded-{width}")
    frame.locator(".languages a[lang=de]").click()
    frame.locator("html[lang=de] [data-phase=waiting]").wait_for()
    assert page.evaluate("window.heard") is None, "nothing is told on the way"
    frame.locator("#sandbox-pay").click()
    frame.locator("[data-phase=seen]").wait_for()
    venue.world.confirm(CONFIRMATIONS)
    for _ in range(3):
        venue.watch()
        ticked(venue)
        venue.settle_sweeps()
        ticked(venue)
    page.wait_for_function("document.title.startsWith('settled inv_')", timeout=15_000)
    assert {one["state"] for one in page.evaluate("window.heard")} == {"settled"}
    page.locator("dialog button").click()
    page.wait_for_selector("dialog", state="detached")
    assert page.evaluate("document.activeElement.id") == "buy"
    assert page.url == f"{own_site}/"
    assert page.complaints == []
    page.close()


def test_a_site_that_the_shop_has_not_named_shows_nothing(browser, shop, own_site):
    venue, store, _ = shop
    named(venue, store, "https://other.example")
    page = at(browser, own_site)
    page.click("#buy")
    page.wait_for_selector("dialog iframe")
    while not page.complaints:
        page.wait_for_event("console")
    assert "frame-ancestors" in page.complaints[0]
    assert page.frame_locator("dialog iframe").locator("form button").count() == 0
    page.close()


def test_without_scripts_the_shops_link_is_a_link(browser, own_site):
    page = opened(browser, own_site, java_script_enabled=False)
    page.click("#buy")
    page.click("form button")
    shows(page, "waiting")
    page.close()
