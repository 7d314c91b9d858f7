"""How does a program trade over REST, waiting for each answer or not?

``Client`` waits, ``AsyncClient`` is awaited; both carry out the same operations. A request whose
answer was lost is sent again, as it is: the same signed order is taken once, and everything else
that is repeated here changes nothing twice.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from tillbook_client.amounts import Amount
from tillbook_client.answers import Balance, Book, Fill, Order, Placed
from tillbook_client.errors import RejectedError, UnknownOutcomeError
from tillbook_client.operations import Answer, Operation, Operations, Request, ask
from tillbook_client.orders import Market, Wish
from tillbook_client.signing import Wallet

TIMEOUT_SECONDS: Final = 10
TRIES_MAX: Final = 3

T = TypeVar("T")


def _arguments(request: Request) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {request.bearer}"} if request.bearer else {}
    body = None
    if request.body is not None:
        headers["content-type"] = "application/json"
        body = msgspec.json.encode(request.body)
    return {
        "method": request.method,
        "url": request.path,
        "params": dict(request.params),
        "content": body,
        "headers": headers,
    }


def _answer(response: httpx.Response) -> Answer:
    try:
        return Answer(response.status_code, msgspec.json.decode(response.content or b"{}"))
    except msgspec.DecodeError:
        raise UnknownOutcomeError(f"{response.status_code}: no JSON came back") from None


def _tries(request: Request) -> int:
    return TRIES_MAX if request.may_repeat else 1


class Client:
    """One account at one exchange, call by call; for one thread at a time."""

    def __init__(
        self,
        url: str,
        wallet: Wallet | None = None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``url`` is the exchange's; ``wallet`` may be left out by who only reads."""
        self._http = httpx.Client(
            base_url=url, timeout=TIMEOUT_SECONDS, transport=transport, trust_env=False
        )
        self._operations = Operations(wallet, now_ns)

    def buy(self, market: str, quantity: str, price: str, **terms: Any) -> Placed:
        """Buy ``quantity`` at ``price`` or better; ``terms`` as the fields of ``Wish``."""
        return self.place(Wish(market, "buy", quantity, price, **terms))

    def sell(self, market: str, quantity: str, price: str, **terms: Any) -> Placed:
        """Sell ``quantity`` at ``price`` or better; ``terms`` as the fields of ``Wish``."""
        return self.place(Wish(market, "sell", quantity, price, **terms))

    def place(self, wish: Wish) -> Placed:
        """Sign and send an order; the answer comes when it is on disk. Raises ``RejectedError``,
        ``InvalidAmountError``, ``UnknownOutcomeError``."""
        return self._run(self._operations.place(wish))

    def sign(self, wish: Wish) -> dict[str, Any]:
        """Return a signed order, to be sent whenever and by whomever; ``send`` sends it."""
        return self._run(self._operations.signed(wish))

    def send(self, order: Mapping[str, Any]) -> Placed:
        """Send a signed order; the same again gets the first answer."""
        return self._run(self._operations.send(order))

    def cancel(self, order_id: str) -> None:
        """Take one order off the book."""
        self._run(self._operations.cancel(order_id))

    def cancel_named(self, client_id: str) -> None:
        """Take the order of that client id off the book."""
        self._run(self._operations.cancel_named(client_id))

    def cancel_all(self, market: str | None = None) -> int:
        """Take all orders off the book, of one market or of all; return how many."""
        return self._run(self._operations.cancel_all(market))

    def cancel_after(self, seconds: int) -> None:
        """Arm the dead man's switch: all orders are cancelled then unless it is
        set again; 0 disarms."""
        self._run(self._operations.cancel_after(seconds))

    def amend(self, order_id: str, quantity: Amount) -> None:
        """Leave an order ``quantity`` open, less than it has; it keeps its place."""
        self._run(self._operations.amend(order_id, quantity))

    def replace(self, order_id: str, wish: Wish) -> Placed:
        """Cancel an order and, only if that has happened, place another."""
        return self._run(self._operations.replace(order_id, wish))

    def place_many(self, wishes: Sequence[Wish]) -> list[Placed | RejectedError]:
        """Sign and send up to 50 orders at once; each has a result of its own."""
        return self._run(self._operations.place_many(wishes))

    def market(self, symbol: str) -> Market:
        """Return a market's terms."""
        return self._run(self._operations.market(symbol))

    def book(self, symbol: str, levels: int = 20) -> Book:
        """Return the aggregated book, best prices first."""
        return self._run(self._operations.book(symbol, levels))

    def open_orders(self) -> list[Order]:
        """Return all resting orders, oldest first."""
        return self._run(self._operations.open_orders())

    def order(self, order_id: str) -> Order:
        """Return one order, open or among the last that ended."""
        return self._run(self._operations.order(order_id))

    def order_of(self, client_id: str) -> Order:
        """Return the last order of that client id."""
        return self._run(self._operations.order_of(client_id))

    def fills(self, limit: int = 50) -> list[Fill]:
        """Return the last fills, newest first, each with how far it is on chain."""
        return self._run(self._operations.fills(limit))

    def balances(self) -> dict[str, Balance]:
        """Return what the account has, by symbol."""
        return self._run(self._operations.balances())

    def document(self, path: str, **params: str | int) -> Any:
        """Return any public JSON document of the API."""
        return self._run(ask(Request("GET", path, params)))

    def session(self) -> str:
        """Return the bearer token of the account's session, which the stream asks for too."""
        return self._run(self._operations.session())

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        self.close()

    def _run(self, operation: Operation[T]) -> T:
        try:
            request = next(operation)
            while True:
                request = operation.send(self._ask(request))
        except StopIteration as end:
            value: T = end.value
            return value

    def _ask(self, request: Request) -> Answer:
        for left in reversed(range(_tries(request))):
            try:
                return _answer(self._http.request(**_arguments(request)))
            except httpx.TransportError as error:
                if not left:
                    raise UnknownOutcomeError(f"{request.method} {request.path}") from error
        raise AssertionError("the last try returns or raises")


class AsyncClient:
    """As ``Client``, awaited; many calls may be under way at once."""

    def __init__(
        self,
        url: str,
        wallet: Wallet | None = None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """``url`` is the exchange's; ``wallet`` may be left out by who only reads."""
        self._http = httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT_SECONDS, transport=transport, trust_env=False
        )
        self._operations = Operations(wallet, now_ns)

    async def buy(self, market: str, quantity: str, price: str, **terms: Any) -> Placed:
        """See ``Client.buy``."""
        return await self.place(Wish(market, "buy", quantity, price, **terms))

    async def sell(self, market: str, quantity: str, price: str, **terms: Any) -> Placed:
        """See ``Client.sell``."""
        return await self.place(Wish(market, "sell", quantity, price, **terms))

    async def place(self, wish: Wish) -> Placed:
        """See ``Client.place``."""
        return await self._run(self._operations.place(wish))

    async def sign(self, wish: Wish) -> dict[str, Any]:
        """See ``Client.sign``."""
        return await self._run(self._operations.signed(wish))

    async def send(self, order: Mapping[str, Any]) -> Placed:
        """See ``Client.send``."""
        return await self._run(self._operations.send(order))

    async def cancel(self, order_id: str) -> None:
        """See ``Client.cancel``."""
        await self._run(self._operations.cancel(order_id))

    async def cancel_named(self, client_id: str) -> None:
        """See ``Client.cancel_named``."""
        await self._run(self._operations.cancel_named(client_id))

    async def cancel_all(self, market: str | None = None) -> int:
        """See ``Client.cancel_all``."""
        return await self._run(self._operations.cancel_all(market))

    async def cancel_after(self, seconds: int) -> None:
        """See ``Client.cancel_after``."""
        await self._run(self._operations.cancel_after(seconds))

    async def amend(self, order_id: str, quantity: Amount) -> None:
        """See ``Client.amend``."""
        await self._run(self._operations.amend(order_id, quantity))

    async def replace(self, order_id: str, wish: Wish) -> Placed:
        """See ``Client.replace``."""
        return await self._run(self._operations.replace(order_id, wish))

    async def place_many(self, wishes: Sequence[Wish]) -> list[Placed | RejectedError]:
        """See ``Client.place_many``."""
        return await self._run(self._operations.place_many(wishes))

    async def market(self, symbol: str) -> Market:
        """See ``Client.market``."""
        return await self._run(self._operations.market(symbol))

    async def book(self, symbol: str, levels: int = 20) -> Book:
        """See ``Client.book``."""
        return await self._run(self._operations.book(symbol, levels))

    async def open_orders(self) -> list[Order]:
        """See ``Client.open_orders``."""
        return await self._run(self._operations.open_orders())

    async def order(self, order_id: str) -> Order:
        """See ``Client.order``."""
        return await self._run(self._operations.order(order_id))

    async def order_of(self, client_id: str) -> Order:
        """See ``Client.order_of``."""
        return await self._run(self._operations.order_of(client_id))

    async def fills(self, limit: int = 50) -> list[Fill]:
        """See ``Client.fills``."""
        return await self._run(self._operations.fills(limit))

    async def balances(self) -> dict[str, Balance]:
        """See ``Client.balances``."""
        return await self._run(self._operations.balances())

    async def document(self, path: str, **params: str | int) -> Any:
        """See ``Client.document``."""
        return await self._run(ask(Request("GET", path, params)))

    async def session(self) -> str:
        """See ``Client.session``."""
        return await self._run(self._operations.session())

    async def aclose(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        await self.aclose()

    async def _run(self, operation: Operation[T]) -> T:
        try:
            request = next(operation)
            while True:
                request = operation.send(await self._ask(request))
        except StopIteration as end:
            value: T = end.value
            return value

    async def _ask(self, request: Request) -> Answer:
        for left in reversed(range(_tries(request))):
            try:
                return _answer(await self._http.request(**_arguments(request)))
            except httpx.TransportError as error:
                if not left:
                    raise UnknownOutcomeError(f"{request.method} {request.path}") from error
        raise AssertionError("the last try returns or raises")
