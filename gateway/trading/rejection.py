"""What is said when something asked for does not happen?

A plain exception, the same whoever asks and over which protocol: each dialect has its own table
from ``Outcome`` to what its clients know.
"""

from collections.abc import Mapping

from engine.types import Outcome


class Rejection(Exception):
    """Nothing has happened, because of ``outcome``.

    ``detail`` is one plain sentence, ``figures`` are what one must know to do better, and
    ``retry_after`` is in seconds: when the same request may succeed, where we know.
    """

    def __init__(
        self,
        outcome: Outcome,
        detail: str = "",
        figures: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.outcome = outcome
        self.detail = detail or title_of(outcome)
        self.figures = dict(figures or {})
        self.retry_after = retry_after
        super().__init__(self.detail)


def title_of(outcome: Outcome) -> str:
    """Return the outcome's name as words: ``Bad signature``."""
    return outcome.name.replace("_", " ").capitalize()
