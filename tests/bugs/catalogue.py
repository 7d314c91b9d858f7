"""Which mistakes do matching engines make? Each is one part of the reference, slightly wrong.

All are kinds of mistakes that were found in real engines. The property tests must tell each from
the right engine; a bug they cannot see means that the traders, not the engine, needs work. A bug is
a subclass of the part it spoils; an engine is put together with it instead of the right one.
"""

from types import ModuleType
from typing import Any, Final

from engine import reference
from engine.reference.machine import PARTS
from engine.types import Limits
from tests.bugs import in_auctions, in_matching, in_money, in_orders, in_stops

Bug = type[Any]


def _spoiled_part(bug: Bug) -> str:
    """Return the name of the part that ``bug`` takes the place of."""
    (name,) = (name for name, right in PARTS._asdict().items() if issubclass(bug, right))
    return name


def _bugs_of(module: ModuleType) -> list[Bug]:
    """Return the classes that a file defines, in its order."""
    here = vars(module).values()
    return [c for c in here if isinstance(c, type) and c.__module__ == module.__name__]


def with_bug(bug: Bug, limits: Limits) -> reference.Engine:
    """Return a reference that makes one mistake."""
    return reference.Engine(limits, PARTS._replace(**{_spoiled_part(bug): bug}))


BUGS: Final = tuple(
    bug
    for module in (in_matching, in_stops, in_auctions, in_orders, in_money)
    for bug in _bugs_of(module)
)
