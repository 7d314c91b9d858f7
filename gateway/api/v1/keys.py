"""How does a wallet let a session key trade for it, without gas, and see what its keys may?

The wallet signs the contract's ``KeyGrant``; the operator sends it. A key is live when the contract
says so and the block is deep enough.
"""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request

from engine.types import Outcome
from gateway.api.dependencies import Entry, Here, Life, Me, charged, told
from gateway.api.v1.encoding import ADDRESS_PATTERN, address, hexed, uint64, unhex
from gateway.api.v1.key_schemas import GrantKey, GrantRelayed, KeyRow, Keys, RevokeKey
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.orders import wrong_signer
from gateway.http.body import body_of
from gateway.trading.key_grants import require_grantable
from gateway.trading.rejection import Rejection
from settlement.orders.session_keys import GrantedKey
from settlement.ports import ExchangePort
from settlement.protocol.eip712 import (
    GRANT_TYPE,
    REVOCATION_TYPE,
    KeyGrant,
    KeyRevocation,
    grant_digest,
    revocation_digest,
)

UNDER_WAY: Final = frozenset({"sealed", "signed", "broadcast"})
"""States of a relay that the chain has not heard of."""

router = APIRouter(prefix="/v1", tags=["trading"])


@router.post(
    "/keys",
    status_code=202,
    dependencies=[Depends(charged), Depends(told)],
    openapi_extra=documented(
        GrantRelayed,
        body=GrantKey,
        status=202,
        rejections=(400, 401, 403, 404, 409, 413, 422, 429, 503),
    ),
)
async def grant_key(
    services: Here,
    entry: Entry,
    life: Life,
    asked: Annotated[GrantKey, Depends(body_of(GrantKey))],
) -> Answer:
    """Take a wallet's approval of a session key and see that the contract gets it.

    The same approval again tells how far it is.
    """
    life.require_open()
    grant = KeyGrant(
        account=address(asked.account, "account"),
        key=address(asked.key, "key"),
        base=address(asked.base, "base"),
        quote=address(asked.quote, "quote"),
        sides=asked.sides,
        expiry=asked.expiry,
        notional_cap=uint64(asked.notional_cap, "notionalCap"),
        floor_price=uint64(asked.floor_price, "floorPrice"),
        nonce=uint64(asked.nonce, "nonce"),
    )
    exchange, signature = services.exchange, unhex(asked.signature)
    digest = grant_digest(exchange.domain, grant)
    signer = await entry.signer_of(digest, signature)
    if signer != grant.account:
        raise wrong_signer(Outcome.BAD_SIGNATURE, exchange.domain, digest, GRANT_TYPE, signer)
    found = await asyncio.to_thread(services.settlement.grant_state, signature)
    if found is None:
        require_grantable(exchange, grant)
        services.limits.grant(grant.account)
        await asyncio.to_thread(services.settlement.enqueue_grant, grant, signature)
        return Answer(GrantRelayed(hexed(digest), "sealed", None), 202)
    return Answer(GrantRelayed(hexed(digest), found.state, found.error), 202)


@router.delete(
    "/keys/{key}",
    status_code=202,
    dependencies=[Depends(charged), Depends(told)],
    openapi_extra=documented(
        GrantRelayed,
        body=RevokeKey,
        status=202,
        rejections=(400, 401, 403, 413, 429, 503),
    ),
)
async def revoke_key(
    services: Here,
    entry: Entry,
    key: Annotated[str, Path(pattern=ADDRESS_PATTERN)],
    asked: Annotated[RevokeKey, Depends(body_of(RevokeKey))],
) -> Answer:
    """Take a wallet's signed revocation of a session key and see that the contract gets it.

    From now on this process takes no order of the key, unless the contract would refuse what was
    signed; its open orders are cancelled, and no process takes one, when the chain says so.
    """
    account, signature = address(asked.account, "account"), unhex(asked.signature)
    revocation = KeyRevocation(account, address(key, "key"), uint64(asked.nonce, "nonce"))
    exchange = services.exchange
    digest = revocation_digest(exchange.domain, revocation)
    signer = await entry.signer_of(digest, signature)
    if signer != account:
        raise wrong_signer(Outcome.BAD_SIGNATURE, exchange.domain, digest, REVOCATION_TYPE, signer)
    found = await asyncio.to_thread(services.settlement.grant_state, signature)
    if found is None:
        if not any(
            k.grant.key == revocation.key and not k.is_revoked for k in exchange.keys_of(account)
        ):
            raise Rejection(Outcome.UNKNOWN_KEY, "the account has no such key that is live")
        services.limits.grant(account)
    elif found.state not in UNDER_WAY:
        # The chain has shown it, and maybe a newer grant since: its signature, which stands there
        # for all to copy, says nothing more.
        return Answer(GrantRelayed(hexed(digest), found.state, found.error), 202)
    # Once more where it is known: it may be from before a restart.
    if await asyncio.to_thread(services.settlement.enqueue_revocation, revocation, signature):
        exchange.refuse_key(account, revocation.key)
    state = "sealed" if found is None else found.state
    return Answer(GrantRelayed(hexed(digest), state, None), 202)


@router.get(
    "/keys",
    dependencies=[Depends(charged)],
    openapi_extra=documented(Keys, rejections=(401, 429), proof="session"),
)
async def list_keys(request: Request, services: Here, me: Me) -> Answer:
    """Return the session keys that the account has granted, as the contract says, and what each may
    still trade."""
    found = services.exchange.keys_of(me.account)
    return Answer(Keys([_row(services.exchange, key) for key in found]))


def _row(exchange: ExchangePort, key: GrantedKey) -> KeyRow:
    grant = key.grant
    market = exchange.catalog.market_of_pair(grant.base, grant.quote)
    is_over = grant.expiry <= exchange.now_ns() // 10**9
    return KeyRow(
        key=hexed(grant.key),
        state="revoked" if key.is_revoked else "expired" if is_over else "live",
        market=None if market is None else market.symbol,
        base=hexed(grant.base),
        quote=hexed(grant.quote),
        sides=grant.sides,
        expiry=grant.expiry,
        notional_cap=str(grant.notional_cap),
        notional_left=str(key.notional_left),
        floor_price=str(grant.floor_price),
    )
