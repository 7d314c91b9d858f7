"""What may a person who is signed in ask of a shop's routes, without an API key?

What his role lets him, in the store that the path or the header ``Tillbook-Store`` names. A route
that is not in the table is for API keys alone. What gives power takes a confirmation of exactly
that request (``Step-Up``), and whatever changes something comes from a page of ours.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
from fastapi import Request

from engine.types import Outcome
from gateway.api.v1.people_access import Gate, actor_in, refused, require, same_origin, signed_in
from gateway.api.v1.people_schemas import PARAMETERS, canonical
from gateway.http.body import DECODE_ERRORS, malformed
from gateway.trading.rejection import Rejection
from merchants.people.roles import (
    CREATE_INVOICE,
    MODIFY_SETTINGS,
    MODIFY_WEBHOOKS,
    VIEW_INVOICES,
    VIEW_SETTINGS,
    Actor,
)
from merchants.people.step_ups import Action

STORE_HEADER: Final = "tillbook-store"


class Rule(NamedTuple):
    """The scope that a route takes, and which action it is where it has to be confirmed."""

    scope: str
    action: str = ""


RULES: Final[Mapping[tuple[str, str], Rule]] = MappingProxyType(
    {
        ("GET", "/v1/invoices"): Rule(VIEW_INVOICES),
        ("GET", "/v1/invoices/{invoice_id}"): Rule(VIEW_INVOICES),
        ("GET", "/v1/invoices/{invoice_id}/conversions"): Rule(VIEW_INVOICES),
        ("GET", "/v1/invoices/{invoice_id}/receipt"): Rule(VIEW_INVOICES),
        ("GET", "/v1/events"): Rule(VIEW_INVOICES),
        ("POST", "/v1/invoices"): Rule(CREATE_INVOICE),
        ("GET", "/v1/stores/{store_id}"): Rule(VIEW_SETTINGS),
        ("GET", "/v1/stores/{store_id}/grants"): Rule(VIEW_SETTINGS),
        # What a wallet has to sign is worth nothing until it has.
        ("POST", "/v1/stores/{store_id}/grants"): Rule(MODIFY_SETTINGS),
        ("POST", "/v1/stores/{store_id}/grants/{grant_id}/approval"): Rule(MODIFY_SETTINGS),
        ("DELETE", "/v1/stores/{store_id}/grants/{grant_id}"): Rule(MODIFY_SETTINGS),
        ("GET", "/v1/stores/{store_id}/webhook-deliveries"): Rule(VIEW_SETTINGS),
        ("POST", "/v1/stores/{store_id}/webhook-secret"): Rule(
            MODIFY_WEBHOOKS, "webhook-secret.rotate"
        ),
    }
)


async def person_in_store(request: Request, gate: Gate) -> Actor:
    """Return who asks and in which store, where his role lets him do what ``request`` asks for.

    Raises NOT_AUTHENTICATED, NOT_FOUND for a store that is not his, and FORBIDDEN.
    """
    rule = RULES.get((request.method, _template(request)))
    person = await signed_in(request, gate)
    if rule is None:
        raise Rejection(Outcome.FORBIDDEN, "this takes an API key of the store")
    await same_origin(request, gate)
    store_id = request.path_params.get("store_id") or request.headers.get(STORE_HEADER, "")
    actor = await actor_in(gate, person, store_id[:64])
    require(actor, rule.scope)
    if rule.action:
        await _confirm(request, gate, actor, rule.action)
    return actor


def _template(request: Request) -> str:
    path: str = getattr(request.scope.get("route"), "path", "")
    return path


async def _confirm(request: Request, gate: Gate, actor: Actor, kind: str) -> None:
    """Use up the confirmation of exactly this request."""
    body = await request.body() or b"{}"
    try:
        parameters = msgspec.json.decode(body, type=PARAMETERS[kind])
    except DECODE_ERRORS as error:
        raise malformed(error) from None
    action = Action(kind, actor.store_id, canonical(parameters))
    step_up = request.headers.get("step-up", "")[:64]
    refusal = gate.people.confirm(actor.person, step_up, action)
    if refusal is not None:
        raise refused(refusal)
