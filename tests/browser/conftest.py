"""What do the tests of customers' pages share: a Chromium, and a served shop?"""

import os
import time

import pytest
from fastapi import Response

from tests.browser.checkouts import ARGUMENTS, CHROMIUM
from tests.in_memory import tmp_path
from tests.merchants.fixtures import World, address_bytes, due_raw
from tests.merchants.site import served, site

__all__ = ("tmp_path",)


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
