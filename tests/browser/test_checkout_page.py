"""The customer's page in a real browser: it reads well, scans, and stays true without a reload."""

import io
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import zxingcpp
from fastapi import Response
from PIL import Image

from tests.merchants.fixtures import CONFIRMATIONS, World, address_bytes, due_raw
from tests.merchants.site import served, site

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SIZE_MAX = 60 * 1024


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        message = "chromium is not installed: the pages were not looked at"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def world(tmp_path):
    # The page counts down by the server's clock, so the fixtures must live in the same time.
    return World(tmp_path, start_ns=time.time_ns())


@pytest.fixture
def shop(world):
    """A served shop whose sandbox button pays at once."""
    venue = world.venue
    store = venue.approved_store(name="Corner Books", lifetime_s=900)
    app = site(venue)

    @app.post("/sandbox/pay/{invoice_id}")
    async def pay(invoice_id: str):
        invoice = venue.merchants.reader.invoice(invoice_id)
        world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
        venue.watch()
        return Response(status_code=204)

    with served(app) as address:
        yield venue, store, address


def ticked(venue):
    """Step on a thread of its own: playwright keeps an event loop on this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(venue.tick).result()


def opened(browser, url, width=1280, **options):
    """Return a page that fails the test by what it complains about."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    page.complaints = []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(request.url))
    page.goto(url)
    return page


def pictured(page, name):
    """Return a screenshot; it is also kept where TILLBOOK_SCREENSHOTS says."""
    picture = page.screenshot(full_page=True)
    directory = os.environ.get("TILLBOOK_SCREENSHOTS")
    if directory:
        Image.open(io.BytesIO(picture)).save(f"{directory}/{name}.png")
    return Image.open(io.BytesIO(picture))


def shows(page, phase):
    page.wait_for_selector(f"[data-phase={phase}]", timeout=15_000)


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
    assert "0.051 TOKEN" in label and invoice.deposit_address in label
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
    assert page.inner_text("#amount") == "0.031", "what is asked for now is the rest"
    pictured(page, "checkout-partial-1280")

    world.transfer(address_bytes(invoice.deposit_address), 31 * 10**15)
    world.confirm(1)
    venue.watch()
    shows(page, "seen")
    page.wait_for_selector("text=1 of 3")
    assert "Payment seen" in page.inner_text("#announcer")
    assert page.evaluate("document.activeElement.id") == "headline"
    pictured(page, "checkout-seen-1280")

    world.confirm(CONFIRMATIONS)
    venue.watch()
    ticked(venue)
    venue.settle_sweeps()
    ticked(venue)
    shows(page, "converting")
    pictured(page, "checkout-converting-1280")
    world.trades_are("final")
    ticked(venue)
    shows(page, "settled")
    receipt = page.inner_text("#checkout")
    assert "101.7440025 USD" in receipt and "batch 9" in receipt
    assert page.get_attribute(".back a", "href") == "https://shop.example/thanks"
    pictured(page, "checkout-settled-1280")
    page.set_viewport_size({"width": 360, "height": 900})
    pictured(page, "checkout-settled-360")
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
    page.wait_for_selector("#countdown:has-text('left')")
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
    page.wait_for_selector("#countdown:has-text('left')")
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
    page.wait_for_selector("#countdown:has-text('left')")
    minutes, _, _ = page.inner_text("#countdown").partition(":")
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
    pictured(page, "checkout-expired-360")
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


def test_all_of_it_is_small_and_ours(browser, shop):
    venue, store, address = shop
    invoice = venue.invoice(store, amount="50")
    page = browser.new_page()
    answers = []
    page.on("response", lambda answer: answers.append((answer.url, len(answer.body()))))
    page.goto(f"{address}/checkout/{invoice.id}", wait_until="networkidle")
    urls = [url for url, _ in answers]
    assert sum(size for _, size in answers) <= SIZE_MAX, answers
    assert {url.split("/checkout/")[0] for url in urls} == {address}
    page.close()
