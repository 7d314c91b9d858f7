"""Each operation with nobody's key, a forged one, one that is over, and with somebody else's: what
the OpenAPI document says needs a session gives nothing away and changes nothing without the right
one.

The document says which operations these are, so one that is added is asked as well.
"""

import asyncio
from typing import Any, Final, NamedTuple

import pytest

from engine.types import Side
from gateway.api.v1.openapi import schema_of
from settlement.protocol.eip712 import Domain, login_digest, sign
from tests.api.fixtures import DOMAIN, OPERATOR_TOKEN, START_NS, Served, Venue, served

OPEN: Final = frozenset(
    {
        "POST /v1/orders",
        "POST /v1/orders/batch",
        "POST /v1/orders/digest",
        "POST /v1/sessions",
        "POST /v1/withdrawals",
        "POST /v1/keys",
        "DELETE /v1/keys/{key}",
    }
)
"""What a wallet has signed proves itself: these need no session."""

DENIED: Final = frozenset({401, 403, 404, 409})


class Operation(NamedTuple):
    """One of the document's."""

    method: str
    path: str
    needs_session: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations() -> list[Operation]:
    paths = schema_of(Venue().app())["paths"]
    return [
        Operation(method.upper(), path, {"session": []} in about.get("security", ()))
        for path, methods in paths.items()
        for method, about in methods.items()
    ]


SECURED: Final = [operation for operation in operations() if operation.needs_session]
BY_NAME: Final = {str(operation) for operation in operations()}


class Story:
    """A venue where the maker has one of everything, and who asks for it."""

    def __init__(self, up: Served) -> None:
        self.up, self.venue = up, up.venue

    async def begin(self) -> None:
        maker, taker = self.venue.maker, self.venue.taker
        resting = (await self.up.place(maker.order("sell", 50, 2_000, client_id="mine"))).json()
        await self.up.place(taker.order("buy", 20, 2_000, single_shot=True))
        self.names = {
            "order": resting["order_id"],
            "digest": resting["digest"],
            "client_id": "mine",
            "trade_id": "1",
            "key": "0x" + "77" * 20,
        }
        self.maker, self.taker = await self.up.token(maker), await self.up.token(taker)

    def body(self, path: str) -> dict[str, Any] | None:
        order = {"order_id": self.names["order"]}
        taker = self.venue.taker
        return {
            "/v1/orders/{order}": {"lots_open": 1},
            "/v1/orders/by-client-id/{client_id}": {"lots_open": 1},
            "/v1/orders/cancel": {"orders": [order]},
            "/v1/orders/replace": {"cancel": order, "order": taker.order("buy", 1, 1_000)},
            "/v1/cancel-after": {"seconds": 1},
        }.get(path)

    async def ask(self, operation: Operation, token: str | None) -> tuple[int, str]:
        path = operation.path.format(**self.names)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        more = {} if operation.method == "GET" else {"json": self.body(operation.path)}
        answer = await self.up.http.request(operation.method, path, headers=headers, **more)
        return answer.status_code, answer.text

    def world(self) -> object:
        """Return what must not change: all that the maker has, and the book."""
        address, users = self.venue.maker.address, self.venue.user_stream
        market = self.venue.exchange.catalog.markets[0]
        depth = [self.venue.exchange.depth(market, side, 9) for side in Side]
        return users.order(address, "mine"), users.balances(address), depth


def told(operation: Operation, tokens: dict[str, str | None]) -> dict[str, tuple[int, str, bool]]:
    """Return what each token is answered, and whether the world is as it was."""
    answers = {}

    async def story() -> None:
        async with served(Venue()) as up:
            here = Story(up)
            await here.begin()
            before = here.world()
            for name, token in tokens.items():
                given = {"taker": here.taker, "cut": here.maker[:-1]}.get(name, token)
                if name == "over":
                    given = here.maker
                    here.venue.clock.ns += 25 * 3600 * 10**9
                answers[name] = (*await here.ask(operation, given), here.world() == before)

    asyncio.run(story())
    return answers


def test_every_operation_says_whether_it_needs_a_session() -> None:
    assert BY_NAME >= OPEN
    assert len(SECURED) >= 18
    for operation in operations():
        if operation.method != "GET":
            assert operation.needs_session != (str(operation) in OPEN), str(operation)


@pytest.mark.parametrize("operation", SECURED, ids=str)
def test_without_the_right_session_nothing_is_told_and_nothing_happens(
    operation: Operation,
) -> None:
    tokens = {
        "none": None,
        "forged": "A" * 200,
        "cut": None,
        "operator": OPERATOR_TOKEN,
        "over": None,
    }
    for name, (status, text, is_same) in told(operation, tokens).items():
        assert status == 401, (name, status, text)
        assert "NOT_AUTHENTICATED" in text and is_same, name


@pytest.mark.parametrize("operation", SECURED, ids=str)
def test_another_accounts_objects_are_out_of_reach(operation: Operation) -> None:
    ((status, text, is_same),) = told(operation, {"taker": None}).values()
    assert is_same
    assert "sell" not in text, "what the maker has done is not told"
    if "{" in operation.path and operation.path != "/v1/fills/{trade_id}/receipt":
        assert status in DENIED, text


def test_a_session_of_another_exchange_is_none_here() -> None:
    """The same login, signed for another contract."""

    async def story() -> None:
        async with served(Venue()) as up:
            maker = up.venue.maker
            issued_at = START_NS // 10**9
            digest = login_digest(Domain(DOMAIN.chain_id, bytes(20)), maker.address, issued_at)
            signature = "0x" + sign(digest, maker.secret).hex()
            login = maker.login(issued_at) | {"signature": signature}
            answer = await up.http.post("/v1/sessions", json=login)
            assert (answer.status_code, answer.json()["outcome"]) == (401, "BAD_SIGNATURE")

    asyncio.run(story())
