"""What does a bridge ask of the exchange? Its public doors, the native ones for what it signs."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import httpx

from engine.types import Side
from gateway.api.binance.numbers import pips_of
from gateway.api.binance.signer import LANE_FIRST_OURS, Place
from gateway.api.binance.symbols import Symbols
from gateway.api.binance.wanted import LEVELS_READ, Level
from settlement.orders.catalog import Market, Token
from settlement.orders.nonces import LANE_LAST, SINGLE_SHOT_CLOCK_NS
from settlement.protocol.eip712 import Domain

LANES_A_REQUEST: Final = 32
TIMEOUT_SECONDS: Final = 20
SIDES: Final = {Side.BUY: "bids", Side.SELL: "asks"}


class NoExchange(Exception):
    """What is at that address does not answer, or is no exchange."""


class Listed:
    """The exchange's markets, as ``Symbols`` reads them."""

    def __init__(self) -> None:
        self.markets: tuple[Market, ...] = ()


class RemoteExchange:
    """The exchange at ``base``, for the orders of one account.

    What is signed is for the chain and contract that it named first, and at no higher fee than it
    named first for that market: what it says later binds nobody who has not looked at it.
    """

    def __init__(self, base: str, account: bytes) -> None:
        self.http = httpx.AsyncClient(base_url=base, timeout=TIMEOUT_SECONDS)
        self.domain = Domain(0, bytes(20))
        self._account = f"0x{account.hex()}"
        self._listed = Listed()
        self._symbols = Symbols(self._listed)
        self._free: deque[Place] = deque()
        self._lane = LANE_FIRST_OURS
        self._single = 0
        self._fees: dict[str, tuple[int, int]] = {}
        """Of each market, as it was read first."""

    async def begin(self) -> None:
        """Read what is needed first. Raises ``NoExchange``."""
        try:
            config = await self._get("/v1/config")
            self.domain = Domain(config["chain_id"], _raw(config["contract"]))
            await self.read()
        except httpx.HTTPError as error:
            raise NoExchange(f"does not answer: {type(error).__name__}") from None
        except (KeyError, TypeError, ValueError):
            raise NoExchange("is no Tillbook") from None

    async def read(self) -> None:
        """Read tokens, markets and nonces. Raises ``httpx.HTTPError``."""
        config = await self._get("/v1/config")
        tokens = {token["symbol"]: Token(*_token(token)) for token in config["tokens"]}
        markets = (await self._get("/v1/markets"))["markets"]
        self._listed.markets = tuple(
            Market(
                number=number,
                symbol=row["symbol"],
                base=tokens[row["base"]["symbol"]],
                quote=tokens[row["quote"]["symbol"]],
                lot_pips=int(row["lot_pips"]),
                tick_pips=int(row["tick_pips"]),
                **self._fees_of(row),
                least_notional_pips=pips_of(row["least_notional"], "least_notional"),
            )
            for number, row in enumerate(markets)
        )
        await self.renew_single_shots()

    def _fees_of(self, row: Mapping[str, Any]) -> dict[str, int]:
        told = row["maker_fee_ppm"], row["taker_fee_ppm"]
        maker, taker = self._fees.setdefault(row["symbol"], told)
        return {"maker_fee_ppm": min(told[0], maker), "taker_fee_ppm": min(told[1], taker)}

    async def market(self, name: str) -> Market | None:
        """Return a market by its name in the dialect; the list is read again for a new one."""
        found = self._symbols.market(name)
        if found is None:
            await self.read()
            found = self._symbols.market(name)
        return found

    async def levels(self, name: str, market: Market, side: Side) -> list[Level]:
        """Return the best levels of one side."""
        book = await self._get(f"/api/v3/depth?symbol={name}&limit={LEVELS_READ}")
        return [
            (
                pips_of(price, "price") // market.tick_size_pips,
                pips_of(quantity, "quantity") // market.lot_pips,
            )
            for price, quantity in book[SIDES[side]]
        ]

    async def place_for(self, *, is_single_shot: bool, now_ns: int) -> Place:
        """Return where the next order may stand."""
        if is_single_shot:
            self._single = max(self._single + 1, now_ns // SINGLE_SHOT_CLOCK_NS)
            return Place(self._single)
        while not self._free:
            await self._find_free()
        place = self._free.popleft()
        # A clock, so that a second signer of the account is no reason to read them all again.
        return place._replace(nonce=max(place.nonce, now_ns))

    async def renew_single_shots(self) -> None:
        """Go on behind the last nonce that the exchange has seen."""
        nonces = await self._get(f"/v1/nonces/{self._account}")
        self._single = max(self._single, int(nonces["single_shot"] or 1) - 1)

    async def _find_free(self) -> None:
        """Read some lanes more, and keep the halves that carry nothing."""
        lanes = range(self._lane, min(self._lane + LANES_A_REQUEST, LANE_LAST + 1))
        self._lane = LANE_FIRST_OURS if lanes[-1] == LANE_LAST else lanes[-1] + 1
        query = "&".join(f"lane={lane}" for lane in lanes)
        nonces = await self._get(f"/v1/nonces/{self._account}?{query}")
        for half in nonces["lanes"]:
            if half["order_id"] is None:
                self._free.append(Place(int(half["nonce"]), half["lane"], half["upper_half"]))

    async def _get(self, path: str) -> Any:
        answer = await self.http.get(path)
        answer.raise_for_status()
        return answer.json()


def _token(row: Mapping[str, Any]) -> tuple[int, str, bytes, int, int]:
    # How many raw units a pip has is a matter of deposits; orders are in pips.
    return row["number"], row["symbol"], _raw(row["address"]), row["decimals"], 1


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])
