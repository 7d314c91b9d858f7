"""How can a newcomer trade at once with a tool that he knows?

A funded account whose wallet has approved a session key, and an API key for it: the gateway signs
its orders, as it would for a trader who gives his session key into our keeping.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from gateway.node.node import Stack
from gateway.sandbox import actors
from gateway.sandbox.wallet import Wallet
from gateway.trading.api_keys import HeldKey
from gateway.trading.sessions import Session
from settlement.chain.dev.devchain import dev_secret
from settlement.orders.catalog import Market
from settlement.orders.session_keys import MAY_BUY, MAY_SELL
from settlement.protocol.eip712 import KeyGrant, address_of_secret, grant_digest, keccak256
from settlement.protocol.evidence import SessionLogin
from settlement.protocol.session_proofs import SESSION_SECONDS

GRANT_DAYS: Final = 365
GRANT_DAYS_LEAST: Final = 60
CAP_PIPS: Final = 2**60
POLLS_MAX: Final = 600
POLL_SECONDS: Final = 0.05


def _secret() -> bytes:
    return keccak256(b"the sandbox trader's session key" + dev_secret(actors.GUEST))


def held_keys() -> Mapping[bytes, HeldKey]:
    """Return the session key that the gateway keeps for the demo wallet."""
    account = address_of_secret(dev_secret(actors.GUEST))
    return {account: HeldKey(_secret(), 2**32 - 1)}


async def approve(stack: Stack, wallet: Wallet) -> None:
    """See that the trader's wallet has approved that key, in each market."""
    key = address_of_secret(_secret())
    now = stack.now_ns() // 10**9
    known = stack.parts.keys.grant_of(wallet.address, key)
    if known is not None and known.expiry > now + GRANT_DAYS_LEAST * 86_400:
        return
    grant = grant_of(wallet, key, stack.parts.catalog.markets[0], now)
    signature = wallet.sign_digest(grant_digest(stack.parts.exchange.domain, grant))
    stack.parts.desk.enqueue_grant(grant, signature)
    stack.pace.happened()
    for _ in range(POLLS_MAX):
        if stack.parts.keys.grant_of(wallet.address, key) is not None:
            return
        await asyncio.sleep(POLL_SECONDS)
    structlog.get_logger("trader").warning("the session key is not approved")


def grant_of(wallet: Wallet, key: bytes, market: Market, now: int) -> KeyGrant:
    """Return what the trader's wallet signs for ``key``."""
    return KeyGrant(
        account=wallet.address,
        key=key,
        base=market.base.address,
        quote=market.quote.address,
        sides=MAY_BUY | MAY_SELL,
        expiry=now + GRANT_DAYS * 86_400,
        notional_cap=CAP_PIPS,
        floor_price=1,
        nonce=now,
    )


def greeting(stack: Stack, wallet: Wallet, url: str) -> list[str]:
    """Return what the console says of it."""
    now = stack.now_ns() // 10**9
    proof = SessionLogin(wallet.address, now, wallet.login_signature(now))
    session = Session(wallet.address, now + SESSION_SECONDS, proof)
    minted = stack.api_keys().mint(session, may_trade=True)
    return [
        f"  ccxt and others  {url}/api/v3   docs/how-to/trade-with-ccxt.md",
        f"                   API key  {minted.key}",
        f"                   secret   {minted.secret}",
    ]
