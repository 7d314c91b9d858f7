"""Which engines must each scenario hold for? Both."""

from collections.abc import Callable
from typing import Any

import pytest

from engine import core, reference
from engine.types import Limits
from tests.ladder import SMALL, Desk

Build = Callable[[Limits], Any]


@pytest.fixture(params=[core.Engine, reference.Engine], ids=["core", "reference"])
def build(request: pytest.FixtureRequest) -> Build:
    """Return what makes an engine."""
    return request.param


@pytest.fixture
def desk(build: Build):
    """Return a desk before a funded engine; its books are proven after the test."""
    desk = Desk(build(SMALL))
    yield desk
    desk.book()
    desk.engine.check()
