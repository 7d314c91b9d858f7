"""A pay button and a till in a real browser: they read well, and a till's key is not shown."""

import pytest

from gateway.pages.languages import HABITS, language
from merchants.stores.api_keys import Holder
from merchants.stores.pay_buttons import ButtonRequest
from merchants.stores.scopes import CREATE_INVOICES, UNRESTRICTED
from merchants.stores.scopes import opened as opened_scopes
from tests.browser.checkouts import looked_at, opened, shows


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
