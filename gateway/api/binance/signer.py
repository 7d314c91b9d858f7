"""Who signs the order that a client of this dialect wants?

A session key: one that the wallet has approved for a market, sides, an amount and a time, and that
can withdraw nothing. It is held by the bridge on the trader's own machine, or, if the trader wants
that, by this gateway. Both make the same signed order with what is here.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import coincurve
import msgspec

from engine.types import Side
from gateway.api.binance.wanted import Wanted
from gateway.trading.api_keys import HeldKey
from settlement.orders.catalog import Market
from settlement.orders.nonces import LANE_LAST, NS, SINGLE_SHOT_CLOCK_NS
from settlement.ports import ExchangePort
from settlement.protocol.eip712 import Domain, address_of, order_digest, sign_with
from settlement.protocol.evidence import SELL, UPPER_HALF, ZERO_REF, SignedOrder

LANE_FIRST_OURS: Final = 0xC000
"""The upper half of all lanes is this dialect's: on each lane all signers must count alike."""

PLACES: Final = 2 * (LANE_LAST - LANE_FIRST_OURS + 1)
RESTING_DAYS: Final = 29
"""How long an order stands that is good until cancelled: a signature has an end, of 30 days."""

SINGLE_SHOT_S: Final = 60
TRIES_MAX: Final = 256


class Place(NamedTuple):
    """Where an order stands on chain: a nonce on half a lane; lane 0 for a single shot."""

    nonce: int
    lane: int = 0
    upper_half: bool = False


class SessionSigner:
    """One session key of one account. ``expires_at`` is the end of its grant, unix seconds."""

    def __init__(self, account: bytes, secret: bytes, expires_at: int = 2**32 - 1) -> None:
        self.account = account
        self._key = coincurve.PrivateKey(secret)
        self.address = address_of(self._key.public_key)
        self._expires_at = expires_at

    def signed(
        self, domain: Domain, market: Market, wanted: Wanted, place: Place, now_ns: int, name: str
    ) -> SignedOrder:
        """Return what is wanted, signed; ``name`` is the client's own for it."""
        lives_s = SINGLE_SHOT_S if wanted.is_single_shot else RESTING_DAYS * 24 * 3600
        unsigned = SignedOrder(
            account=self.account,
            nonce=place.nonce,
            flags=_flags(wanted, place),
            lane=place.lane,
            base=market.base.address,
            quote=market.quote.address,
            base_amount=market.base_pips(wanted.lots),
            quote_amount=market.quote_pips(wanted.lots, wanted.ticks),
            trigger_or_display=wanted.trigger_or_display,
            expiry=min(now_ns // NS + lives_s, self._expires_at),
            max_fee_ppm=max(market.taker_fee_ppm, market.maker_fee_ppm, 0),
            ref=ZERO_REF,
            signature=b"",
            signer=self.address,
            digest=b"",
            client_id=name,
        )
        digest = order_digest(domain, unsigned)
        signature = sign_with(digest, self._key)
        return msgspec.structs.replace(unsigned, digest=digest, signature=signature)


def _flags(wanted: Wanted, place: Place) -> int:
    flags = wanted.bits
    if wanted.side == Side.SELL:
        flags |= SELL
    if place.upper_half:
        flags |= UPPER_HALF
    return flags


class LedgerPlaces:
    """Places of an account as the exchange in this process knows them."""

    def __init__(self, exchange: ExchangePort, account: bytes) -> None:
        self._exchange = exchange
        self._account = account
        self._next = 0

    def single_shot(self) -> Place:
        """Return a nonce of the replay window."""
        clock = self._exchange.now_ns() // SINGLE_SHOT_CLOCK_NS
        return Place(max(clock, self._exchange.next_nonce(self._account)))

    def resting(self) -> Place:
        """Return the next half of a lane in turn that is free, or the last that was looked at."""
        for _ in range(TRIES_MAX):
            lane, upper = place_of(self._next)
            self._next = (self._next + 1) % PLACES
            halves = self._exchange.nonces(self._account, (lane,)).lanes
            half = halves[upper]
            if not half.order_id:
                break
        return Place(max(half.nonce, self._exchange.now_ns()), lane, bool(upper))


def place_of(number: int) -> tuple[int, int]:
    """Return lane and half of place ``number``."""
    return LANE_FIRST_OURS + (number >> 1), number & 1


class ManagedKeys:
    """Session keys that traders have given into this gateway's keeping, by account."""

    def __init__(self, exchange: ExchangePort, held: Mapping[bytes, HeldKey]) -> None:
        """``held`` are session keys by the account that they sign for."""
        self._exchange = exchange
        self._signers = {account: SessionSigner(account, *key) for account, key in held.items()}
        self._places = {account: LedgerPlaces(exchange, account) for account in held}

    def holds(self, account: bytes) -> bool:
        """Return whether orders of ``account`` can be signed here."""
        return account in self._signers

    def signed(self, account: bytes, market: Market, wanted: Wanted, name: str) -> SignedOrder:
        """Return what ``account`` wants, signed."""
        places = self._places[account]
        place = places.single_shot() if wanted.is_single_shot else places.resting()
        exchange = self._exchange
        return self._signers[account].signed(
            exchange.domain, market, wanted, place, exchange.now_ns(), name
        )
