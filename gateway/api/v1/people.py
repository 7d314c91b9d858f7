"""How does a person sign in, see himself, and manage what he signs in with?

What a session alone may do is look, and end sessions. Everything that gives power asks for a
confirmation of exactly that (``people_step_ups``), named in the header ``Step-Up``.
"""

from typing import Annotated, Final
from urllib.parse import urlsplit

import segno
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from engine.types import MONEY_MAX, Outcome
from gateway.api.v1 import people_step_ups, people_team
from gateway.api.v1.encoding import ADDRESS_PATTERN, address, unhex
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.people_access import (
    PATH,
    PURPOSE,
    AtGate,
    Gate,
    Id,
    SignedInPerson,
    StepUpId,
    accepted,
    person_of,
    refused,
    same_origin,
)
from gateway.api.v1.people_rows import audit_log, me_row, session_row
from gateway.api.v1.people_schemas import (
    Accept,
    AddPasskey,
    AtDoor,
    AuditLogReply,
    ConfirmTotp,
    Me,
    NamedPasskey,
    Nothing,
    PasskeySignIn,
    RecoveryCodesReply,
    RecoverySignIn,
    Rename,
    SessionsReply,
    SignedIn,
    SignInTerms,
    TotpReply,
    WalletSignIn,
    canonical,
)
from gateway.http.body import body_of
from gateway.http.mounting import Together
from gateway.trading.rejection import Rejection
from gateway.trading.siwe_logon import read_message
from merchants.people.audit import AUDIT_PAGE_MAX, own_log
from merchants.people.codes import totp_uri
from merchants.people.passkeys import decoded
from merchants.people.roles import Person
from merchants.people.sessions import Opened
from merchants.people.step_ups import Action
from merchants.records.rejection import Rejection as Refusal
from settlement.protocol.checksum import checksum_address
from settlement.protocol.eip712 import recover
from settlement.protocol.siwe import personal_digest, resource_of

CODES_WEIGHT: Final = 10
"""Ten recovery codes cost as much as ten proofs."""

READ: Final = (400, 401, 429, 503)
CHANGE: Final = (400, 401, 403, 413, 429, 503)
FIND: Final = (400, 401, 403, 404, 413, 429, 503)
AskedWallet = Annotated[str, Query(max_length=42, pattern=f"({ADDRESS_PATTERN})|^$")]
PasskeyId = Annotated[str, Path(max_length=2_048, pattern="^[A-Za-z0-9_-]+$")]

SIGN_IN: Final = (400, 401, 403, 404, 413, 422, 429, 503)

router = APIRouter(prefix="/v1/people", tags=["people"], dependencies=[Depends(same_origin)])


def people_router(gate: Gate) -> Together:
    """Return all routes of people and of the stores that they belong to."""
    parts = (router, people_step_ups.router, people_team.router)
    return Together(parts, Depends(gate.known))


# Signing in


@router.get("/nonce", openapi_extra=documented(SignInTerms, rejections=READ))
async def nonce(request: Request, gate: AtGate, wallet: AskedWallet = "") -> Response:
    """Return a nonce, and all else that signing in has to name."""
    made, ends = gate.nonces.issue()
    site = gate.site_of(request)
    return Answer(
        SignInTerms(
            nonce=made,
            expires_at=ends,
            domain=urlsplit(site.origin).netloc,
            uri=site.origin + PATH,
            version="1",
            chain_id=gate.domain.chain_id,
            resource=resource_of(gate.domain) + PURPOSE,
            rp_id=site.rp_id,
            wallet=checksum_address(unhex(wallet)) if wallet else "",
            sign_up=gate.people.sign_up,
        )
    )


@router.post(
    "/sessions/wallet",
    status_code=201,
    openapi_extra=documented(SignedIn, body=WalletSignIn, status=201, rejections=SIGN_IN),
)
async def sign_in_wallet(
    request: Request, gate: AtGate, body: Annotated[WalletSignIn, Depends(body_of(WalletSignIn))]
) -> Response:
    """Open a session for the wallet that signed a message of EIP-4361 for this page."""
    network = gate.charge_proof(request)
    site = gate.site_of(request)
    said = read_message(body.message, site.origin, gate.domain, gate.now_ns(), PURPOSE)
    if said.uri != site.origin + PATH:
        raise Rejection(Outcome.NOT_AUTHENTICATED, f"the message's URI is not {site.origin}{PATH}")
    digest = personal_digest(body.message)
    signer = await gate.proofs.ask(recover, digest, unhex(body.signature))
    if signer != said.address and not await _vouched(gate, said.address, digest, body):
        gate.people.guesses.failed(network)
        raise Rejection(Outcome.BAD_SIGNATURE, "another key signed it, or another message")
    gate.nonces.use(said.nonce)  # Last: nobody uses up what another has signed.
    opened = accepted(
        gate.people.sign_in_wallet(said.address, body.invitation, gate.origin_of(request))
    )
    return _signed_in(gate, opened)


async def _vouched(gate: Gate, wallet: bytes, digest: bytes, body: WalletSignIn) -> bool:
    """Return whether a wallet that is a contract stands behind a sign-in. A stranger's, whom it
    would not let in, is not asked."""
    people = gate.people
    if not await gate.reads.ask(people.may_sign_in, wallet, body.invitation):
        return False
    signature = unhex(body.signature)
    return await gate.wallets.ask(people.signers.ask, wallet, digest, signature) is not None


@router.post(
    "/sessions/passkey",
    status_code=201,
    openapi_extra=documented(SignedIn, body=PasskeySignIn, status=201, rejections=SIGN_IN),
)
async def sign_in_passkey(
    request: Request, gate: AtGate, body: Annotated[PasskeySignIn, Depends(body_of(PasskeySignIn))]
) -> Response:
    """Open a session for whose passkey has signed our nonce, with its user verified."""
    network = gate.charge_proof(request)
    proven = await gate.proofs.ask(
        gate.people.proven_passkey,
        body.credential,
        bytes.fromhex(body.nonce) if len(body.nonce) % 2 == 0 else b"",
        gate.site_of(request),
    )
    if proven is None:
        gate.people.guesses.failed(network)
        raise Rejection(Outcome.NOT_AUTHENTICATED, "no such passkey, or it did not sign this")
    gate.nonces.use(body.nonce)
    opened = gate.people.sign_in_passkey(proven, gate.origin_of(request))
    if opened is None:
        raise Rejection(Outcome.NOT_AUTHENTICATED, "this answer was overtaken by another")
    return _signed_in(gate, opened)


@router.post(
    "/sessions/recovery",
    status_code=201,
    openapi_extra=documented(SignedIn, body=RecoverySignIn, status=201, rejections=SIGN_IN),
)
async def sign_in_recovery(
    request: Request,
    gate: AtGate,
    body: Annotated[RecoverySignIn, Depends(body_of(RecoverySignIn))],
) -> Response:
    """Open a short session by a recovery code, which is used up; all others of the account end."""
    network = gate.charge_proof(request)
    wallet = address(body.wallet, "wallet")
    as_seen = f"{wallet.hex()} {network}"
    gate.hold_up(gate.people.guesses.wait_s(as_seen))
    proven = await gate.proofs.ask(gate.people.proven_recovery, wallet, body.code)
    opened = (
        None if proven is None else gate.people.sign_in_recovery(*proven, gate.origin_of(request))
    )
    if opened is None:
        gate.people.guesses.failed(network, as_seen)
        raise Rejection(Outcome.NOT_AUTHENTICATED, "no such account, or no such code of it")
    gate.people.guesses.succeeded(as_seen)
    return _signed_in(gate, opened)


def _signed_in(gate: Gate, opened: Opened) -> Response:
    answer = Answer(SignedIn(opened.session_id, opened.ends_ns // 10**9), 201)
    gate.keep(answer, opened)
    return answer


@router.get("/sessions/this", openapi_extra=documented(AtDoor, rejections=READ))
async def at_door(request: Request, gate: AtGate) -> Response:
    """Return whether who asks is signed in: a page that asks this first is refused nothing."""
    return Answer(AtDoor(await person_of(request, gate) is not None))


@router.get("/sessions", openapi_extra=documented(SessionsReply, rejections=READ, proof="person"))
async def list_sessions(gate: AtGate, person: SignedInPerson) -> Response:
    """Return one's open sessions."""
    return await _sessions(gate, person)


@router.delete(
    "/sessions/{session_id}",
    openapi_extra=documented(SessionsReply, rejections=FIND, proof="person"),
)
async def end_session(gate: AtGate, person: SignedInPerson, session_id: Id) -> Response:
    """End one of one's sessions; ``this`` is the one that asks."""
    name = person.session_id if session_id == "this" else session_id
    if not gate.people.sessions.end(person, name):
        raise Rejection(Outcome.NOT_FOUND)
    answer = await _sessions(gate, person)
    if name == person.session_id:
        gate.forget(answer)
    return answer


async def _sessions(gate: Gate, person: Person) -> Answer:
    rows = await gate.reads.ask(gate.people.sessions.of, person.user_id)
    return Answer(SessionsReply([session_row(row, person.session_id) for row in rows]))


# Oneself


@router.get("/me", openapi_extra=documented(Me, rejections=READ, proof="person"))
async def read_me(gate: AtGate, person: SignedInPerson) -> Response:
    """Return what one is here: passkeys, codes, stores and roles."""
    return await _me(gate, person)


async def _me(gate: Gate, person: Person, status: int = 200) -> Answer:
    account = await gate.reads.ask(gate.people.account, person)
    stores = await gate.reads.ask(gate.people.team.stores_of, person.user_id)
    return Answer(me_row(account, stores, person), status)


@router.patch("/me", openapi_extra=documented(Me, body=Rename, rejections=CHANGE, proof="person"))
async def rename(
    gate: AtGate, person: SignedInPerson, body: Annotated[Rename, Depends(body_of(Rename))]
) -> Response:
    """Be called something else."""
    gate.kept.keeps(f"person {person.user_id}")
    gate.people.rename(person, body.name)
    return await _me(gate, person)


@router.get("/audit-log", openapi_extra=documented(AuditLogReply, rejections=READ, proof="person"))
async def read_own_log(
    gate: AtGate,
    person: SignedInPerson,
    before: Annotated[int | None, Query(ge=0, le=MONEY_MAX)] = None,
    limit: Annotated[int, Query(ge=1, le=AUDIT_PAGE_MAX)] = AUDIT_PAGE_MAX,
) -> Response:
    """Return what one did, the newest first."""
    rows = await gate.reads.ask(own_log, gate.people.database, person.user_id, before, limit)
    return Answer(audit_log(rows, limit))


@router.post(
    "/invitations/acceptance",
    openapi_extra=documented(Me, body=Accept, rejections=FIND, proof="person"),
)
async def accept(
    gate: AtGate, person: SignedInPerson, body: Annotated[Accept, Depends(body_of(Accept))]
) -> Response:
    """Join a store by an invitation, once."""
    accepted(gate.people.accept(person, body.token))
    return await _me(gate, person)


# Passkeys, one-time codes, recovery codes


@router.post(
    "/passkeys",
    status_code=201,
    openapi_extra=documented(Me, body=AddPasskey, status=201, rejections=FIND, proof="person"),
)
async def add_passkey(
    request: Request,
    gate: AtGate,
    person: SignedInPerson,
    body: Annotated[AddPasskey, Depends(body_of(AddPasskey))],
    step_up: StepUpId = "",
) -> Response:
    """Keep a new passkey (``passkey.add``, with its id)."""
    gate.charge_proof(request)
    challenge = bytes.fromhex(body.nonce) if len(body.nonce) % 2 == 0 else b""
    made = await gate.proofs.ask(
        gate.people.proven_new_passkey, body.credential, challenge, gate.site_of(request)
    )
    if made is None:
        raise Rejection(Outcome.MALFORMED, "it was not made for this nonce, here, user verified")
    gate.nonces.use(body.nonce)
    action = Action("passkey.add", "", canonical(NamedPasskey(body.credential.id)))
    _done(gate.people.add_passkey(person, made, body.name, step_up, action))
    return await _me(gate, person, 201)


@router.delete(
    "/passkeys/{passkey_id}", openapi_extra=documented(Me, rejections=FIND, proof="person")
)
async def remove_passkey(
    gate: AtGate, person: SignedInPerson, passkey_id: PasskeyId, step_up: StepUpId = ""
) -> Response:
    """Forget a passkey (``passkey.remove``, with its id)."""
    action = Action("passkey.remove", "", canonical(NamedPasskey(passkey_id)))
    _done(gate.people.remove_passkey(person, decoded(passkey_id), step_up, action))
    return await _me(gate, person)


@router.post("/totp", openapi_extra=documented(TotpReply, rejections=CHANGE, proof="person"))
async def add_totp(gate: AtGate, person: SignedInPerson, step_up: StepUpId = "") -> Response:
    """Make a secret for one-time codes (``totp.add``); confirm it with a code."""
    secret = accepted(gate.people.add_totp(person, step_up, _plain("totp.add")))
    uri = totp_uri(secret, person.user_id)
    return Answer(TotpReply(secret, uri, await gate.proofs.ask(_picture, uri)))


def _picture(uri: str) -> str:
    drawn: str = segno.make(uri, error="m").svg_data_uri(scale=4, border=2)
    return drawn


@router.post(
    "/totp/confirmation",
    openapi_extra=documented(Me, body=ConfirmTotp, rejections=CHANGE, proof="person"),
)
async def confirm_totp(
    request: Request,
    gate: AtGate,
    person: SignedInPerson,
    body: Annotated[ConfirmTotp, Depends(body_of(ConfirmTotp))],
) -> Response:
    """Let one-time codes count, by showing one."""
    gate.charge_proof(request)
    gate.hold_up(gate.people.code_guesses.wait_s(person.user_id))
    if not gate.people.confirm_totp(person, body.code):
        gate.people.code_guesses.failed(person.user_id)
        raise Rejection(Outcome.FORBIDDEN, "that is not the code of now, or they count already")
    gate.people.code_guesses.succeeded(person.user_id)
    return await _me(gate, person)


@router.delete("/totp", openapi_extra=documented(Me, rejections=CHANGE, proof="person"))
async def remove_totp(gate: AtGate, person: SignedInPerson, step_up: StepUpId = "") -> Response:
    """Let one-time codes count no more (``totp.remove``)."""
    _done(gate.people.remove_totp(person, step_up, _plain("totp.remove")))
    return await _me(gate, person)


@router.post(
    "/recovery-codes",
    openapi_extra=documented(RecoveryCodesReply, rejections=CHANGE, proof="person"),
)
async def make_codes(
    request: Request, gate: AtGate, person: SignedInPerson, step_up: StepUpId = ""
) -> Response:
    """Make ten recovery codes (``recovery-codes.make``); those before count no more."""
    if not person.recovered and not step_up:
        raise refused(gate.people.unconfirmed(_plain("recovery-codes.make")))
    gate.charge_proof(request, CODES_WEIGHT)
    codes, kept = await gate.proofs.ask(gate.people.new_codes)
    _done(gate.people.keep_codes(person, kept, step_up, _plain("recovery-codes.make")))
    return Answer(RecoveryCodesReply(codes))


def _plain(kind: str) -> Action:
    return Action(kind, "", canonical(Nothing()))


def _done(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise refused(refusal)
