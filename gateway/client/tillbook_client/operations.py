"""What does each call ask of the exchange, and what does it make of the answer?

Without any I/O: an operation is a generator that yields a ``Request`` and is sent an ``Answer``. So
each is written once, for the client that waits and the one that does not.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from tillbook_client.amounts import Amount
from tillbook_client.answers import Balance, Book, Fill, Order, Placed
from tillbook_client.errors import RejectedError, UnknownMarketError, WrongExchangeError
from tillbook_client.orders import Market, Place, Wish, unsigned_order
from tillbook_client.places import Places
from tillbook_client.signing import LOGIN_TYPE, ORDER_TYPE, Domain, Wallet, digest

NS: Final = 10**9
LANES_TRIED: Final = 8
"""Halves of lanes that are tried before we say that all are busy."""

SESSION_MARGIN_S: Final = 60
_NO_NONCE: Final = frozenset({"NONCE_USED", "NONCE_TOO_FAR", "BAD_NONCE"})


class Request(NamedTuple):
    """What is asked; ``may_repeat`` if it does nothing, or the same thing once only."""

    method: str
    path: str
    params: Mapping[str, str | int] = {}
    body: Mapping[str, Any] | None = None
    bearer: str = ""
    may_repeat: bool = True


class Answer(NamedTuple):
    """What came back: the status and the JSON document."""

    status: int
    document: Any


T = TypeVar("T")
Operation = Generator[Request, Answer, T]


class Config(NamedTuple):
    """What must be known before anything is signed."""

    domain: Domain
    markets: dict[str, Market]


def ask(request: Request) -> Operation[Any]:
    """Ask, and return the document. Raises ``RejectedError``."""
    answer = yield request
    if answer.status >= 400:
        document = answer.document if isinstance(answer.document, dict) else {}
        raise RejectedError(answer.status, document)
    return answer.document


class Operations:
    """All calls of one wallet at one exchange; remembers what seldom changes."""

    def __init__(self, wallet: Wallet | None, now_ns: Callable[[], int]) -> None:
        self._wallet = wallet
        self._now_ns = now_ns
        self._places = Places(now_ns)
        self._config: Config | None = None
        self._token, self._token_ends = "", 0

    def config(self) -> Operation[Config]:
        """Return chain, contract and markets, asked for once. Raises ``WrongExchangeError``."""
        if self._config is None:
            document = yield from ask(Request("GET", "/v1/config"))
            if document["types"]["Order"] != ORDER_TYPE:
                raise WrongExchangeError("this exchange's orders have other fields than ours")
            rows = yield from ask(Request("GET", "/v1/markets"))
            markets = msgspec.convert(rows["markets"], list[Market])
            domain = Domain(document["chain_id"], document["contract"])
            self._config = Config(domain, {market.symbol: market for market in markets})
        return self._config

    def market(self, symbol: str) -> Operation[Market]:
        """Return a market; one that was listed since we looked is found too."""
        config = yield from self.config()
        if symbol not in config.markets:
            self._config = None
            config = yield from self.config()
        if symbol not in config.markets:
            raise UnknownMarketError(f"{symbol} is none of {', '.join(config.markets)}")
        return config.markets[symbol]

    def book(self, symbol: str, levels: int) -> Operation[Book]:
        """Return the aggregated book."""
        path = f"/v1/markets/{symbol}/book"
        document = yield from ask(Request("GET", path, {"levels": levels}))
        return msgspec.convert(document, Book)

    def place(self, wish: Wish) -> Operation[Placed]:
        """Sign and send an order; the answer comes when it is on disk."""
        if wish.is_single_shot:
            return (yield from self._single_shot(wish))
        return (yield from self._resting(wish))

    def sign(self, wish: Wish, place: Place) -> Operation[dict[str, Any]]:
        """Return the signed order, to be sent whenever and by whomever."""
        wallet = self._signer()
        market = yield from self.market(wish.market)
        config = yield from self.config()
        now_s = self._now_ns() // NS
        fields = unsigned_order(wish, market, wallet.account, place, now_s)
        signature = wallet.sign(digest(config.domain, ORDER_TYPE, fields))
        return {**fields, "signature": signature, "client_id": wish.client_id}

    def signed(self, wish: Wish) -> Operation[dict[str, Any]]:
        """Return ``wish`` signed, with a place of its own."""
        return (yield from self.sign(wish, (yield from self.next_place(wish))))

    def send(self, order: Mapping[str, Any]) -> Operation[Placed]:
        """Send a signed order; the same again gets the first answer."""
        document = yield from ask(Request("POST", "/v1/orders", body=order))
        return msgspec.convert(document, Placed)

    def next_place(self, wish: Wish) -> Operation[Place]:
        """Return a nonce, and a lane if need be, for ``wish``."""
        if not wish.is_single_shot:
            return self._places.resting()
        if self._places.next_single_shot is None:
            account = self._signer().account
            nonces = yield from ask(Request("GET", f"/v1/nonces/{account}"))
            self._places.next_single_shot = int(nonces["single_shot"])
        return self._places.single_shot()

    def cancel(self, order_id: str) -> Operation[None]:
        """Take one order off the book."""
        yield from self._mine("DELETE", f"/v1/orders/{order_id}")

    def cancel_named(self, client_id: str) -> Operation[None]:
        """Take the order of that client id off the book."""
        yield from self._mine("DELETE", f"/v1/orders/by-client-id/{client_id}")

    def cancel_all(self, market: str | None) -> Operation[int]:
        """Take all orders off the book; return how many they were."""
        cancelled, left = 0, 1
        while left:
            params = {} if market is None else {"market": market}
            document = yield from self._mine("DELETE", "/v1/orders", params)
            cancelled, left = cancelled + document["cancelled"], document["left"]
        return cancelled

    def cancel_after(self, seconds: int) -> Operation[None]:
        """Arm the dead man's switch, or disarm it with 0."""
        yield from self._mine("POST", "/v1/cancel-after", body={"seconds": seconds})

    def amend(self, order_id: str, quantity: Amount) -> Operation[None]:
        """Leave an order ``quantity`` open: less than it has; it keeps its place."""
        order = yield from self.order(order_id)
        market = yield from self.market(order.market)
        body = {"lots_open": market.lots(quantity)}
        yield from self._mine("PATCH", f"/v1/orders/{order_id}", body=body)

    def replace(self, order_id: str, wish: Wish) -> Operation[Placed]:
        """Cancel an order and, only if that has happened, place another."""
        order = yield from self.signed(wish)
        body = {"cancel": {"order_id": order_id}, "order": order}
        document = yield from self._mine("POST", "/v1/orders/replace", body=body)
        return msgspec.convert(document["place"]["result"], Placed)

    def place_many(self, wishes: Sequence[Wish]) -> Operation[list[Placed | RejectedError]]:
        """Sign and send up to 50 orders at once; each has a result of its own."""
        orders = []
        for wish in wishes:
            order = yield from self.signed(wish)
            orders.append(order)
        document = yield from ask(Request("POST", "/v1/orders/batch", body={"orders": orders}))
        return [
            msgspec.convert(one["result"], Placed)
            if one["error"] is None
            else RejectedError(one["error"]["status"], one["error"])
            for one in document["results"]
        ]

    def open_orders(self) -> Operation[list[Order]]:
        """Return all resting orders, oldest first."""
        rows = yield from self._pages("/v1/orders", "orders", "after")
        return msgspec.convert(rows, list[Order])

    def order(self, order_id: str) -> Operation[Order]:
        """Return one order by its id."""
        document = yield from self._mine("GET", f"/v1/orders/{order_id}")
        return msgspec.convert(document, Order)

    def order_of(self, client_id: str) -> Operation[Order]:
        """Return the last order of that client id."""
        document = yield from self._mine("GET", f"/v1/orders/by-client-id/{client_id}")
        return msgspec.convert(document, Order)

    def fills(self, limit: int) -> Operation[list[Fill]]:
        """Return the last fills, newest first."""
        document = yield from self._mine("GET", "/v1/fills", {"limit": limit})
        return msgspec.convert(document["fills"], list[Fill])

    def balances(self) -> Operation[dict[str, Balance]]:
        """Return what the account has, by symbol."""
        document = yield from self._mine("GET", "/v1/balances")
        rows = msgspec.convert(document["balances"], list[Balance])
        return {row.symbol: row for row in rows}

    def session(self) -> Operation[str]:
        """Return a bearer token, signed for when there is none or it is about to end."""
        if self._token_ends - SESSION_MARGIN_S <= self._now_ns() // NS:
            wallet = self._signer()
            config = yield from self.config()
            now_s = self._now_ns() // NS
            login: dict[str, int | str] = {"account": wallet.account, "issuedAt": now_s}
            signature = wallet.sign(digest(config.domain, LOGIN_TYPE, login))
            body = {**login, "signature": signature}
            opened = yield from ask(Request("POST", "/v1/sessions", body=body))
            self._token, self._token_ends = opened["token"], opened["expires_at"]
        return self._token

    def _single_shot(self, wish: Wish) -> Operation[Placed]:
        place = yield from self.next_place(wish)
        try:
            return (yield from self._send(wish, place))
        except RejectedError as rejection:
            if rejection.outcome not in _NO_NONCE:
                raise
        # Another program of this account has counted on: ask where it stands.
        self._places.next_single_shot = None
        return (yield from self._send(wish, (yield from self.next_place(wish))))

    def _resting(self, wish: Wish) -> Operation[Placed]:
        for _ in range(LANES_TRIED - 1):
            try:
                return (yield from self._send(wish, self._places.resting()))
            except RejectedError as rejection:
                if rejection.outcome not in ("LANE_BUSY", *_NO_NONCE):
                    raise
        return (yield from self._send(wish, self._places.resting()))

    def _send(self, wish: Wish, place: Place) -> Operation[Placed]:
        order = yield from self.sign(wish, place)
        return (yield from self.send(order))

    def _mine(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] = {},
        body: Mapping[str, Any] | None = None,
    ) -> Operation[Any]:
        token = yield from self.session()
        return (yield from ask(Request(method, path, params, body, token)))

    def _pages(self, path: str, name: str, cursor: str) -> Operation[list[Any]]:
        rows: list[Any] = []
        following: int | None = 0
        while following is not None:
            document = yield from self._mine("GET", path, {cursor: following} if following else {})
            rows += document[name]
            following = document["next"]
        return rows

    def _signer(self) -> Wallet:
        if self._wallet is None:
            raise ValueError("this call needs a wallet")
        return self._wallet
