"""How does a wish become an order that a contract can check?

``Wish`` is what a trader means; ``unsigned_order`` puts it into the fields of the EIP-712 ``Order``
(docs/PROTOCOL.md of the exchange). Prices and quantities must lie on the market's steps: nothing is
rounded behind the trader's back. ``Market.down`` and ``Market.price_down`` round when asked to.
"""

from typing import Any, Final, Literal, NamedTuple

import msgspec

from tillbook_client.amounts import Amount, pips, text
from tillbook_client.errors import InvalidAmountError

SELL: Final = 1
SINGLE_SHOT: Final = 2
UPPER_HALF: Final = 4
POST_ONLY: Final = 8
FILL_OR_KILL: Final = 16
REPRICE: Final = 32
STOP: Final = 64
ICEBERG: Final = 128
SELF_TRADE: Final = {"expire_taker": 0, "expire_maker": 256, "expire_both": 512, "decrement": 768}
IMMEDIATE: Final = 1024

LANE_FIRST: Final = 0x8000
LANE_LAST: Final = 0xFFFF
ZERO_REF: Final = "0x" + "00" * 32

Side = Literal["buy", "sell"]
TimeInForce = Literal["GTC", "IOC", "FOK"]
SelfTrade = Literal["expire_taker", "expire_maker", "expire_both", "decrement"]


class Token(msgspec.Struct, frozen=True):
    """A listed token."""

    symbol: str
    address: str
    decimals: int


class Market(msgspec.Struct, frozen=True):
    """A listed market: ``lot_pips`` of base are one lot, ``tick_pips`` of quote its price step."""

    symbol: str
    base: Token
    quote: Token
    lot_pips: str
    tick_pips: str
    maker_fee_ppm: int
    taker_fee_ppm: int

    def lots(self, quantity: Amount) -> int:
        """Return a quantity in lots. Raises ``InvalidAmountError`` between two."""
        lots, rest = divmod(pips(quantity), int(self.lot_pips))
        if rest or not lots:
            raise InvalidAmountError(f"{quantity} is not a multiple of {text(int(self.lot_pips))}")
        return lots

    def amounts(self, quantity: Amount, price: Amount) -> tuple[int, int]:
        """Return base and quote pips of ``quantity`` at ``price``; raises as ``lots``."""
        lots, base_pips = self.lots(quantity), pips(quantity)
        quote_pips, rest = divmod(base_pips * pips(price), 10**8)
        ticks, off = divmod(quote_pips, lots * int(self.tick_pips))
        if rest or off or not ticks:
            raise InvalidAmountError(f"a price of {price} is not on the market's steps")
        return base_pips, quote_pips

    def down(self, quantity: Amount) -> str:
        """Return ``quantity`` rounded down to whole lots."""
        lot = int(self.lot_pips)
        return text(pips(quantity) // lot * lot)

    def price_down(self, price: Amount) -> str:
        """Return ``price`` rounded down to whole ticks."""
        lot, tick = int(self.lot_pips), int(self.tick_pips)
        ticks = pips(price) * lot // (tick * 10**8)
        return text(ticks * tick * 10**8 // lot)


class Wish(NamedTuple):
    """What a trader means by an order.

    ``stop`` is a trigger price, ``display`` the quantity that an iceberg shows. A stop with IOC
    takes what it can get when it triggers. ``expires_in`` is in seconds, at most 30 days.
    """

    market: str
    side: Side
    quantity: Amount
    price: Amount
    time_in_force: TimeInForce = "GTC"
    post_only: bool = False
    reprice: bool = False
    stop: Amount | None = None
    display: Amount | None = None
    self_trade: SelfTrade = "expire_taker"
    expires_in: int = 3600
    max_fee_ppm: int | None = None
    ref: str = ZERO_REF
    client_id: str = ""

    @property
    def is_single_shot(self) -> bool:
        """Whether it lives for the moment it arrives: it needs no lane."""
        return self.time_in_force != "GTC" and self.stop is None

    def flags(self, upper_half: bool) -> int:
        """Return the flags that are signed."""
        flags = SELF_TRADE[self.self_trade] | (SELL if self.side == "sell" else 0)
        if self.is_single_shot:
            flags |= SINGLE_SHOT
        elif upper_half:
            flags |= UPPER_HALF
        if self.time_in_force == "FOK":
            flags |= FILL_OR_KILL
        elif self.time_in_force == "IOC" and self.stop is not None:
            flags |= IMMEDIATE
        if self.post_only or self.reprice:
            flags |= POST_ONLY | (REPRICE if self.reprice else 0)
        if self.stop is not None:
            flags |= STOP
        if self.display is not None:
            flags |= ICEBERG
        return flags


class Place(NamedTuple):
    """Which nonce an order spends, and on which half of which lane it rests (lane 0: on none)."""

    nonce: int
    lane: int = 0
    upper_half: bool = False


def unsigned_order(
    wish: Wish, market: Market, account: str, place: Place, now_s: int
) -> dict[str, Any]:
    """Return the fields that the wallet signs. Raises ``InvalidAmountError``."""
    base_pips, quote_pips = market.amounts(wish.quantity, wish.price)
    special = 0
    if wish.stop is not None:
        special = market.amounts(wish.quantity, wish.stop)[1]
    elif wish.display is not None:
        special = market.lots(wish.display) * int(market.lot_pips)
    fee = wish.max_fee_ppm
    return {
        "account": account,
        "nonce": str(place.nonce),
        "flags": wish.flags(place.upper_half),
        "lane": place.lane,
        "base": market.base.address,
        "quote": market.quote.address,
        "baseAmount": str(base_pips),
        "quoteAmount": str(quote_pips),
        "triggerOrDisplay": str(special),
        "expiry": now_s + wish.expires_in,
        "maxFeePpm": max(market.maker_fee_ppm, market.taker_fee_ppm) if fee is None else fee,
        "ref": wish.ref,
    }
