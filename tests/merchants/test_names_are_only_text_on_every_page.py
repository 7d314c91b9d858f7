"""Whatever a shop, an order or a token is called: on a page it is text, never markup."""

import asyncio
from html.parser import HTMLParser
from string import Template

import httpx
import pytest
from starlette.testclient import TestClient

from engine.commands import Kind, command, list_market
from gateway.pages.render import Html, fill
from settlement.protocol.evidence import MarketListing, TokenListing
from tests.api.fixtures import Venue
from tests.merchants.fixtures import World
from tests.merchants.site import OPERATOR_TOKEN, site
from tests.merchants.test_shops_over_rest import NEW_STORE, approve, bearer

NAMES = [
    "<script>alert(1)</script>",
    "</script><img src=x>",
    '"><img src=x>',
    "' onload='x",
    "$amount &lt;",
]


class Tags(HTMLParser):
    """Every tag with its attributes, in order, and all text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, [name for name, _ in attributes]))

    def handle_data(self, text):
        self.text += text


def market_pages(name):
    """Return the page of a market whose tokens and itself have this name."""
    venue = Venue()
    for number in (2, 3):
        address = bytes([number]) * 20
        listing = TokenListing(name, address, 18, 10**10)
        venue.commit(command(Kind.LIST_TOKEN, token=number), listing)
    terms = {"lot_pips": 10_000, "tick_pips": 100, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    venue.commit(list_market(1, 2, 3, **terms), MarketListing(name))

    async def asked():
        transport = httpx.ASGITransport(app=venue.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            return [(await http.get("/", params=more)).text for more in ({}, {"market": name})]

    return asyncio.run(asked())


def checkout_pages(directory, name):
    """Return the page of an invoice whose shop and order have this name, and what is swapped in."""
    client = TestClient(site(World(directory).venue))
    store = {**NEW_STORE, "name": name}
    made = client.post("/v1/stores", json=store, headers=bearer(OPERATOR_TOKEN)).json()
    approve(client, made)
    body = {"amount": "5", "tokens": ["TOKEN"], "order_id": name}
    invoice = client.post("/v1/invoices", json=body, headers=bearer(made["api_key"])).json()
    page = client.get(f"/checkout/{invoice['id']}")
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    return page.text, client.get(f"/checkout/{invoice['id']}/state").json()["main"]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_of_a_market_adds_no_tag_and_no_attribute(name):
    for page, plain in zip(market_pages(name), market_pages("PLAIN"), strict=True):
        assert Tags(page).tags == Tags(plain).tags
        assert name in Tags(page).text


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_of_a_shop_or_order_adds_no_tag_and_no_attribute(tmp_path, name):
    tags = []
    for number, known in enumerate(("Plain", name)):
        directory = tmp_path / str(number)
        directory.mkdir()
        shown = [Tags(page) for page in checkout_pages(directory, known)]
        assert all(known in page.text for page in shown)
        tags.append([page.tags for page in shown])
    assert tags[0] == tags[1]


def test_what_is_no_markup_by_type_is_escaped():
    template = Template("$a $b $c")
    assert fill(template, a="<i>", b=Html("<i>"), c=7) == "&lt;i&gt; <i> 7"
