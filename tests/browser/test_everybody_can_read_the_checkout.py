"""Whoever pays can read it: in six languages, on any screen, by key, without scripts, on paper."""

import pytest

from gateway.pages.languages import HABITS, language
from tests.browser.checkouts import (
    faults,
    kept_for_people,
    looked_at,
    opened,
    overflow,
    shows,
    sold,
)
from tests.merchants.fixtures import address_bytes, due_raw


@pytest.mark.parametrize("code", HABITS)
def test_every_language_fits_every_screen_and_axe_finds_nothing(browser, shop, world, code):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="101", order_id="1042", tokens=())
    page = opened(browser, f"{address}/checkout/{invoice.id}?lang={code}&pay=TOKEN")
    shows(page, "waiting")
    chosen = page.inner_text(".choices [aria-current]")
    assert "Tillbook devnet" in chosen and "TOKEN" in chosen
    assert page.evaluate("document.dir || document.documentElement.dir") == (
        "rtl" if code == "ar" else "ltr"
    )
    looked_at(page, f"waiting-{code}")

    world.transfer(address_bytes(invoice.deposit_address), 20 * 10**15)
    venue.watch()
    shows(page, "partial")
    assert language(code).words["headline_partial"] in page.inner_text("#announcer")
    looked_at(page, f"partial-{code}")

    sold(venue, world, venue.invoice(store, amount="55"))
    assert page.complaints == []
    page.close()


@pytest.mark.parametrize("code", ["en", "ar"])
def test_what_was_paid_reads_well_and_leads_to_its_proof(browser, shop, world, code):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="55", redirect_url="https://shop.example/thanks")
    sold(venue, world, invoice)
    page = opened(browser, f"{address}/checkout/{invoice.id}?lang={code}")
    shows(page, "settled")
    looked_at(page, f"settled-{code}")
    page.click("dd a[href*=proof]")
    page.wait_for_selector(".how")
    looked_at(page, f"proof-{code}")
    with page.expect_download() as download:
        page.click("a[download]")
    assert download.value.url.endswith(f"{invoice.id}/proof.json")
    assert page.complaints == []
    page.close()


def test_by_key_alone_everything_is_reached_and_what_was_copied_is_said(browser, shop):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="101")
    page = opened(
        browser,
        f"{address}/checkout/{invoice.id}",
        permissions=["clipboard-read", "clipboard-write"],
    )
    shows(page, "waiting")
    page.wait_for_selector("[data-live] .copy")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        if reached[-1] == "copy-address":
            page.keyboard.press("Enter")
            page.wait_for_selector("#announcer:has-text('Copied')", state="attached")
            assert page.evaluate("navigator.clipboard.readText()") == invoice.deposit_address
            assert page.evaluate("document.activeElement.id") == "copy-address"
    assert reached.index("copy-amount") < reached.index("copy-address")
    assert "sandbox-pay" in reached
    outline = page.evaluate(
        "document.getElementById('copy-amount').focus(),"
        "getComputedStyle(document.activeElement).outlineStyle"
    )
    assert outline == "solid"
    page.close()


def test_four_times_as_large_nothing_is_cut_off(browser, shop):
    """At 400 per cent a window of 1280 pixels is one of 320, and 225 high."""
    venue, store, address = shop
    invoice = venue.invoice(store, amount="101")
    page = opened(browser, f"{address}/checkout/{invoice.id}", 320, device_scale_factor=4)
    page.set_viewport_size({"width": 320, "height": 225})
    shows(page, "waiting")
    assert overflow(page) == []
    page.close()


def test_on_paper_there_are_the_address_and_the_amount_and_nothing_to_press(browser, shop):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="101")
    page = opened(browser, f"{address}/checkout/{invoice.id}", color_scheme="dark")
    shows(page, "waiting")
    page.emulate_media(media="print", color_scheme="dark")
    for hidden in ("#copy-amount", "#sandbox-pay", ".ribbon", ".languages"):
        assert not page.is_visible(hidden), hidden
    assert page.is_visible("#address") and page.is_visible(".qr svg")
    kept_for_people(page, "checkout-print")
    ink = page.evaluate("getComputedStyle(document.querySelector('.card')).color")
    assert ink == "rgb(0, 0, 0)"
    page.close()


def test_where_no_stream_is_to_be_had_the_page_asks(browser, shop, world):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    page = browser.new_page()
    page.route("**/events*", lambda route: route.fulfill(status=429, body=""))
    page.goto(f"{address}/checkout/{invoice.id}")
    page.wait_for_selector("#countdown:has-text('holds for')")
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
    venue.watch()
    shows(page, "seen")
    page.close()


def test_without_scripts_languages_are_links(browser, shop):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    page = opened(browser, f"{address}/checkout/{invoice.id}", java_script_enabled=False)
    page.click(".languages a[lang=ja]")
    shows(page, "waiting")
    assert language("ja").words["headline_waiting"] == page.inner_text("#headline")
    page.close()


def test_what_nobody_can_read_is_found_the_second_time_too(browser, shop):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    page = opened(browser, f"{address}/checkout/{invoice.id}")
    shows(page, "waiting")
    assert faults(page) == []
    page.evaluate("document.body.append(document.createElement('button'))")
    assert [fault.split(":")[0] for fault in faults(page)] == ["button-name"]
    page.close()
