"""What is a shop told of itself, beside its invoices?

That its money is to go elsewhere, that a key was made or works no more, that an endpoint was made
or is told nothing more, that refunds are paid out of another account, that it was closed: what its
people did, or somebody in their name. These events count in a sequence of the store's own.
"""

from typing import Final
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from merchants.records.amounts import hex_of
from merchants.records.api_keys import ApiKey
from merchants.records.endpoints import Endpoint
from merchants.records.people import PayoutChange
from merchants.records.refunds import RefundKey
from merchants.records.tables import Store
from merchants.stores.closing import Closed
from merchants.webhooks.event_types import EventType
from merchants.webhooks.events import Place, append
from settlement.protocol.checksum import checksum_address

NS: Final = 10**9

PAYOUT_EVENTS: Final = {
    "waiting": EventType.PAYOUT_CHANGE_ASKED,
    "cancelled": EventType.PAYOUT_CHANGE_CANCELLED,
    "done": EventType.PAYOUT_CHANGE_DONE,
    "refused": EventType.PAYOUT_CHANGE_REFUSED,
}
"""What is told of a change of the payout wallet, by the state that it has come to."""


class StoreSummary(msgspec.Struct, frozen=True):
    """Which store it is."""

    id: str
    name: str


class PayoutChangeDocument(msgspec.Struct, frozen=True):
    """Another wallet for a store's money; times in unix seconds, ``ended_at`` 0 while it waits."""

    id: str
    wallet: str
    asked_by: str
    asked_at: int
    due_at: int
    ended_at: int
    why: str


class ApiKeyDocument(msgspec.Struct, frozen=True):
    """A key, without anything of the key itself. ``made_by`` is a person, empty if that is not
    known; ``ends_at`` null for one that works on."""

    id: str
    label: str
    scopes: list[str]
    made_by: str
    ends_at: int | None


class EndpointDocument(msgspec.Struct, frozen=True):
    """An endpoint, by the host of its URL: what stands behind that may be a password, and more
    people read events than see endpoints."""

    id: str
    host: str
    why: str


class RefundAccountDocument(msgspec.Struct, frozen=True):
    """The account that refunds are paid out of, and where it is filled; unix seconds."""

    account: str
    top_up_address: str
    ends_at: int


class _Contents(msgspec.Struct, frozen=True, omit_defaults=True):
    sequence: int
    store: StoreSummary
    payout_change: PayoutChangeDocument | None = None
    api_key: ApiKeyDocument | None = None
    endpoint: EndpointDocument | None = None
    refund_account: RefundAccountDocument | None = None


def payout_changed(session: Session, change: PayoutChange, now_ns: int) -> None:
    """Tell what became of a change of the payout wallet."""
    document = PayoutChangeDocument(
        id=change.id,
        wallet=hex_of(change.wallet),
        asked_by=change.asked_by,
        asked_at=change.asked_ns // NS,
        due_at=change.due_ns // NS,
        ended_at=(change.ended_ns or 0) // NS,
        why=change.why or "",
    )
    kind = PAYOUT_EVENTS[change.state]
    _record(session, change.store_id, kind, now_ns, payout_change=document)


def key_changed(session: Session, key: ApiKey, kind: str, now_ns: int) -> None:
    """Tell that a key was ``made``, ``rotated`` or ``revoked``."""
    document = ApiKeyDocument(
        id=key.id,
        label=key.label,
        scopes=key.scopes.split(" "),
        made_by=key.made_by or "",
        ends_at=None if key.ends_ns is None else key.ends_ns // NS,
    )
    _record(session, key.store_id, EventType(f"api_key.{kind}"), now_ns, api_key=document)


def refund_account_changed(session: Session, key: RefundKey, kind: str, now_ns: int) -> None:
    """Tell that a refund account was ``made`` or ``ended``: what lies there is paid by itself."""
    document = RefundAccountDocument(
        account=checksum_address(key.key_address),
        top_up_address=checksum_address(key.top_up_address),
        ends_at=key.expires_ns // NS,
    )
    named = EventType(f"refund_account.{kind}")
    _record(session, key.store_id, named, now_ns, refund_account=document)


def endpoint_made(session: Session, endpoint: Endpoint, now_ns: int) -> None:
    """Tell the store's other endpoints that all they are told is told there too."""
    _tell_others(session, endpoint, EventType.ENDPOINT_MADE, endpoint.why, now_ns)


def endpoint_disabled(session: Session, endpoint: Endpoint, now_ns: int) -> None:
    """Tell the store's other endpoints that this one is told nothing more."""
    _tell_others(session, endpoint, EventType.ENDPOINT_DISABLED, endpoint.why, now_ns)


def endpoint_changed(session: Session, endpoint: Endpoint, why: str, now_ns: int) -> None:
    """Tell the store's other endpoints that this one was turned to something else: whoever did it
    may do more, and it would not say so."""
    _tell_others(session, endpoint, EventType.ENDPOINT_CHANGED, why, now_ns)


def _tell_others(
    session: Session, endpoint: Endpoint, kind: EventType, why: str, now_ns: int
) -> None:
    document = EndpointDocument(endpoint.id, urlsplit(endpoint.url).hostname or "", why)
    session.flush()  # Whom it is told is read from the rows.
    _record(session, endpoint.store_id, kind, now_ns, endpoint=document, but=endpoint.id)


def tell_closed(session: Session, closed: Closed) -> None:
    """Tell that a store was closed: what waits for its endpoints is still sent, nothing comes
    behind it. An ``Ending``."""
    store, now_ns = closed.store, closed.now_ns
    _record(session, store.id, EventType.STORE_CLOSED, now_ns)
    mine = select(Endpoint).where(Endpoint.store_id == store.id, Endpoint.deleted_ns.is_(None))
    for endpoint in session.scalars(mine).all():
        endpoint.deleted_ns, endpoint.why = now_ns, "the store was closed"


def _record(
    session: Session,
    store_id: str,
    kind: EventType,
    now_ns: int,
    *,
    payout_change: PayoutChangeDocument | None = None,
    api_key: ApiKeyDocument | None = None,
    endpoint: EndpointDocument | None = None,
    refund_account: RefundAccountDocument | None = None,
    but: str = "",
) -> None:
    store = session.get_one(Store, store_id)
    store.event_count = (store.event_count or 0) + 1
    summary = StoreSummary(store.id, store.name)
    told = (payout_change, api_key, endpoint, refund_account)
    contents = _Contents(store.event_count, summary, *told)
    append(session, Place(store_id, None, store.event_count), kind, contents, now_ns, but)
