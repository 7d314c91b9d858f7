"""How requests are drawn from an OpenAPI document, and what each answer is held against."""

from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS

from gateway.trading.budgets import Budgets

PLENTY: Final = Budgets(60, 10**6, 10**6, 10**6, 10**6, 10**6)

HELD: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def drawn(examples: int) -> settings:
    """Return the settings of a test that draws so many requests an operation, always the same."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def held(case: Any, url: str, token: str = "") -> None:
    """Ask, with a bearer token if there is one, and hold the answer against the document."""
    checks = [CHECKS.get_one(name) for name in HELD]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    case.call_and_validate(url, checks=checks, headers=headers)
