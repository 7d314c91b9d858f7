"""What may a session key sell of a shop's money, and who has said so?

The server makes a key for each market that a store sells through and asks the wallet to sign a
``KeyGrant``: sell base for the store's stablecoin, until a date, up to a notional, never under a
floor price. That is all the server can do with a merchant's money. A grant can be renewed, widened
and taken back for as long as the store lives.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from sqlalchemy import ColumnElement, Engine, func, select
from sqlalchemy.orm import Session

from engine.types import MONEY_MAX, PIPS_PER_TOKEN, Outcome
from merchants.records.database import reading, transaction
from merchants.records.due import TO_RELAY, TO_TAKE_BACK
from merchants.records.grants import Grant
from merchants.records.rejection import Rejection
from merchants.records.tables import Store
from merchants.stores.keyring import SECRET_SIZE, Keyring
from merchants.stores.signers import Signers, Vouched
from settlement.orders.catalog import Market
from settlement.orders.session_keys import GrantedKey
from settlement.ports import ExchangePort, SettlementPort
from settlement.protocol.eip712 import (
    KeyGrant,
    KeyRevocation,
    address_of_secret,
    grant_digest,
    recover,
    revocation_digest,
)

SIDES_SELL: Final = 2
"""Bit 1 of ``KeyGrant.sides``: the key may sell and may not buy."""

FLOOR_DIVISOR: Final = 2
"""A grant's floor price, if none is asked for, is the present price divided by this."""

KEY_LIFETIME_S: Final = 90 * 24 * 3600
NOTIONAL_CAP: Final = 10**6 * PIPS_PER_TOKEN
"""What a grant may sell in all if nothing else is asked for: a million of the stablecoin."""

GRANTS_SHOWN: Final = 100
"""Most of a store that are shown: each but the newest of a market was signed by its wallet."""


class TradedPrices(Protocol):
    """Who knows what a market's last trades paid."""

    def traded_ticks(self, market: Market, base_pips: int, now_ns: int) -> int | None:
        """Return ticks, or None where too little was traded."""


class GrantRequest(NamedTuple):
    """What a store asks its wallet for: to sell ``token``, a symbol.

    ``notional_cap`` and ``floor_price`` are quote pips over the key's whole life, and for a whole
    token. Without a cap it is a million more than is sold, without a floor half of what the token
    is worth now. ``same_key`` widens the key that the store sells with, else there will be another.
    """

    token: str
    key_lifetime_s: int = KEY_LIFETIME_S
    notional_cap: int | None = None
    floor_price: int | None = None
    same_key: bool = False


class GrantMade(NamedTuple):
    """A grant for the wallet to sign."""

    grant_id: str
    grant: KeyGrant


class GrantHeld(NamedTuple):
    """A grant as the rows and the chain have it: ``left`` is quote pips that its key may still
    sell, None until the chain has shown it; ``is_live`` that the chain has shown these terms."""

    row: Grant
    left: int | None
    is_live: bool


class _Terms(NamedTuple):
    """What a grant is to say, judged."""

    market: Market
    expiry: int
    notional_cap: int
    floor_price: int
    widened: bytes | None
    """The key that is to get more; None for a new one."""


def key_grant(grant: Grant) -> KeyGrant:
    """Return what the wallet has signed or has to sign."""
    return KeyGrant(
        account=grant.wallet,
        key=grant.key_address,
        base=grant.base,
        quote=grant.quote,
        sides=SIDES_SELL,
        expiry=grant.expiry,
        notional_cap=grant.notional_cap,
        floor_price=grant.floor_price,
        nonce=grant.nonce,
    )


def grant_for(
    session: Session, store_id: str, base: bytes, quote: bytes, wallet: bytes
) -> Grant | None:
    """Return the grant by which a store sells ``base`` of ``wallet`` for ``quote``: the newest that
    it has approved and not taken back, else its newest of all. Whether it has expired its row says.

    ``wallet`` is the store's for what is to come, and an invoice's for what came for it."""
    of_pair = (
        select(Grant)
        .where(
            Grant.store_id == store_id,
            Grant.base == base,
            Grant.quote == quote,
            Grant.wallet == wallet,
        )
        .order_by(Grant.nonce.desc())
        .limit(1)
    )
    approved = of_pair.where(
        Grant.signature.is_not(None), Grant.revoked_ns.is_(None), Grant.replaced_by.is_(None)
    )
    return session.scalar(approved) or session.scalar(of_pair)


def is_approved(grant: Grant | None) -> bool:
    """Return whether a wallet has signed ``grant`` and has not taken it back."""
    return grant is not None and grant.signature is not None and grant.revoked_ns is None


class Grants:
    """Makes grants, takes what wallets say of them, and sees that the contract gets it."""

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
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._settlement = settlement
        self._keyring = keyring
        self._prices = prices
        self._clock = clock
        self._entropy = entropy
        self.signers = Signers(settlement)

    def ask(self, store_id: str, request: GrantRequest) -> Grant | Rejection:
        """Make a grant for the store's wallet to sign; see ``make``."""
        with transaction(self._database) as session:
            store = session.get(Store, store_id)
            if store is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            return self.make(session, store, request)

    def why_not(self, session: Session, store: Store, request: GrantRequest) -> Rejection | None:
        """Return why ``make`` would refuse."""
        terms = self._terms(session, store, request)
        return terms if isinstance(terms, Rejection) else None

    def make(self, session: Session, store: Store, request: GrantRequest) -> Grant | Rejection:
        """Make a grant in the caller's transaction; one that waits unsigned gets the new terms.

        Rejects UNKNOWN_TOKEN for one that no market sells for the store's stablecoin, FLOOR_MISSING
        where no floor price is asked for and none is known, UNKNOWN_KEY where there is no key to
        widen, and KEY_SCOPE where it would be narrowed.
        """
        terms = self._terms(session, store, request)
        if isinstance(terms, Rejection):
            return terms
        base, quote = terms.market.base.address, terms.market.quote.address
        grant = session.scalar(
            select(Grant).where(
                Grant.store_id == store.id,
                Grant.wallet == store.wallet,
                Grant.base == base,
                Grant.quote == quote,
                Grant.signature.is_(None),
                Grant.revoked_ns.is_(None),
            )
        )
        now_ns = self._clock()
        # Must rise with every grant of the wallet; milliseconds do, without asking the chain.
        nonce = max(now_ns // 10**6, _last_nonce(session, Grant.wallet == store.wallet) + 1)
        if grant is None:
            grant = Grant(
                id="gra_" + self._entropy(16).hex(),
                store_id=store.id,
                wallet=store.wallet,
                base=base,
                quote=quote,
                created_ns=now_ns,
                key_address=terms.widened or self._new_key(),
                relayed=False,
                revocation_nonce=0,
                revocation_relayed=False,
            )
            session.add(grant)
        else:
            grant.key_address = terms.widened or self._own_key(session, grant)
        grant.expiry, grant.nonce = terms.expiry, nonce
        grant.notional_cap, grant.floor_price = terms.notional_cap, terms.floor_price
        session.flush()
        return grant

    def _new_key(self) -> bytes:
        """Return the address of a key whose secret is on disk: a key without a store is litter, a
        store without its key cannot convert."""
        secret = self._entropy(SECRET_SIZE)
        address = address_of_secret(secret)
        self._keyring.put(address, secret)
        return address

    def _own_key(self, session: Session, waiting: Grant) -> bytes:
        """Return the key that only ``waiting`` has; a new one if it was to widen another's."""
        others = select(Grant.id).where(
            Grant.wallet == waiting.wallet,
            Grant.key_address == waiting.key_address,
            Grant.id != waiting.id,
        )
        is_shared = session.scalar(others.limit(1)) is not None
        return self._new_key() if is_shared else waiting.key_address

    def _terms(self, session: Session, store: Store, request: GrantRequest) -> _Terms | Rejection:
        catalog = self._exchange.catalog
        token = catalog.token(request.token)
        market = None if token is None else catalog.market_of_pair(token.address, store.settle)
        if token is None or market is None:
            why = "no market sells this token for the store's stablecoin"
            return Rejection(Outcome.UNKNOWN_TOKEN, {"token": request.token, "why": why})
        old = (
            grant_for(session, store.id, token.address, store.settle, store.wallet)
            if request.same_key
            else None
        )
        if request.same_key and (not is_approved(old) or old is None or old.wallet != store.wallet):
            why = "the wallet has approved no key for this token that could be widened"
            return Rejection(Outcome.UNKNOWN_KEY, {"token": request.token, "why": why})
        cap, floor = request.notional_cap, self._floor_price(market, request)
        if cap is None:
            cap = min(NOTIONAL_CAP + self._sold_pips(old), MONEY_MAX)
        if not 0 < cap <= MONEY_MAX:
            why = "the key could sell nothing, or more than there may be"
            return Rejection(Outcome.MALFORMED, {"token": request.token, "why": why})
        if old is not None and request.floor_price is None:
            floor = old.floor_price if isinstance(floor, Rejection) else min(floor, old.floor_price)
        if isinstance(floor, Rejection):
            return floor
        now_s = self._clock() // 10**9
        terms = _Terms(market, now_s + request.key_lifetime_s, cap, floor, None)
        if old is None:
            return terms
        return _why_narrow(old, terms, now_s) or terms._replace(widened=old.key_address)

    def _sold_pips(self, grant: Grant | None) -> int:
        """Return how much of a key's notional is used up: it is counted over the key's life."""
        if grant is None:
            return 0
        left = self._exchange.key_notional_left(grant.wallet, grant.key_address)
        return 0 if left is None else max(0, grant.notional_cap - left)

    def _floor_price(self, market: Market, request: GrantRequest) -> int | Rejection:
        """Return the price under which the key may never sell: a key without one could give all
        of the wallet's tokens away."""
        symbol = market.base.symbol
        if request.floor_price == 0:
            why = "a floor price of 0 would let the key sell for nothing; state one, or none at all"
            return Rejection(Outcome.FLOOR_MISSING, {"token": symbol, "why": why})
        if request.floor_price is not None:
            return request.floor_price
        ticks = self._prices.traded_ticks(market, 1, self._clock())
        if ticks is None:
            why = "nothing was traded yet from which a floor price could be derived; state one"
            return Rejection(Outcome.FLOOR_MISSING, {"token": symbol, "why": why})
        price_pips = market.quote_pips(1, ticks) * PIPS_PER_TOKEN // market.lot_pips
        return max(1, price_pips // FLOOR_DIVISOR)

    def is_by_key(
        self, store_id: str, grant_id: str, signature: bytes, revoked_by: int | None = None
    ) -> bool:
        """Return whether no contract has to be asked about a signature: its wallet's key has made
        it, there is no such grant, or one that needs none. Any thread may ask."""
        asked = self._asked(store_id, grant_id, revoked_by)
        return asked is None or recover(asked[1], signature) == asked[0]

    def vouched(
        self, store_id: str, grant_id: str, signature: bytes, revoked_by: int | None = None
    ) -> Vouched | None:
        """Return what a wallet that is a contract stands behind, of a grant, or of taking its key
        back with the nonce ``revoked_by``; None for all others. On a thread."""
        asked = self._asked(store_id, grant_id, revoked_by)
        return None if asked is None else self.signers.ask(*asked, signature)

    def _asked(
        self, store_id: str, grant_id: str, revoked_by: int | None
    ) -> tuple[bytes, bytes] | None:
        """Return a grant's wallet, and the digest that it signs; None where it need not."""
        with reading(self._database) as session:
            grant = _of_store(session, store_id, grant_id)
        if grant is None:
            return None
        domain = self._exchange.domain
        if revoked_by is None:
            return grant.wallet, grant_digest(domain, key_grant(grant))
        if grant.signature is None or grant.revoked_ns is not None:
            return None
        revocation = KeyRevocation(grant.wallet, grant.key_address, revoked_by)
        return grant.wallet, revocation_digest(domain, revocation)

    def approve(
        self, store_id: str, grant_id: str, signature: bytes, vouched: Vouched | None = None
    ) -> Grant | Rejection:
        """Take the wallet's signature over a grant and see that the contract gets it.

        Rejects NOT_FOUND, BAD_SIGNATURE with our digest and the address recovered, and NONCE_USED
        for a grant that was taken back, or behind one of which the wallet has approved a later: the
        contract would not take it. The same approval twice is one. ``vouched`` is what a wallet
        that is a contract stands behind.
        """
        with transaction(self._database) as session:
            grant = _of_store(session, store_id, grant_id)
            if grant is None:
                return Rejection(Outcome.NOT_FOUND, {"grant": grant_id})
            digest = grant_digest(self._exchange.domain, key_grant(grant))
            if not self.signers.has_signed(grant.wallet, digest, signature, vouched):
                return _wrong_signer(digest, grant.wallet, recover(digest, signature))
            if grant.signature is None:
                why = self._why_too_late(session, grant)
                if why:
                    return Rejection(Outcome.NONCE_USED, {"grant": grant_id, "why": why})
                grant.signature = signature
                self._replace(session, grant)
        self.relay()
        with reading(self._database) as session:
            return session.get_one(Grant, grant_id)

    def _why_too_late(self, session: Session, grant: Grant) -> str:
        if grant.revoked_ns is not None:
            return "it was taken back; ask for a new one"
        signed = (Grant.wallet == grant.wallet, Grant.signature.is_not(None))
        if grant.nonce <= _last_nonce(session, *signed):
            return "the wallet has signed with a later nonce; ask for this grant again"
        return ""

    def _replace(self, session: Session, grant: Grant) -> None:
        """Let those before it of the same market be asked no more."""
        former = select(Grant).where(
            Grant.store_id == grant.store_id,
            Grant.wallet == grant.wallet,
            Grant.base == grant.base,
            Grant.quote == grant.quote,
            Grant.signature.is_not(None),
            Grant.replaced_by.is_(None),
            Grant.id != grant.id,
        )
        for row in session.scalars(former):
            row.replaced_by = grant.id

    def relay(self) -> None:
        """Hand approvals that the settler has not got yet to it; again after a crash between."""
        with transaction(self._database) as session:
            for grant in session.scalars(TO_RELAY):
                assert grant.signature is not None, "the query says so"
                self._settlement.enqueue_grant(key_grant(grant), grant.signature)
                grant.relayed = True

    def revocation_of(self, grant: Grant) -> KeyRevocation:
        """Return what the wallet signs to take a grant's key back, if it does so now."""
        nonce = grant.revocation_nonce or max(self._clock() // 10**6, grant.nonce + 1)
        return KeyRevocation(grant.wallet, grant.key_address, nonce)

    def take_back(
        self,
        store_id: str,
        grant_id: str,
        nonce: int,
        signature: bytes,
        vouched: Vouched | None = None,
    ) -> Grant | Rejection:
        """Take the wallet's signed revocation of a grant's key: nothing more is sold with it, and
        ``relay_revocations`` sees that the contract hears of it. One that was never approved needs
        no signature. Rejects NOT_FOUND, BAD_SIGNATURE and BAD_NONCE."""
        with transaction(self._database) as session:
            grant = _of_store(session, store_id, grant_id)
            if grant is None:
                return Rejection(Outcome.NOT_FOUND, {"grant": grant_id})
            if grant.revoked_ns is not None:
                return grant
            if grant.signature is None:
                grant.revoked_ns = self._clock()
                return grant
            revocation = KeyRevocation(grant.wallet, grant.key_address, nonce)
            digest = revocation_digest(self._exchange.domain, revocation)
            if not self.signers.has_signed(grant.wallet, digest, signature, vouched):
                return _wrong_signer(digest, grant.wallet, recover(digest, signature))
            if not grant.nonce < nonce <= MONEY_MAX:
                why = "the contract takes nonces that rise only"
                return Rejection(Outcome.BAD_NONCE, {"why": why, "after": str(grant.nonce)})
            of_key = select(Grant).where(
                Grant.wallet == grant.wallet,
                Grant.key_address == grant.key_address,
                Grant.revoked_ns.is_(None),
            )
            for row in session.scalars(of_key):
                row.revoked_ns = self._clock()
            grant.revocation_nonce, grant.revocation = nonce, signature
            return grant

    async def relay_revocations(self) -> None:
        """Hand what wallets have taken back to the settler, on a thread: the chain is asked."""
        with reading(self._database) as session:
            waiting = session.scalars(TO_TAKE_BACK).all()
        for grant in waiting:
            assert grant.revocation is not None, "the query says so"
            revocation = KeyRevocation(grant.wallet, grant.key_address, grant.revocation_nonce)
            if await asyncio.to_thread(
                self._settlement.enqueue_revocation, revocation, grant.revocation
            ):
                self._exchange.refuse_key(grant.wallet, grant.key_address)
            with transaction(self._database) as session:
                session.get_one(Grant, grant.id).revocation_relayed = True

    def of_store(self, store_id: str) -> list[Grant]:
        """Return a store's grants, the newest first. Only reads, any thread may."""
        query = select(Grant).where(Grant.store_id == store_id).order_by(Grant.nonce.desc())
        with reading(self._database) as session:
            return list(session.scalars(query.limit(GRANTS_SHOWN)))

    def held(self, rows: Sequence[Grant]) -> list[GrantHeld]:
        """Return how far the chain knows of each, and what its key may still sell."""
        known = {
            (wallet, key.grant.key): key
            for wallet in {row.wallet for row in rows}
            for key in self._exchange.keys_of(wallet)
        }
        return [_held(row, known.get((row.wallet, row.key_address))) for row in rows]

    def status_of(self, held: GrantHeld) -> str:
        """Return how far a grant is, in a word."""
        row = held.row
        if row.revoked_ns is not None:
            return "revoked"
        if row.signature is None:
            return "unsigned"
        if row.replaced_by is not None:
            return "replaced"
        if row.expiry <= self._clock() // 10**9:
            return "expired"
        return "live" if held.is_live else "approved"


def _last_nonce(session: Session, *of: ColumnElement[bool]) -> int:
    """Return the last nonce of some grants and of what took them back."""
    both = select(func.max(Grant.nonce), func.max(Grant.revocation_nonce)).where(*of)
    return max(last or 0 for last in session.execute(both).one())


def _of_store(session: Session, store_id: str, grant_id: str) -> Grant | None:
    grant = session.get(Grant, grant_id)
    return None if grant is None or grant.store_id != store_id else grant


def _held(row: Grant, key: GrantedKey | None) -> GrantHeld:
    if key is None:
        return GrantHeld(row, None, is_live=False)
    # The log of a grant does not carry its nonce.
    is_same = key.grant._replace(nonce=0) == key_grant(row)._replace(nonce=0)
    left = 0 if key.is_revoked else max(0, key.notional_left)
    return GrantHeld(row, left, is_same and not key.is_revoked)


def _why_narrow(old: Grant, terms: _Terms, now_s: int) -> Rejection | None:
    """Return why the contract would refuse ``terms`` for a key that may still sell: an order that
    it has signed may be on its way."""
    if old.expiry < now_s:
        return None
    for is_less, name, bound in (
        (terms.expiry < old.expiry, "expires_at", old.expiry),
        (terms.notional_cap < old.notional_cap, "notional_cap", old.notional_cap),
        (terms.floor_price > old.floor_price, "floor_price", old.floor_price),
    ):
        if is_less:
            why = "a key that may still sell can only be widened; ask for a new key"
            return Rejection(Outcome.KEY_SCOPE, {"why": why, "narrowed": name, "bound": str(bound)})
    return None


def _wrong_signer(digest: bytes, wallet: bytes, signer: bytes | None) -> Rejection:
    detail = {
        "digest": "0x" + digest.hex(),
        "expected": "0x" + wallet.hex(),
        "recovered": "" if signer is None else "0x" + signer.hex(),
    }
    return Rejection(Outcome.BAD_SIGNATURE, detail)
