"""What may a person who is signed in ask of a shop's routes, without an API key?

In the store that the path or the header ``Tillbook-Store`` names, what his role lets him: each
route asks for its scope. Of what changes something only what stands in ``CHANGES``, from a page of
ours; what gives power takes a confirmation of exactly that request (``Step-Up``).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from fastapi import Request

from engine.types import Outcome
from gateway.api.key_holders import SAFE
from gateway.api.v1.people_access import (
    Gate,
    actor_in,
    refused,
    require,
    same_origin,
    signed_in,
)
from gateway.api.v1.people_schemas import PARAMETERS, canonical
from gateway.http.body import DECODE_ERRORS, malformed
from gateway.trading.rejection import Rejection
from merchants.people.roles import Actor
from merchants.people.step_ups import ACTIONS, Action
from merchants.records.tables import Store

STORE_HEADER: Final = "tillbook-store"

_STORE: Final = "/v1/stores/{store_id}"
_REFUND: Final = "/v1/refunds/{refund_id}"

CHANGES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("POST", "/v1/invoices"): "",
        # What a wallet has to sign is worth nothing until it has.
        ("POST", f"{_STORE}/grants"): "",
        ("POST", f"{_STORE}/grants/{{grant_id}}/approval"): "",
        ("DELETE", f"{_STORE}/grants/{{grant_id}}"): "",
        # Swept to the shop's own account; so many a day, whoever asks.
        ("POST", "/v1/invoices/{invoice_id}/rescan"): "",
        # The customer's page may do as much.
        ("POST", "/v1/invoices/{invoice_id}/requote"): "",
        # Until the period is closed, which takes an API key: it is for good.
        ("PUT", f"{_STORE}/lot-choices/{{trade}}"): "",
        ("PATCH", _STORE): "store.change",
        ("DELETE", _STORE): "store.close",
        ("PUT", f"{_STORE}/conversion-policy"): "policy.change",
        ("PUT", f"{_STORE}/exception-policies"): "exceptions.change",
        ("PUT", f"{_STORE}/confirmations"): "confirmations.change",
        ("PUT", f"{_STORE}/embedding"): "embedding.change",
        ("POST", f"{_STORE}/pay-buttons"): "pay-button.create",
        ("DELETE", f"{_STORE}/pay-buttons/{{button_id}}"): "",
        ("POST", f"{_STORE}/refund-key"): "refund-key.create",
        # What it has left goes to the store's wallet.
        ("DELETE", f"{_STORE}/refund-key"): "",
        ("POST", f"{_STORE}/api-keys"): "api-key.create",
        ("POST", f"{_STORE}/api-keys/{{key_id}}/rotation"): "api-key.rotate",
        ("DELETE", f"{_STORE}/api-keys/{{key_id}}"): "",
        ("POST", f"{_STORE}/webhooks"): "webhook.create",
        ("PATCH", f"{_STORE}/webhooks/{{endpoint_id}}"): "webhook.change",
        ("DELETE", f"{_STORE}/webhooks/{{endpoint_id}}"): "webhook.delete",
        ("POST", f"{_STORE}/applications"): "api-key.authorize",
        ("POST", f"{_STORE}/webhooks/{{endpoint_id}}/secret"): "webhook-secret.rotate",
        ("POST", f"{_STORE}/webhooks/{{endpoint_id}}/ping"): "",
        ("POST", f"{_STORE}/webhook-deliveries/{{delivery_id}}/redelivery"): "",
        ("POST", "/v1/invoices/{invoice_id}/refunds"): "refund.create",
        ("POST", f"{_REFUND}/approve"): "refund.approve",
        ("POST", f"{_REFUND}/cancel"): "",
        ("POST", f"{_REFUND}/mark-paid"): "refund.mark-paid",
        ("POST", f"{_REFUND}/claim-link"): "refund.claim-link",
        # The wallet's signature is the confirmation.
        ("POST", f"{_REFUND}/withdrawal"): "",
        ("POST", f"{_REFUND}/signature"): "",
    }
)
"""What a person may change, and which action it is where that has to be confirmed. A route that is
not here is for API keys alone."""


async def person_in_store(request: Request, gate: Gate) -> tuple[Actor, Store]:
    """Return who asks and in which store; what he may there the route itself asks. Behind the look
    at his confirmation nothing is waited for: no other request comes between it and the deed.

    Raises NOT_AUTHENTICATED, NOT_FOUND for a store that is not his, and FORBIDDEN.
    """
    person = await signed_in(request, gate)
    kind = "" if request.method in SAFE else CHANGES.get((request.method, _template(request)))
    if kind is None:
        raise Rejection(Outcome.FORBIDDEN, "this takes an API key of the store")
    await same_origin(request, gate)
    store_id = request.path_params.get("store_id") or request.headers.get(STORE_HEADER, "")
    actor = await actor_in(gate, person, store_id[:64])
    store = await gate.reads.ask(gate.people.team.store, actor.store_id)
    if kind:
        require(actor, ACTIONS[kind].scope)
        await _confirm(request, gate, actor, kind)
    return actor, store


def _template(request: Request) -> str:
    path: str = getattr(request.scope.get("route"), "path", "")
    return path


async def _confirm(request: Request, gate: Gate, actor: Actor, kind: str) -> None:
    """Use up the confirmation of exactly this request."""
    body = await request.body() or b"{}"
    path = {name: value for name, value in request.path_params.items() if name != "store_id"}
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
        parameters = msgspec.convert(said | path, PARAMETERS[kind])
    except DECODE_ERRORS as error:
        raise malformed(error) from None
    action = Action(kind, actor.store_id, canonical(parameters))
    step_up = request.headers.get("step-up", "")[:64]
    refusal = gate.people.confirm(actor.person, step_up, action)
    if refusal is not None:
        raise refused(refusal)
