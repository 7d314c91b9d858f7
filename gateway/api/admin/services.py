"""What does the operators' API need from the rest of the house?"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.api.admin.tokens import OperatorTokens
from gateway.http.clients import Clients
from gateway.http.draining import Draining
from gateway.http.metrics import Metrics
from gateway.trading.budgets import RateLimits
from settlement.operations import Operations


@dataclass(frozen=True)
class AdminServices:
    """Constructor arguments of the operators' API.

    ``take_snapshot`` begins one of now and returns whether it did: False while one is under way.
    ``snapshots`` returns the sequence of the newest, and whether one is under way. ``draining`` is
    how the traders' API is closed and opened again.
    """

    operations: Operations
    tokens: OperatorTokens
    limits: RateLimits
    clients: Clients
    metrics: Metrics
    draining: Draining
    take_snapshot: Callable[[], bool]
    snapshots: Callable[[], tuple[int, bool]]
    sequence: Callable[[], int]
    not_ready: Callable[[], list[str]]
    restrictions: Callable[[], list[str]]
    version: str
