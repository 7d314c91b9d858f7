"""Who are the shops, and what have they settled?

A store is bound to one wallet and to one stablecoin, in which its prices are and which it gets for
what customers pay. Which tokens these may pay with its grants say (``grants.py``).
"""

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Engine

from engine.types import Outcome
from merchants.records.database import transaction
from merchants.records.pots import keep_gathered
from merchants.records.rejection import Rejection
from merchants.records.tables import Store
from merchants.stores.api_keys import ApiKeys, KeyNews
from merchants.stores.applications import Applications
from merchants.stores.embedding import Embeddings
from merchants.stores.grants import (
    KEY_LIFETIME_S,
    GrantMade,
    GrantRequest,
    Grants,
    TradedPrices,
    key_grant,
)
from merchants.stores.keyring import Keyring
from merchants.stores.pay_buttons import PayButtons
from merchants.stores.scopes import UNRESTRICTED
from settlement.ports import ExchangePort, SettlementPort


class StoreRequest(NamedTuple):
    """What a new store asks for.

    ``wallet`` is an address; ``settle`` the symbol of its stablecoin, ``tokens`` of what customers
    may pay with besides; ``name`` is what they read. ``slippage_ppm`` is how far under the quote a
    conversion may sell, ``lifetime_s`` how long an invoice waits. ``key_lifetime_s``,
    ``notional_cap`` and ``floor_price`` bound the session key of each token (``GrantRequest``); a
    floor price can be stated for one token only. ``tolerance_ppm`` and ``tolerance_pips`` say what
    may be missing of a price, as a share or as an amount, whichever is more.
    """

    wallet: bytes
    settle: str
    tokens: tuple[str, ...] = ()
    name: str = ""
    slippage_ppm: int = 5_000
    lifetime_s: int = 15 * 60
    key_lifetime_s: int = KEY_LIFETIME_S
    notional_cap: int | None = None
    floor_price: int | None = None
    tolerance_ppm: int = 1_000
    tolerance_pips: int = 0
    unique_orders: bool = False
    made_by: str = ""
    """The person who makes it, whose its first key is; empty for the operator."""


class StoreChange(NamedTuple):
    """What is to be another way, for invoices made from then on; None is as it was. What may be
    missing of a price counts for open invoices too. A store that is ``paused`` takes no new
    ones."""

    name: str | None = None
    slippage_ppm: int | None = None
    lifetime_s: int | None = None
    tolerance_ppm: int | None = None
    tolerance_pips: int | None = None
    unique_orders: bool | None = None
    paused: bool | None = None


class StoreCreated(NamedTuple):
    """The only answer that ever carries the API key; ``grants`` are for the wallet to sign, in this
    order."""

    store_id: str
    api_key: str
    grants: tuple[GrantMade, ...]


class Stores:
    """Stores, with their API keys (``keys``) and grants (``grants``)."""

    def __init__(
        self,
        *,
        database: Engine,
        exchange: ExchangePort,
        settlement: SettlementPort,
        keyring: Keyring,
        prices: TradedPrices,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        tell: KeyNews,
    ) -> None:
        self._database = database
        self._exchange = exchange
        self.pay_buttons = PayButtons(database, clock, entropy)
        self.embeddings = Embeddings(database)
        self.keys = ApiKeys(database, clock, entropy, tell)
        self.applications = Applications(database, clock, self.keys)
        self.grants = Grants(
            database=database,
            exchange=exchange,
            settlement=settlement,
            keyring=keyring,
            prices=prices,
            clock=clock,
            entropy=entropy,
        )
        self._clock = clock
        self._entropy = entropy

    def create(self, request: StoreRequest) -> StoreCreated | Rejection:
        """Make a store, with a fresh session key for each of its tokens.

        Rejects UNKNOWN_TOKEN for a stablecoin that no market pays in, BAD_WALLET for an address
        that nobody can sign for, and what ``Grants.make`` rejects.
        """
        settle = self._exchange.catalog.token(request.settle)
        if settle is None or all(m.quote != settle for m in self._exchange.catalog.markets):
            why = "no market pays in this token"
            return Rejection(Outcome.UNKNOWN_TOKEN, {"settle": request.settle, "why": why})
        if self._exchange.is_lost(request.wallet):
            return Rejection(Outcome.BAD_WALLET, {"wallet": "0x" + request.wallet.hex()})
        if request.floor_price is not None and len(request.tokens) > 1:
            why = "one floor price fits one token; state none, or ask for the grants one by one"
            return Rejection(
                Outcome.MALFORMED, {"floor_price": str(request.floor_price), "why": why}
            )

        store_id = "sto_" + self._entropy(16).hex()
        key = self.keys.new(store_id, "first", (UNRESTRICTED,), request.made_by)
        store = Store(
            id=store_id,
            created_ns=self._clock(),
            name=request.name,
            wallet=request.wallet,
            settle=settle.address,
            slippage_ppm=request.slippage_ppm,
            lifetime_s=request.lifetime_s,
            tolerance_ppm=request.tolerance_ppm,
            tolerance_pips=request.tolerance_pips,
            unique_orders=request.unique_orders,
        )
        wanted = [
            GrantRequest(token, request.key_lifetime_s, request.notional_cap, request.floor_price)
            for token in dict.fromkeys(request.tokens)
        ]
        made = []
        with transaction(self._database) as session:
            for one in wanted:
                refused = self.grants.why_not(session, store, one)
                if refused is not None:
                    return refused
            session.add(store)
            session.flush()
            session.add(key.row)
            for one in wanted:
                grant = self.grants.make(session, store, one)
                assert not isinstance(grant, Rejection), "nothing has changed since it was asked"
                made.append(GrantMade(grant.id, key_grant(grant)))
        return StoreCreated(store.id, key.api_key, tuple(made))

    def change_wallet(self, store_id: str, wallet: bytes) -> Rejection | None:
        """Let ``wallet`` own what the store earns from now on; to the same twice is once.

        Invoices keep the wallet that they were made for, as their addresses do: what still comes
        for them is the old one's and is sold by its grants, which stay. What is gathered in the
        store's pots is not enough for a sale and stays with the old one as it came. New invoices
        are in stablecoin until the new wallet has approved grants. Rejects UNKNOWN_STORE, and
        BAD_WALLET for an address that nobody can sign for.
        """
        with transaction(self._database) as session:
            store = session.get(Store, store_id)
            if store is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            if store.closed_ns is not None:
                return Rejection(Outcome.BAD_WALLET, {"why": "the store is closed"})
            if self._exchange.is_lost(wallet):
                why = "nobody can sign for it"
                return Rejection(Outcome.BAD_WALLET, {"wallet": "0x" + wallet.hex(), "why": why})
            if store.wallet != wallet:
                store.wallet = wallet
                keep_gathered(session, store_id)
        return None

    def change(self, store_id: str, change: StoreChange) -> Store | Rejection:
        """Change a store's settings. Rejects UNKNOWN_STORE, and INVOICE_CLOSED for one that is
        closed."""
        with transaction(self._database) as session:
            store = session.get(Store, store_id)
            if store is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            if store.closed_ns is not None:
                return Rejection(Outcome.INVOICE_CLOSED, {"why": "the store is closed"})
            for name, value in change._asdict().items():
                if value is not None:
                    setattr(store, name, value)
            return store
