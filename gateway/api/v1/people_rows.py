"""How do people, their sessions and what they did look in JSON?"""

from collections.abc import Sequence
from typing import Final

from gateway.api.v1.people_schemas import (
    AuditLogReply,
    AuditReply,
    InvitationReply,
    Me,
    MemberReply,
    MyStore,
    PasskeyReply,
    PayoutChangeReply,
    SessionReply,
)
from merchants.people.passkeys import encoded
from merchants.people.people import Account
from merchants.people.roles import Person, Role, scopes_in
from merchants.people.team import Member, Mine
from merchants.records.people import AuditRow, Invitation, PayoutChange, SignIn
from settlement.protocol.checksum import checksum_address

NS: Final = 10**9


def session_row(row: SignIn, this: str) -> SessionReply:
    """Return one session; ``this`` is the one that asks."""
    return SessionReply(
        id=row.id,
        created_at=row.created_ns // NS,
        used_at=row.used_ns // NS,
        ends_at=row.ends_ns // NS,
        network=row.network,
        agent=row.agent,
        is_this=row.id == this,
    )


def me_row(account: Account, stores: Sequence[Mine], person: Person) -> Me:
    """Return what somebody sees of himself."""
    user = account.user
    return Me(
        id=user.id,
        name=user.name,
        wallet=_wallet(user.wallet),
        passkeys=[
            PasskeyReply(encoded(key.id), key.name, key.created_ns // NS, key.used_ns // NS)
            for key in account.passkeys
        ],
        totp=user.totp_confirmed,
        recovery_codes_left=account.codes_left,
        stores=[
            MyStore(
                store.store_id,
                store.name,
                store.role,
                sorted(scopes_in(store.role, is_closed=store.closed_ns is not None)),
                None if store.closed_ns is None else store.closed_ns // NS,
            )
            for store in stores
        ],
        recovered=person.recovered,
    )


def member_row(member: Member) -> MemberReply:
    """Return somebody in a store."""
    wallet = _wallet(member.wallet)
    return MemberReply(member.user_id, member.name, wallet, member.role, member.since_ns // NS)


def invitation_row(row: Invitation) -> InvitationReply:
    """Return an open invitation, without its token: of that there is a hash."""
    return InvitationReply(row.id, Role(row.role), row.invited_by, row.ends_ns // NS)


def payout_row(row: PayoutChange) -> PayoutChangeReply:
    """Return a change of a store's wallet."""
    return PayoutChangeReply(
        id=row.id,
        wallet=checksum_address(row.wallet),
        asked_by=row.asked_by,
        asked_at=row.asked_ns // NS,
        due_at=row.due_ns // NS,
        state=row.state,
        ended_by=row.ended_by,
        ended_at=row.ended_ns // NS,
        why=row.why,
    )


def audit_log(rows: Sequence[AuditRow], limit: int) -> AuditLogReply:
    """Return a page of the log."""
    return AuditLogReply(
        [
            AuditReply(
                id=row.id,
                at=row.at_ns // NS,
                user_id=row.user_id,
                network=row.network,
                kind=row.kind,
                subject=row.subject,
                before_hash=row.before_hash.hex(),
                after_hash=row.after_hash.hex(),
                times=row.times,
            )
            for row in rows
        ],
        rows[-1].id if len(rows) == limit else None,
    )


def _wallet(wallet: bytes | None) -> str | None:
    return None if wallet is None else checksum_address(wallet)
