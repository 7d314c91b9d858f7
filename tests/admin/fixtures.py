"""An exchange with its operators' API, over memory and without a chain."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from engine.log_entries import LogEntry
from gateway.api.admin.services import AdminServices
from gateway.api.admin.tokens import OperatorTokens
from gateway.http.clients import Clients
from gateway.http.draining import Draining
from gateway.http.lifecycle import Lifecycle
from gateway.node.admin import ADMIN_BUDGETS, create_admin_app
from gateway.trading.budgets import RateLimits
from settlement.chain.chain import ChainUnavailableError
from settlement.halts import Phases, Reconciliation
from settlement.operations import OnChain, Operations
from settlement.orders.catalog import Token
from settlement.protocol.evidence import OperatorAction, evidence_of
from tests.api import fixtures as api

ALICE_TOKEN, BOB_TOKEN = "alice's own token " + "a" * 32, "bob's own token " + "b" * 32
ALICE_TOKEN, BOB_TOKEN = (token.replace(" ", "_") for token in (ALICE_TOKEN, BOB_TOKEN))
NEW_TOKEN = bytes([0x33] * 20)
MARKET = "/admin/v1/markets/TOKEN-USD"


class Judge:
    """Compares vault and ledger: as often as it is told to, and finds nothing."""

    def __init__(self) -> None:
        self.block, self.standing = 1, dict[bytes, Any]()
        self.surplus, self.debts = dict[str, int](), dict[str, int]()


class AdminVenue(api.Venue):
    """``changes`` are of ``AdminServices``."""

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.paused: set[str] = set()
        self.chain_answers = True
        self.listed_on_chain: dict[int, OnChain] = {}
        self.heeded: list[Token] = []
        self.states = self.trading.market_states
        self.judge = Judge()
        self.reconciliation = Reconciliation(self.judge, self.exchange)  # type: ignore[arg-type]
        self.phases = Phases(self.exchange, self.reconciliation, self._is_paused)
        self.operations = Operations(
            self.exchange, self.phases, self.states, self._on_chain, self.heeded.append
        )
        self.snapshots_begun = 0
        self.snapshot_under_way = False
        self.stops = 0
        self.lifecycle = Lifecycle()
        self.admin_services = AdminServices(
            **{
                "operations": self.operations,
                "tokens": OperatorTokens({"alice": ALICE_TOKEN, "bob": BOB_TOKEN}),
                "limits": RateLimits(ADMIN_BUDGETS, self.clock.now_ns),
                "clients": Clients(),
                "metrics": self.services.metrics,
                "draining": Draining(self.lifecycle, self._stop),
                "take_snapshot": self._take_snapshot,
                "snapshots": lambda: (0, self.snapshot_under_way),
                "sequence": lambda: self.engine.sequence,
                "not_ready": lambda: self.missing,
                "restrictions": lambda: self.restrictions,
                "version": "0.0.0-test",
            }
            | changes
        )

    def _is_paused(self, token: Token) -> bool:
        self._ask_chain()
        return token.symbol in self.paused

    def _on_chain(self, number: int) -> OnChain | None:
        self._ask_chain()
        return self.listed_on_chain.get(number)

    def _ask_chain(self) -> None:
        if not self.chain_answers:
            raise ChainUnavailableError("no answer")

    def _take_snapshot(self) -> bool:
        if self.snapshot_under_way:
            return False
        self.snapshots_begun += 1
        self.snapshot_under_way = True
        return True

    def _stop(self) -> None:
        self.stops += 1

    @property
    def entries(self) -> list[LogEntry]:
        """Return the whole log."""
        return [entry for batch in self.history for entry in batch.entries]

    @property
    def asked(self) -> list[OperatorAction]:
        """Return what stands in the log of operators, in order."""
        found = (evidence_of(entry) for entry in self.entries)
        return [one for one in found if isinstance(one, OperatorAction)]

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """See that nothing is written."""
        before = len(self.entries)
        yield
        assert len(self.entries) == before, "something was sequenced"


class Operator:
    """A client of the operators' API."""

    def __init__(self, http: httpx.AsyncClient, venue: AdminVenue, token: str) -> None:
        self.http, self.venue = http, venue
        self.headers = {"Authorization": f"Bearer {token}"}

    async def get(self, path: str) -> dict[str, Any]:
        answer = await self.http.get(f"/admin/v1{path}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        answer = await self.http.post(
            f"/admin/v1{path}", json={"reason": "a test"} | body, headers=self.headers
        )
        return answer.status_code, answer.json()

    async def done(self, path: str, **body: Any) -> dict[str, Any]:
        status, said = await self.post(path, **body)
        assert status in (200, 202), said
        return said

    async def refused(self, path: str, **body: Any) -> str:
        status, said = await self.post(path, **body)
        assert status >= 400, said
        outcome: str = said["outcome"]
        return outcome

    async def phase(self, phase: str) -> tuple[int, dict[str, Any]]:
        return await self.post("/markets/TOKEN-USD/phase", phase=phase)


Story = Callable[[Operator], Awaitable[None]]


def told(story: Story, **changes: Any) -> None:
    """Have ``story`` happen to an operator called alice."""

    async def whole() -> None:
        venue = AdminVenue(**changes)
        transport = httpx.ASGITransport(app=create_admin_app(venue.admin_services))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            await story(Operator(http, venue, ALICE_TOKEN))

    asyncio.run(whole())
