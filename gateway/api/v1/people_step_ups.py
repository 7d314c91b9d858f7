"""How does a person confirm one action?

He says which it is and gets a random challenge; he answers with what it needs; then the action's
own route takes the challenge's id in ``Step-Up``, once.
"""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from engine.types import Outcome
from gateway.api.v1.encoding import unhex
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.people_access import (
    AtGate,
    Id,
    SignedInPerson,
    accepted,
    actor_in,
    require,
    same_origin,
)
from gateway.api.v1.people_schemas import (
    PARAMETERS,
    PARAMETERS_SIZE_MAX,
    AnswerStepUp,
    BeginStepUp,
    StepUpGranted,
    StepUpReply,
    canonical,
)
from gateway.http.body import DECODE_ERRORS, body_of, malformed
from gateway.trading.rejection import Rejection
from merchants.people.passkeys import encoded
from merchants.people.people import Answer as Given
from merchants.people.step_ups import ACTIONS, TOTP, WALLET, Action
from settlement.protocol.checksum import checksum_address
from settlement.protocol.eip712 import recover
from settlement.protocol.siwe import personal_digest

FIND = (400, 401, 403, 404, 413, 429, 503)

router = APIRouter(
    prefix="/v1/people/step-ups", tags=["people"], dependencies=[Depends(same_origin)]
)


@router.post(
    "",
    status_code=201,
    openapi_extra=documented(
        StepUpReply, body=BeginStepUp, status=201, rejections=FIND, proof="person"
    ),
)
async def begin(
    request: Request,
    gate: AtGate,
    person: SignedInPerson,
    body: Annotated[BeginStepUp, Depends(body_of(BeginStepUp))],
) -> Response:
    """Ask to confirm an action; the answer says what is needed."""
    action = _action(body)
    scope = ACTIONS[body.kind].scope
    if scope:
        require(await actor_in(gate, person, body.store_id), scope)
    elif body.store_id:
        raise Rejection(Outcome.MALFORMED, "this is about yourself and names no store")
    site = gate.site_of(request)
    asked = accepted(gate.people.step_ups.begin(person, action, site.origin))
    return Answer(
        StepUpReply(
            id=asked.id,
            needs=list(asked.needs),
            challenge=encoded(asked.challenge),
            rp_id=site.rp_id,
            passkeys=[encoded(key) for key in asked.passkeys],
            wallet=None if asked.wallet is None else checksum_address(asked.wallet),
            message=asked.message,
            expires_at=asked.ends_ns // 10**9,
        ),
        201,
    )


def _action(body: BeginStepUp) -> Action:
    shape = PARAMETERS.get(body.kind)
    if shape is None:
        known = ", ".join(sorted(PARAMETERS))
        raise Rejection(Outcome.MALFORMED, f"kind is one of {known}")
    given = bytes(body.parameters)
    if len(given) > PARAMETERS_SIZE_MAX:
        raise Rejection(Outcome.MALFORMED, f"parameters have at most {PARAMETERS_SIZE_MAX} bytes")
    try:
        parameters = msgspec.json.decode(given, type=shape)
    except DECODE_ERRORS as error:
        raise malformed(error) from None
    return Action(body.kind, body.store_id, canonical(parameters))


@router.post(
    "/{step_up_id}/answer",
    openapi_extra=documented(StepUpGranted, body=AnswerStepUp, rejections=FIND, proof="person"),
)
async def answer(
    request: Request,
    gate: AtGate,
    person: SignedInPerson,
    step_up_id: Id,
    body: Annotated[AnswerStepUp, Depends(body_of(AnswerStepUp))],
) -> Response:
    """Answer a challenge with all that it needs; a few wrong answers end it."""
    network = gate.charge_proof(request)
    asked = await gate.reads.ask(gate.people.step_ups.asked, person, step_up_id)
    if asked is None:
        raise Rejection(Outcome.NOT_FOUND, "no such challenge waits for this session's answer")
    if TOTP in asked.needs:
        gate.hold_up(gate.people.code_guesses.wait_s(person.user_id))
    signature = b"" if body.signature is None else unhex(body.signature)
    vouched = None
    if WALLET in asked.needs and asked.wallet is not None and signature:
        digest = personal_digest(asked.message)
        # Who has a key waits for no node, however slow.
        if await gate.proofs.ask(recover, digest, signature) != asked.wallet:
            ask = gate.people.signers.ask
            vouched = await gate.wallets.ask(ask, asked.wallet, digest, signature)
    given = Given(body.passkey, body.code, signature, vouched)
    answered = await gate.proofs.ask(
        gate.people.proven_answer, person, asked, given, gate.site_of(request)
    )
    if answered is None or not gate.people.answer(person, step_up_id, answered):
        gate.people.step_ups.failed(step_up_id)
        gate.people.guesses.failed(network)
        if TOTP in asked.needs:
            gate.people.code_guesses.failed(person.user_id)
        needs = " and ".join(asked.needs)
        raise Rejection(Outcome.FORBIDDEN, f"that is not what it needs: {needs}")
    gate.people.code_guesses.succeeded(person.user_id)
    return Answer(StepUpGranted(asked.id, asked.ends_ns // 10**9))
