"""What is served to BTCPay's clients?"""

from fastapi import Depends

from gateway.api.greenfield import invoices, refunds, stores, webhooks
from gateway.api.greenfield.doors import Greenfield
from gateway.api.shop_readers import Readers
from gateway.http.clients import Clients
from gateway.http.mounting import Together
from gateway.trading.budgets import SHOP_BUDGETS, ShopLimits
from merchants.service import Merchants
from merchants.webhooks.greenfield_words import NETWORK


def greenfield_router(
    merchants: Merchants,
    public_url: str,
    *,
    network: str = NETWORK,
    clients: Clients | None = None,
    limits: ShopLimits | None = None,
) -> Together:
    """Return the dialect's routes. ``public_url`` is where customers reach us, without a slash at
    the end; ``network`` stands in ids of payment methods, ``clients`` knows the operator's
    proxies, ``limits`` are those of all dialects."""
    limits = limits or ShopLimits(SHOP_BUDGETS)
    here = Greenfield(merchants, public_url, network, Readers(), limits, clients or Clients())
    parts = tuple(part.router for part in (invoices, refunds, stores, webhooks))
    return Together(parts, Depends(here.known))
