"""``docs/PROTOCOL.md`` names each operation of the OpenAPI document, with who may ask, what is
sent, answered and refused, as the document has them; and each route beside the document."""

import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from gateway.api.greenfield.mount import greenfield_router
from gateway.api.v1.openapi import schema_of
from gateway.api.v1.people import people_router
from gateway.api.v1.shops import merchants_router
from gateway.api.x402.facilitator import Facilitator
from gateway.api.x402.routes import X402Routes
from gateway.http.clients import Clients
from gateway.http.mounting import mount
from gateway.pages.authorize import authorize_router
from gateway.pages.dashboard import dashboard_router
from gateway.trading.budgets import ShopBudgets
from tests.any_request import PLENTY
from tests.api.fixtures import Venue
from tests.merchants.fixtures import DOMAIN, World
from tests.merchants.people_site import gate_of
from tests.merchants.site import OPERATOR_TOKEN, site

PROTOCOL = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text()
ROW = re.compile(
    r"^\| `(?P<operation>[A-Z]+ /[^`]*)` \| (?P<who>[^|]+) \| (?P<body>[^|]+) \| "
    r"(?P<answer>[^|]+) \| (?P<refusals>[^|]+) \| [^|]+ \|$",
    re.MULTILINE,
)
URL = "http://localhost"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def document(world):
    gate, merchants = gate_of(world), world.venue.merchants
    shops = merchants_router(merchants, DOMAIN, OPERATOR_TOKEN, URL, gate)
    return schema_of(Venue(PLENTY).app(routers=(people_router(gate), shops)))


def named(content):
    """Return the schema's name, as the tables write it."""
    for said in content.values():
        found = said.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if found:
            return f"`{found}`"
    return ""


def row_of(about):
    """Return what the tables have to say of an operation."""
    scopes = [
        "".join(scopes).removeprefix("btcpay.store.") or proof
        for one in about.get("security") or ()
        for proof, scopes in one.items()
    ]
    good, *_ = sorted(status for status in about["responses"] if status < "300")
    answer = f"{good} {named(about['responses'][good].get('content', {}))}".strip()
    return (
        " or ".join(scopes) or "–",
        named(about.get("requestBody", {}).get("content", {})) or "–",
        answer,
        " ".join(sorted(status for status in about["responses"] if status >= "300")) or "–",
    )


def test_each_operation_of_the_document_has_its_row(document):
    rows = {found["operation"]: found.groups()[1:] for found in ROW.finditer(PROTOCOL)}
    wanted = {
        f"{method.upper()} {path}": row_of(about)
        for path, methods in document["paths"].items()
        for method, about in methods.items()
    }
    lines = [
        f"| `{name}` | {' | '.join(row)} | what it does |"
        for name, row in wanted.items()
        if rows.get(name) != row
    ]
    assert not lines, "\n".join(["These rows belong into docs/PROTOCOL.md:", *lines])
    assert set(rows) == set(wanted), "no row of what is not there"


def leaves(routes):
    """Return the routes of ours in ``routes``, and in the routers among them."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        yield from leaves(getattr(getattr(route, "original_router", None), "routes", ()))


def test_each_route_of_shops_beside_the_document_is_named(world):
    merchants, catalog = world.venue.merchants, world.venue.catalog
    facilitator = Facilitator(catalog, None, None, 1, world.clock)
    app = site(world.venue)
    x402 = X402Routes(merchants, catalog, facilitator, Clients(), ShopBudgets())
    parts = (x402.router, dashboard_router(sandbox=False), authorize_router(sandbox=False))
    for router in (*parts, greenfield_router(merchants, URL)):
        mount(app, router)
    paths = {route.path for route in leaves(app.routes) if not route.include_in_schema}
    assert len(paths) > 60
    # What is behind a store in BTCPay's words is there without it too.
    unnamed = {path for path in paths if f"`{path}`" not in PROTOCOL and path not in SHORT}
    assert unnamed == set()


SHORT = {
    "/api/v1" + path for path in re.findall(r"`/api/v1/stores/\{store_id\}(/[^`]+)`", PROTOCOL)
}
