"""A page that asks every second costs one look in a while, and only what is new is sent."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gateway.pages.checkout import checkout_router
from gateway.pages.checkout_view import CheckoutPage, PageFacts
from tests.merchants.fixtures import World
from tests.merchants.site import site


@pytest.fixture
def venue(tmp_path):
    return World(tmp_path).venue


class CountingLooks:
    """The venue's checkouts, and how often they were looked up."""

    def __init__(self, merchants):
        self.merchants, self.count = merchants, 0

    def checkout(self, invoice_id):
        self.count += 1
        return self.merchants.checkout(invoice_id)


def test_a_page_that_has_it_already_is_told_so(venue):
    invoice = venue.invoice(venue.approved_store())
    client = TestClient(site(venue))
    first = client.get(f"/checkout/{invoice.id}/state")
    asked_again = {"If-None-Match": first.headers["etag"]}
    again = client.get(f"/checkout/{invoice.id}/state", headers=asked_again)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


def test_found_each_look_drew_the_page_anew(venue):
    invoice, seconds = venue.invoice(venue.approved_store()), [0.0]
    looks, app = CountingLooks(venue.merchants.reader), FastAPI()
    app.include_router(
        checkout_router(
            looks, CheckoutPage(PageFacts("net")), fresh_seconds=1, now=lambda: seconds[0]
        )
    )
    client = TestClient(app)
    for _ in range(10):
        assert client.get(f"/checkout/{invoice.id}/state").status_code == 200
        assert client.get(f"/checkout/{invoice.id}").status_code == 200
    assert looks.count == 1
    seconds[0] = 1.0
    client.get(f"/checkout/{invoice.id}/state")
    assert looks.count == 2
