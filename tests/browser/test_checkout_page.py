"""The customer's page in a real browser: it reads well, scans, and stays true without a reload."""

import pytest
import zxingcpp

from tests.browser.checkouts import kept_for_people, opened, pictured, shows, ticked
from tests.merchants.fixtures import CONFIRMATIONS, address_bytes, due_raw, option

SIZE_MAX = 60 * 1024


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_qr_in_the_picture_is_the_address(browser, shop, width, scheme):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="101", order_id="1042")
    page = opened(browser, f"{address}/checkout/{invoice.id}", width, color_scheme=scheme)
    shows(page, "waiting")

    picture = pictured(page, f"checkout-waiting-{width}-{scheme}")
    (code,) = zxingcpp.read_barcodes(picture)
    assert code.text == invoice.deposit_address
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "no sideways scrolling"
    label = page.get_attribute(".qr", "aria-label")
    assert f"{option(invoice).amount_due}\u00a0TOKEN" in label and invoice.deposit_address in label
    assert page.inner_text("#address") == invoice.deposit_address
    assert page.complaints == []
    page.close()


def test_the_page_follows_the_sale_without_a_reload(browser, shop, world):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="101", redirect_url="https://shop.example/thanks")
    page = opened(browser, f"{address}/checkout/{invoice.id}")
    page.evaluate("window.untouched = true")
    shows(page, "waiting")

    world.transfer(address_bytes(invoice.deposit_address), 20 * 10**15)
    venue.watch()
    shows(page, "partial")
    rest = option(venue.merchants.reader.invoice(invoice.id))
    assert page.inner_text("#amount") == rest.remaining, "what is asked for now is the rest"
    kept_for_people(page, "checkout-partial-1280")

    world.transfer(address_bytes(invoice.deposit_address), int(rest.remaining_raw))
    world.confirm(1)
    venue.watch()
    shows(page, "seen")
    page.wait_for_selector("text=1 of 3")
    assert "Payment seen" in page.inner_text("#announcer")
    assert page.evaluate("document.activeElement.id") == "headline"
    kept_for_people(page, "checkout-seen-1280")

    world.confirm(CONFIRMATIONS)
    venue.watch()
    ticked(venue)
    venue.settle_sweeps()
    ticked(venue)
    shows(page, "converting")
    kept_for_people(page, "checkout-converting-1280")
    world.trades_are("final")
    ticked(venue)
    shows(page, "settled")
    receipt = page.inner_text("#checkout")
    assert option(invoice).amount_due in receipt and "101.74" not in receipt, (
        "what the shop has of it is its own"
    )
    first = world.transfers[0].tx_hash.hex()
    assert page.get_attribute("dd a", "href") == f"https://scan.example/tx/0x{first}"
    assert page.get_attribute(".back a", "href") == "https://shop.example/thanks"
    kept_for_people(page, "checkout-settled-1280")
    page.set_viewport_size({"width": 360, "height": 900})
    kept_for_people(page, "checkout-settled-360")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("window.untouched"), "it was never reloaded"
    assert page.title().startswith("Paid")
    assert page.complaints == []
    page.close()


def test_the_demo_wallet_pays_with_one_press_and_copying_copies(browser, shop):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    page = opened(
        browser,
        f"{address}/checkout/{invoice.id}",
        permissions=["clipboard-read", "clipboard-write"],
    )
    shows(page, "waiting")
    assert "Test mode" in page.inner_text(".ribbon")
    page.click("#copy-address")
    page.wait_for_selector("#copy-address:has-text('Copied')")
    assert page.evaluate("navigator.clipboard.readText()") == invoice.deposit_address
    page.wait_for_selector("#countdown:has-text('holds for')")
    page.click("#sandbox-pay")
    shows(page, "seen")
    assert page.complaints == []
    page.close()


def test_found_two_quick_clicks_paid_twice(browser, shop, world):
    """Found: the page was drawn anew while a payment was under way, with a button to press."""
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    page, held = opened(browser, f"{address}/checkout/{invoice.id}"), []

    def hold(route):
        held.append(route)

    page.route("**/sandbox/pay/*", hold)
    page.wait_for_selector("#countdown:has-text('holds for')")
    page.dblclick("#sandbox-pay")
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice) // 2)
    venue.watch()
    shows(page, "partial")
    assert page.is_disabled("#sandbox-pay") and len(held) == 1
    held[0].fulfill(status=204)
    page.wait_for_selector("#sandbox-pay:enabled")
    page.close()


@pytest.mark.parametrize("shift_ms", [0, 1_200_000, -1_200_000])
def test_found_the_countdown_believed_the_customers_clock(browser, shop, shift_ms):
    """A clock 20 minutes ahead said "0:00 left" of a new invoice, and 20 behind "34:55 left"."""
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    page = browser.new_page()
    page.add_init_script(f"const real = Date.now; Date.now = () => real() + {shift_ms};")
    page.goto(f"{address}/checkout/{invoice.id}")
    page.wait_for_selector("#countdown:has-text('holds for')")
    minutes, _, _ = page.inner_text("#countdown").rpartition(" ")[2].partition(":")
    assert minutes in ("14", "15")
    page.close()


def test_an_expired_invoice_says_what_to_do(browser, shop, world):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    world.pass_time(901)
    ticked(venue)
    page = opened(browser, f"{address}/checkout/{invoice.id}", 360)
    shows(page, "expired")
    assert page.query_selector(".qr") is None, "nobody is invited to pay an old price"
    kept_for_people(page, "checkout-expired-360")
    assert page.complaints == []
    page.close()


def test_without_scripts_the_page_says_the_same_and_reloads_itself(browser, shop):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    page = opened(browser, f"{address}/checkout/{invoice.id}", 360, java_script_enabled=False)
    shown = page.content()
    assert 'http-equiv="refresh"' in shown and invoice.deposit_address in shown
    picture = pictured(page, "checkout-without-scripts-360")
    (code,) = zxingcpp.read_barcodes(picture)
    assert code.text == invoice.deposit_address
    page.close()


def test_the_code_for_wallets_is_behind_a_warning_and_names_token_chain_and_amount(browser, shop):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="101")
    page = opened(browser, f"{address}/checkout/{invoice.id}", java_script_enabled=False)
    (plain,) = zxingcpp.read_barcodes(pictured(page, "checkout-code-closed"))
    assert plain.text == invoice.deposit_address, "it takes a press to see anything else"
    page.click("summary")
    page.wait_for_selector("#code img")
    assert f"sends {option(invoice).amount_due}\u00a0TOKEN to the address" in page.inner_text(
        "#code"
    )
    page.evaluate("document.querySelector('#code img').decode()")
    codes = {code.text for code in zxingcpp.read_barcodes(pictured(page, "checkout-code"))}
    raw = due_raw(invoice)
    target = f"ethereum:{invoice.options[0].token_address}@31337/transfer"
    assert f"{target}?address={invoice.deposit_address}&uint256={raw}" in codes
    page.close()


TRANSFERRED = """() => [...performance.getEntriesByType("navigation"),
  ...performance.getEntriesByType("resource")].map(({ name, transferSize }) =>
  [name, transferSize])"""


def test_all_of_it_is_small_and_ours(browser, shop):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    page = browser.new_page()
    urls = []
    page.on("request", lambda request: urls.append(request.url))
    page.goto(f"{address}/checkout/{invoice.id}?lang=ar")
    page.wait_for_selector("[data-live] .copy")
    sizes = page.evaluate(TRANSFERRED)
    assert len(sizes) >= 4 and all(size > 0 for _, size in sizes), sizes
    assert sum(size for _, size in sizes) <= SIZE_MAX, sizes
    assert {url.split("/checkout/")[0] for url in urls if url != "data:,"} == {address}
    page.close()
