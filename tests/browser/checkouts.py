"""How do tests look at a customer's page?"""

import io
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image

from tests.merchants.fixtures import CONFIRMATIONS, address_bytes, due_raw

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
AXE_RUN = "() => axe.run({resultTypes: ['violations']}).then((found) => found.violations)"
SCREENSHOTS = os.environ.get("TILLBOOK_SCREENSHOTS")
WIDTHS = (320, 390, 1280)
SCHEMES = ("light", "dark")
SMALL_TARGETS = """() => [...document.querySelectorAll("button, .button, .choices a, summary")]
  .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 44).map((e) => e.outerHTML)"""


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
    # A stream ends when its page is left; that is no failure.
    page.on(
        "requestfailed",
        lambda r: None if "/events?" in r.url else page.complaints.append(r.url),
    )
    page.goto(url)
    return page


def pictured(page, name):
    """Return a screenshot; it is also kept where TILLBOOK_SCREENSHOTS says."""
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    if SCREENSHOTS:
        picture.save(f"{SCREENSHOTS}/{name}.png")
    return picture


def kept_for_people(page, name):
    """Keep a screenshot where somebody wants to look at them; a test alone looks at none."""
    if SCREENSHOTS:
        pictured(page, name)


def shows(page, phase):
    page.wait_for_selector(f"[data-phase={phase}]", timeout=15_000)


def faults(page):
    """Return what axe finds wrong, with the place. It comes to a page once, and tells of nothing
    that it finds right: that is half of what a look costs."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(AXE_RUN)
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found]


def overflow(page):
    """Return what is wider than the window."""
    return page.evaluate(
        """() => document.documentElement.scrollWidth > document.documentElement.clientWidth
          ? [...document.querySelectorAll("body *")].filter((e) =>
              e.getBoundingClientRect().right > innerWidth + 1
              || e.getBoundingClientRect().left < -1).map((e) => e.outerHTML.slice(0, 120)) : []"""
    )


def looked_at(page, name):
    """Look at a page in every width and scheme."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert overflow(page) == [], (name, width)
            assert faults(page) == [], (name, width, scheme)
            assert page.evaluate(SMALL_TARGETS) == []
            kept_for_people(page, f"checkout-{name}-{width}-{scheme}")


def sold(venue, world, invoice):
    """Let an invoice be paid, sold and settled."""
    world.transfer(
        address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=CONFIRMATIONS
    )
    for _ in range(3):
        venue.watch()
        ticked(venue)
        venue.settle_sweeps()
        ticked(venue)
    world.trades_are("final")
    ticked(venue)
