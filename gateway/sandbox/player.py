"""How is a recorded tape played on the exchange?

One account places what the tape places, another takes what the tape takes; everything is signed
and settled like any other order. Lanes and nonces follow from the place on the tape alone, so
playing the same tape again after a crash sends the very same orders.
"""

from pathlib import Path
from typing import Final

from gateway.sandbox.client import Client, RequestRejected
from gateway.sandbox.tape import Act, Message, read_tape
from gateway.sandbox.wallet import Wallet
from settlement.orders.catalog import Market
from settlement.orders.nonces import LANE_FIRST, LANE_LAST

LOTS_PER_SHARE: Final = 100
LANES: Final = LANE_LAST - LANE_FIRST + 1


class Played:
    """What the tape has done so far; counts."""

    def __init__(self) -> None:
        self.messages = 0
        self.placed = 0
        self.cancelled = 0
        self.fills = 0
        self.refused = 0


class _Resting:
    __slots__ = ("order_id", "price_ticks", "shares", "side")

    def __init__(self, order_id: int, message: Message) -> None:
        self.order_id = order_id
        self.shares = message.shares
        self.price_ticks = message.price_ticks
        self.side = message.side


class _Player:
    def __init__(
        self, client: Client, market: Market, maker: Wallet, taker: Wallet, bearer: str, expiry: int
    ) -> None:
        self._client = client
        self._market = market
        self._maker = maker
        self._taker = taker
        self._bearer = bearer
        self._expiry = expiry
        self._resting: dict[int, _Resting] = {}
        self._lanes_used = 0
        self.played = Played()

    def step(self, message: Message) -> None:
        self.played.messages += 1
        match message.act:
            case Act.PLACE:
                self._place(message)
            case Act.CANCEL:
                self._cancel(message.name)
            case Act.REDUCE:
                self._reduce(message)
            case Act.TAKE:
                self._take(message)

    def _place(self, message: Message) -> None:
        # A lane is used once a round; by then the order of the round before is long gone.
        nonce, lane = divmod(self._lanes_used, 2 * LANES)
        self._lanes_used += 1
        order = self._maker.order(
            self._market,
            message.side,
            message.shares * LOTS_PER_SHARE,
            message.price_ticks,
            nonce=nonce + 1,
            expiry=self._expiry,
            lane=LANE_FIRST + (lane >> 1),
            upper_half=bool(lane & 1),
        )
        answer = self._client.place(order)
        self._resting[message.name] = _Resting(int(answer["order_id"]), message)
        self.played.placed += 1

    def _cancel(self, name: int) -> None:
        found = self._resting.pop(name, None)
        if found is None:
            return
        try:
            self._client.delete(f"/v1/orders/{found.order_id}", self._bearer)
            self.played.cancelled += 1
        except RequestRejected:  # Filled meanwhile, or played before a restart.
            self.played.refused += 1

    def _reduce(self, message: Message) -> None:
        # Size-down amends come with the complete engine; until then the order loses its place.
        found = self._resting.get(message.name)
        if found is None:
            return
        self._cancel(message.name)
        if found.shares > message.shares:
            self._place(
                Message(
                    Act.PLACE,
                    message.name,
                    found.shares - message.shares,
                    found.price_ticks,
                    found.side,
                )
            )

    def _take(self, message: Message) -> None:
        order = self._taker.order(
            self._market,
            message.side,
            message.shares * LOTS_PER_SHARE,
            message.price_ticks,
            nonce=self.played.messages,
            expiry=self._expiry,
        )
        answer = self._client.place(order)
        self.played.fills += len(answer["fills"] or ())
        found = self._resting.get(message.name)
        if found is not None:
            found.shares -= message.shares


def play(
    tape: Path,
    messages: int,
    client: Client,
    market: Market,
    maker: Wallet,
    taker: Wallet,
    *,
    bearer: str,
    expiry: int,
) -> Played:
    """Play up to ``messages`` of ``tape``; ``bearer`` is the maker's session, for cancels."""
    player = _Player(client, market, maker, taker, bearer, expiry)
    with tape.open() as lines:
        for message in read_tape(lines):
            player.step(message)
            if player.played.messages == messages:
                break
    return player.played
