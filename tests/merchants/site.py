"""The shops' routes and the checkout page over the fixtures, and a real server for a real
browser."""

import threading
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from gateway.api.greenfield.mount import greenfield_router
from gateway.api.v1.shops import merchants_router
from gateway.http.clients import Clients
from gateway.http.mounting import mount
from gateway.http.problems import answer_of
from gateway.pages.checkout import checkout_router, new_prices_of
from gateway.pages.checkout_looks import StreamBounds
from gateway.pages.checkout_view import CheckoutPage, PageFacts
from gateway.pages.claim_page import claim_router
from gateway.pages.pos import PRESS_BUDGETS, pos_router
from gateway.trading.budgets import SHOP_BUDGETS, ShopLimits
from gateway.trading.rejection import Rejection
from settlement.protocol.payer_roads import Vault
from tests.merchants.fixtures import DOMAIN

OPERATOR_TOKEN = "operator-token-of-the-rig"
QUICK = StreamBounds(look_seconds=0.05)


def site(
    venue,
    *,
    sandbox=True,
    fresh_seconds=0,
    budgets=SHOP_BUDGETS,
    bounds=QUICK,
    public_url="http://shop.test",
    presses=PRESS_BUDGETS,
):
    """Return an app with the merchants' routes alone; its pages are drawn anew for each look."""
    app, limits = FastAPI(), ShopLimits(budgets)
    shops = merchants_router(venue.merchants, DOMAIN, OPERATOR_TOKEN, public_url, limits=limits)
    mount(app, shops)
    facts = PageFacts(
        "Tillbook devnet",
        sandbox=sandbox,
        explorer_url="https://scan.example/tx/",
        vault=Vault(DOMAIN.chain_id, DOMAIN.contract),
        claim_key=venue.merchants.refunding.refunds.claim_key,
        new_prices=True,
    )
    pages = CheckoutPage(facts)
    checkout = checkout_router(
        venue.merchants.reader,
        pages,
        bounds=bounds,
        requote=new_prices_of(venue.merchants),
        fresh_seconds=fresh_seconds,
    )
    app.include_router(checkout)
    mount(app, greenfield_router(venue.merchants, "http://shop.test", limits=limits))
    app.include_router(pos_router(venue.merchants, pages, Clients(), budgets=presses))
    app.include_router(claim_router(venue.merchants.refunding.refunds, "Tillbook devnet"))

    @app.exception_handler(Rejection)
    async def refuse(_request, rejected):
        return answer_of(rejected)

    return app


@contextmanager
def served(app):
    """Serve ``app`` on a free port of this machine; give its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    )
    started = threading.Event()
    startup = server.startup

    async def tell_when_started(sockets=None):
        await startup(sockets)
        started.set()

    server.startup = tell_when_started
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(30), "the server did not start"
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)
