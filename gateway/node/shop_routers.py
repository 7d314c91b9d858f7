"""Which routes do shops, their people and their customers have?

One list for whoever serves a ``Stack``: an operator, the sandbox, the story.
"""

from fastapi import APIRouter

from gateway.api.greenfield.mount import greenfield_router
from gateway.api.v1.people import people_router
from gateway.api.v1.shops import merchants_router
from gateway.api.x402.facilitator import Facilitator
from gateway.api.x402.routes import X402Routes
from gateway.http.clients import Clients
from gateway.http.mounting import Together
from gateway.node.checkout_facts import facts_of
from gateway.node.node import Stack
from gateway.pages.authorize import authorize_router
from gateway.pages.checkout import checkout_router, new_prices_of
from gateway.pages.checkout_view import CheckoutPage
from gateway.pages.claim_page import claim_router
from gateway.pages.dashboard import dashboard_router
from gateway.pages.pos import pos_router
from gateway.trading.budgets import SHOP_BUDGETS, ShopLimits


def shop_routers(stack: Stack, public_url: str, network: str) -> list[APIRouter | Together]:
    """Return the routes. ``public_url`` is where browsers reach us, ``network`` the chain's name as
    customers know it."""
    settings, merchants = stack.settings, stack.parts.merchants
    clients = Clients(settings.trusted_proxies)
    limits = ShopLimits(SHOP_BUDGETS)
    gate, domain = stack.gate(public_url, limits), stack.parts.exchange.domain
    token = stack.operator_token()
    facilitator = Facilitator(
        stack.parts.exchange.catalog,
        stack.parts.authorizations,
        merchants.reader.payable_at,
        domain.chain_id,
        stack.now_ns,
    )
    catalog = stack.parts.exchange.catalog
    checkout = CheckoutPage(facts_of(stack, network))
    return [
        X402Routes(merchants, catalog, facilitator, clients, limits).router,
        merchants_router(
            merchants, domain, token, public_url, gate, clients=clients, limits=limits
        ),
        greenfield_router(merchants, public_url, clients=clients, limits=limits),
        people_router(gate),
        dashboard_router(sandbox=settings.sandbox),
        authorize_router(sandbox=settings.sandbox),
        claim_router(merchants.refunding.refunds, network),
        checkout_router(
            merchants.reader, checkout, clients=clients, requote=new_prices_of(merchants)
        ),
        pos_router(merchants, checkout, clients),
    ]
