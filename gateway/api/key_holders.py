"""Whose API key of a store does a request carry?

The same for every dialect that shops' programs speak: a wrong key is charged to the address before
the rows are asked, each request to its key. A body is waited for when its key is known, and may
take half a minute: what ended meanwhile asks for nothing any more.
"""

from collections.abc import Collection
from typing import Final

from fastapi import Request

from engine.types import Outcome
from gateway.api.budget_headers import note
from gateway.api.shop_readers import Readers
from gateway.http.clients import Clients
from gateway.trading.budgets import ShopLimits
from gateway.trading.rejection import Rejection
from merchants.stores.api_keys import ApiKeys, Holder

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""What changes nothing."""

SCHEMES: Final = ("bearer", "token")
"""``Bearer``, or ``token`` as BTCPay's clients say."""


def api_key_of(request: Request, schemes: Collection[str] = SCHEMES) -> str:
    """Return the key that a request carries, empty if none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() in schemes else ""


async def holder_of_key(
    request: Request,
    key: str,
    *,
    keys: ApiKeys,
    readers: Readers,
    limits: ShopLimits,
    clients: Clients,
    refusal: str = "no store has this API key",
) -> Holder:
    """Return who asks with ``key``; NOT_AUTHENTICATED, in the words of ``refusal``, if nobody."""
    client = clients.of(request)
    limits.require_guesses(client)
    ended = keys.ended
    holder = await readers.ask(keys.authenticate, key)
    if holder is None:
        limits.guessed_wrong(client)
        raise Rejection(Outcome.NOT_AUTHENTICATED, refusal)
    note(request.scope, limits.request(holder.key_id).left)
    keys.used(holder.key_id)
    if request.method in SAFE:
        return holder
    await request.body()  # Now that it is known whose it is: nobody waits for a stranger's.
    while keys.ended != ended:
        ended = keys.ended
        holder = await readers.ask(keys.authenticate, key)
        if holder is None:
            raise Rejection(Outcome.NOT_AUTHENTICATED, refusal)
    return holder
