"""Which engines must each scenario hold for? Both."""

from collections.abc import Callable
from typing import Any

import pytest

from engine import core, reference
from engine.types import Limits
from tests.ladder import SMALL, Driver

Build = Callable[[Limits], Any]


@pytest.fixture(params=[core.Engine, reference.Engine], ids=["core", "reference"])
def build(request: pytest.FixtureRequest) -> Build:
    """Return what makes an engine."""
    return request.param


@pytest.fixture
def driver(build: Build):
    """Return a driver before a funded engine; its books are proven after the test."""
    driver = Driver(build(SMALL))
    yield driver
    driver.book()
    driver.engine.check()
