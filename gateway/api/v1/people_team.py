"""Who belongs to a store, where does its money go, and what was done to it?

Another store's people see 404. What gives power or moves money's way takes a confirmation of
exactly that in ``Step-Up``; what takes power from oneself or calls something off takes none.
"""

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from engine.types import MONEY_MAX, Outcome
from gateway.api.v1.encoding import address
from gateway.api.v1.login import bearer_of
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.people_access import (
    PATH,
    AtGate,
    Gate,
    Id,
    InStore,
    StepUpId,
    accepted,
    actor_in,
    needing,
    refused,
    require,
    same_origin,
    signed_in,
)
from gateway.api.v1.people_rows import audit_log, invitation_row, member_row, payout_row
from gateway.api.v1.people_schemas import (
    AskPayoutChange,
    AuditLogReply,
    ChangeMember,
    InvitationsReply,
    Invite,
    InvitedReply,
    MembersReply,
    NamedMember,
    NamedMemberRole,
    PayoutChangeReply,
    PayoutChangesReply,
    canonical,
)
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from merchants.people.audit import AUDIT_PAGE_MAX, NOBODY, store_log
from merchants.people.roles import CHANGE_PAYOUT, MANAGE_TEAM, Actor
from merchants.people.step_ups import Action
from merchants.stores.scopes import VIEW_SETTINGS
from settlement.protocol.checksum import checksum_address

READ = (400, 401, 403, 404, 429, 503)
CHANGE = (400, 401, 403, 404, 413, 429, 503)
MONEY = (400, 401, 403, 404, 409, 413, 422, 429, 503)

router = APIRouter(prefix="/v1/stores/{store_id}", tags=["people"])
ours = [Depends(same_origin)]

Viewer = Annotated[Actor, Depends(needing(VIEW_SETTINGS))]
Leader = Annotated[Actor, Depends(needing(MANAGE_TEAM))]
Payer = Annotated[Actor, Depends(needing(CHANGE_PAYOUT))]


# People


@router.get("/members", openapi_extra=documented(MembersReply, rejections=READ, proof="person"))
async def list_members(gate: AtGate, actor: InStore) -> Response:
    """Return everybody in the store."""
    return await _members(gate, actor.store_id)


async def _members(gate: Gate, store_id: str) -> Response:
    rows = await gate.reads.ask(gate.people.team.members, store_id)
    return Answer(MembersReply([member_row(row) for row in rows]))


@router.patch(
    "/members/{user_id}",
    dependencies=ours,
    openapi_extra=documented(MembersReply, body=ChangeMember, rejections=CHANGE, proof="person"),
)
async def change_member(
    gate: AtGate,
    actor: Leader,
    user_id: Id,
    body: Annotated[ChangeMember, Depends(body_of(ChangeMember))],
    step_up: StepUpId = "",
) -> Response:
    """Give a member another role (``member.change``)."""
    parameters = canonical(NamedMemberRole(user_id, body.role))
    action = Action("member.change", actor.store_id, parameters)
    refusal = gate.people.change_member(actor, user_id, body.role, step_up, action)
    if refusal is not None:
        raise refused(refusal)
    return await _members(gate, actor.store_id)


@router.delete(
    "/members/{user_id}",
    dependencies=ours,
    openapi_extra=documented(MembersReply, rejections=CHANGE, proof="person"),
)
async def remove_member(
    gate: AtGate, actor: Leader, user_id: Id, step_up: StepUpId = ""
) -> Response:
    """Take a member out of the store (``member.remove``)."""
    action = Action("member.remove", actor.store_id, canonical(NamedMember(user_id)))
    refusal = gate.people.change_member(actor, user_id, None, step_up, action)
    if refusal is not None:
        raise refused(refusal)
    return await _members(gate, actor.store_id)


@router.get(
    "/invitations", openapi_extra=documented(InvitationsReply, rejections=READ, proof="person")
)
async def list_invitations(gate: AtGate, actor: Leader) -> Response:
    """Return invitations that nobody has followed yet."""
    return await _invitations(gate, actor.store_id)


async def _invitations(gate: Gate, store_id: str) -> Response:
    rows = await gate.reads.ask(gate.people.team.invitations, store_id)
    return Answer(InvitationsReply([invitation_row(row) for row in rows]))


@router.post(
    "/invitations",
    status_code=201,
    openapi_extra=documented(
        InvitedReply, body=Invite, status=201, rejections=CHANGE, proof="person"
    ),
)
async def invite(
    request: Request,
    gate: AtGate,
    store_id: Id,
    body: Annotated[Invite, Depends(body_of(Invite))],
    step_up: StepUpId = "",
) -> Response:
    """Invite somebody (``invitation.create``); with the operator's token without more."""
    action = Action("invitation.create", store_id, canonical(body))
    given = bearer_of(request).encode()
    if gate.operator_token and hmac.compare_digest(given, gate.operator_token.encode()):
        made = accepted(gate.people.invite(NOBODY, store_id, body.role, None, action))
    else:
        await same_origin(request, gate)
        actor = await actor_in(gate, await signed_in(request, gate), store_id)
        require(actor, MANAGE_TEAM)
        made = accepted(gate.people.invite(actor.person, store_id, body.role, step_up, action))
    url = f"{gate.public_url}{PATH}#invitation={made.token}"
    return Answer(InvitedReply(made.id, url, made.token, made.ends_ns // 10**9), 201)


@router.delete(
    "/invitations/{invitation_id}",
    dependencies=ours,
    openapi_extra=documented(InvitationsReply, rejections=CHANGE, proof="person"),
)
async def withdraw_invitation(gate: AtGate, actor: Leader, invitation_id: Id) -> Response:
    """Call an invitation off."""
    if not gate.people.team.withdraw(actor, invitation_id):
        raise Rejection(Outcome.NOT_FOUND)
    return await _invitations(gate, actor.store_id)


# Where the money goes


@router.get(
    "/payout-changes", openapi_extra=documented(PayoutChangesReply, rejections=READ, proof="person")
)
async def list_payout_changes(gate: AtGate, actor: Viewer) -> Response:
    """Return the store's wallet, and changes of it with what became of them."""
    wallet, rows = await gate.reads.ask(gate.people.payouts.of, actor.store_id)
    return Answer(PayoutChangesReply(checksum_address(wallet), [payout_row(row) for row in rows]))


@router.post(
    "/payout-changes",
    status_code=201,
    dependencies=ours,
    openapi_extra=documented(
        PayoutChangeReply, body=AskPayoutChange, status=201, rejections=MONEY, proof="person"
    ),
)
async def ask_payout_change(
    gate: AtGate,
    actor: Payer,
    body: Annotated[AskPayoutChange, Depends(body_of(AskPayoutChange))],
    step_up: StepUpId = "",
) -> Response:
    """Let another wallet own what the store earns, in 24 hours (``payout.change``)."""
    wallet = address(body.wallet, "wallet")
    action = Action("payout.change", actor.store_id, canonical(body))
    change = accepted(gate.people.ask_payout(actor, wallet, step_up, action))
    return Answer(payout_row(change), 201)


@router.post(
    "/payout-changes/{change_id}/cancel",
    dependencies=ours,
    openapi_extra=documented(PayoutChangeReply, rejections=MONEY, proof="person"),
)
async def cancel_payout_change(gate: AtGate, actor: Payer, change_id: Id) -> Response:
    """Call a change off: any owner may, without more."""
    return Answer(payout_row(accepted(gate.people.payouts.cancel(actor, change_id))))


@router.get("/audit-log", openapi_extra=documented(AuditLogReply, rejections=READ, proof="person"))
async def read_log(
    gate: AtGate,
    actor: Viewer,
    before: Annotated[int | None, Query(ge=0, le=MONEY_MAX)] = None,
    limit: Annotated[int, Query(ge=1, le=AUDIT_PAGE_MAX)] = AUDIT_PAGE_MAX,
) -> Response:
    """Return what was done to the store, the newest first."""
    rows = await gate.reads.ask(store_log, gate.people.database, actor.store_id, before, limit)
    return Answer(audit_log(rows, limit))
