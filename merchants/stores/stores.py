"""Who are the shops, how do they prove it, and what has their wallet allowed us to do?

A store is bound to one wallet and one market. The server makes a session key for it and asks the
wallet to sign a ``KeyGrant``: sell base for quote, until a date, up to a notional, never under a
floor price. That is all the server can do with a merchant's money.
"""

import hashlib
import hmac
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import msgspec
from sqlalchemy import Engine, func, select

from engine.types import PIPS_PER_TOKEN, Outcome
from merchants.records.database import is_there, reading, transaction
from merchants.records.rejection import Rejection
from merchants.records.tables import Store
from merchants.stores.keyring import SECRET_SIZE, Keyring
from settlement.orders.catalog import Market
from settlement.ports import ExchangePort, SettlementPort
from settlement.protocol.eip712 import (
    DOMAIN_NAME,
    DOMAIN_VERSION,
    GRANT_TYPE,
    Domain,
    KeyGrant,
    address_of_secret,
    grant_digest,
    recover,
)

SIDES_SELL: Final = 2
"""Bit 1 of ``KeyGrant.sides``: the key may sell and may not buy."""

FLOOR_DIVISOR: Final = 2
"""A store's floor price, if it asks for none, is the present price divided by this."""

API_KEY_SIZE: Final = 32
STORE_OF_KEY: Final = "SELECT 1 FROM stores WHERE api_key_hash = ?"
WEBHOOK_SECRET_SIZE: Final = 32

TypedFields = list[dict[str, str]]


class StoreRequest(NamedTuple):
    """What a new store asks for.

    ``wallet`` is an address; ``market`` a symbol, for example ``TOKEN-USD``; ``name`` is what
    customers read. ``slippage_ppm`` is how far under the quote a conversion may sell,
    ``lifetime_s`` how long an invoice waits.
    ``key_lifetime_s``, ``notional_cap`` and ``floor_price`` (quote pips in all, and per whole
    base token) bound the session key; without a ``floor_price`` it is half of what the token is
    worth now. ``tolerance_ppm`` and ``tolerance_pips`` say what may be missing of a price, as a
    share or as an amount, whichever is more. No ``webhook_url`` means no webhooks.
    """

    wallet: bytes
    market: str
    name: str = ""
    webhook_url: str = ""
    slippage_ppm: int = 5_000
    lifetime_s: int = 15 * 60
    key_lifetime_s: int = 90 * 24 * 3600
    notional_cap: int = 10**6 * 10**8
    floor_price: int | None = None
    tolerance_ppm: int = 1_000
    tolerance_pips: int = 0


class StoreCreated(NamedTuple):
    """The only answer that ever carries the API key and the webhook secret."""

    store_id: str
    api_key: str
    webhook_secret: str
    grant: KeyGrant


class TypedGrant(msgspec.Struct, frozen=True):
    """EIP-712 JSON as ``eth_signTypedData_v4`` takes it; integers are decimal strings."""

    types: dict[str, TypedFields]
    primaryType: str  # noqa: N815 -- the name that wallets expect
    domain: dict[str, str | int]
    message: dict[str, str]


def typed_grant(domain: Domain, grant: KeyGrant) -> TypedGrant:
    """Return what the merchant's wallet shows and signs."""
    name, _, rest = GRANT_TYPE.partition("(")
    fields = [field.split(" ") for field in rest.rstrip(")").split(",")]
    shown = ("0x" + v.hex() if isinstance(v, bytes) else str(v) for v in grant)
    return TypedGrant(
        types={
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            name: [{"name": field, "type": kind} for kind, field in fields],
        },
        primaryType=name,
        domain={
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": domain.chain_id,
            "verifyingContract": "0x" + domain.contract.hex(),
        },
        message=dict(zip((field for _, field in fields), shown, strict=True)),
    )


def grant_of(store: Store) -> KeyGrant:
    """Return the grant that ``store``'s wallet has signed or has to sign."""
    return KeyGrant(
        account=store.wallet,
        key=store.key_address,
        base=store.base,
        quote=store.quote,
        sides=SIDES_SELL,
        expiry=store.grant_expiry,
        notional_cap=store.grant_notional_cap,
        floor_price=store.grant_floor_price,
        nonce=store.grant_nonce,
    )


def _api_key_hash(api_key: str) -> bytes:
    """Hash once without salt: the key is 256 random bits, no dictionary reaches it."""
    return hashlib.sha256(api_key.encode()).digest()


class TradedPrices(Protocol):
    """Who knows what a market's last trades paid."""

    def traded_ticks(self, market: Market, base_pips: int, now_ns: int) -> int | None:
        """Return ticks, or None where too little was traded."""


class Reachable(Protocol):
    """Who knows where webhooks may go."""

    def rejection(self, url: str) -> str:
        """Return why nothing may be sent to ``url``, in words; empty if something may."""


class Stores:
    """Stores, their API keys and their wallets' approvals."""

    def __init__(
        self,
        *,
        database: Engine,
        exchange: ExchangePort,
        settlement: SettlementPort,
        keyring: Keyring,
        prices: TradedPrices,
        egress: Reachable,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._settlement = settlement
        self._keyring = keyring
        self._prices = prices
        self._egress = egress
        self._clock = clock
        self._entropy = entropy

    def create(self, request: StoreRequest) -> StoreCreated | Rejection:
        """Make a store with a fresh session key.

        Rejects UNKNOWN_MARKET, BAD_WALLET for an address that nobody can sign for,
        BAD_WEBHOOK_URL for one that can never be sent to, and FLOOR_MISSING where no floor price
        is asked for and none is known.
        """
        market = self._exchange.catalog.market(request.market)
        if market is None:
            return Rejection(Outcome.UNKNOWN_MARKET, {"market": request.market})
        if self._exchange.is_lost(request.wallet):
            return Rejection(Outcome.BAD_WALLET, {"wallet": "0x" + request.wallet.hex()})
        unreachable = self._egress.rejection(request.webhook_url) if request.webhook_url else ""
        if unreachable:
            return Rejection(Outcome.BAD_WEBHOOK_URL, {"why": unreachable})

        now_ns = self._clock()
        floor_price = self._floor_price(market, request, now_ns)
        if isinstance(floor_price, Rejection):
            return floor_price

        secret = self._entropy(SECRET_SIZE)
        api_key = "tbk_" + urlsafe_b64encode(self._entropy(API_KEY_SIZE)).decode().rstrip("=")
        webhook_secret = "whsec_" + b64encode(self._entropy(WEBHOOK_SECRET_SIZE)).decode()
        store = Store(
            id="sto_" + self._entropy(16).hex(),
            api_key_hash=_api_key_hash(api_key),
            created_ns=now_ns,
            name=request.name,
            wallet=request.wallet,
            base=market.base.address,
            quote=market.quote.address,
            slippage_ppm=request.slippage_ppm,
            lifetime_s=request.lifetime_s,
            webhook_url=request.webhook_url,
            webhook_secrets=webhook_secret,
            webhook_enabled=True,
            key_address=address_of_secret(secret),
            grant_expiry=now_ns // 10**9 + request.key_lifetime_s,
            grant_notional_cap=request.notional_cap,
            grant_floor_price=floor_price,
            grant_nonce=0,
            tolerance_ppm=request.tolerance_ppm,
            tolerance_pips=request.tolerance_pips,
        )
        # The key first: a key without a store is litter, a store without its key cannot convert.
        self._keyring.put(store.key_address, secret)
        with transaction(self._database) as session:
            last = session.scalar(
                select(func.max(Store.grant_nonce)).where(Store.wallet == store.wallet)
            )
            # Must rise with every grant of the wallet; milliseconds do, without asking the chain.
            store.grant_nonce = max(now_ns // 10**6, (last or 0) + 1)
            session.add(store)
        return StoreCreated(store.id, api_key, webhook_secret, grant_of(store))

    def _floor_price(self, market: Market, request: StoreRequest, now_ns: int) -> int | Rejection:
        """Return the price under which the key may never sell: a key without one could give all
        of the wallet's tokens away."""
        if request.floor_price == 0:
            why = "a floor price of 0 would let the key sell for nothing; state one, or none at all"
            return Rejection(Outcome.FLOOR_MISSING, {"why": why})
        if request.floor_price is not None:
            return request.floor_price
        ticks = self._prices.traded_ticks(market, 1, now_ns)
        if ticks is None:
            why = "nothing was traded yet from which a floor price could be derived; state one"
            return Rejection(Outcome.FLOOR_MISSING, {"why": why})
        price_pips = market.quote_pips(1, ticks) * PIPS_PER_TOKEN // market.lot_pips
        return max(1, price_pips // FLOOR_DIVISOR)

    def approve(self, store_id: str, signature: bytes) -> Store | Rejection:
        """Take the wallet's signature over the grant and see that the contract gets it.

        Rejects UNKNOWN_STORE, and BAD_SIGNATURE with our digest and the address recovered. The
        same approval twice is one.
        """
        with transaction(self._database) as session:
            store = session.get(Store, store_id)
            if store is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            digest = grant_digest(self._exchange.domain, grant_of(store))
            signer = recover(digest, signature)
            if signer != store.wallet:
                return Rejection(
                    Outcome.BAD_SIGNATURE,
                    {
                        "digest": "0x" + digest.hex(),
                        "expected": "0x" + store.wallet.hex(),
                        "recovered": "" if signer is None else "0x" + signer.hex(),
                    },
                )
            if store.grant_signature is None:
                store.grant_signature = signature
        self.relay_grants()
        with transaction(self._database) as session:
            return session.get_one(Store, store_id)

    def relay_grants(self) -> None:
        """Hand approvals that the settler has not got yet to it; again after a crash between."""
        with transaction(self._database) as session:
            due = select(Store).where(
                Store.grant_signature.is_not(None), Store.grant_relayed.is_(False)
            )
            for store in session.scalars(due):
                assert store.grant_signature is not None, "the query says so"
                self._settlement.enqueue_grant(grant_of(store), store.grant_signature)
                store.grant_relayed = True

    def authenticate(self, api_key: str) -> Store | None:
        """Return the store whose API key this is."""
        wanted = _api_key_hash(api_key)
        if not is_there(self._database, STORE_OF_KEY, wanted):
            return None
        with reading(self._database) as session:
            store = session.scalar(select(Store).where(Store.api_key_hash == wanted))
        if store is None or not hmac.compare_digest(store.api_key_hash, wanted):
            return None
        return store

    def rotate_webhook_secret(self, store_id: str) -> str | Rejection:
        """Return a new webhook secret; the one before stays valid beside it until the next.

        Whoever asks for one has an endpoint: if it was given up, events are sent to it again.
        """
        webhook_secret = "whsec_" + b64encode(self._entropy(WEBHOOK_SECRET_SIZE)).decode()
        with transaction(self._database) as session:
            store = session.get(Store, store_id)
            if store is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            newest = store.webhook_secrets.split(" ")[0]
            store.webhook_secrets = f"{webhook_secret} {newest}"
            store.webhook_enabled = True
        return webhook_secret
