"""What is a client told about one request?"""

from collections.abc import Sequence

import msgspec

from engine.log_entries import EventRow
from engine.types import Outcome


class CommandResult(msgspec.Struct, frozen=True):
    """The answer to one request; rejections are values.

    ``sequence`` is 0 and ``events`` None when the request was rejected before it was sequenced.
    ``order_id`` is the engine's id of a placed order (0 if none). ``detail`` says in plain words
    and figures why something was rejected.
    """

    outcome: Outcome
    sequence: int = 0
    time_ns: int = 0
    order_id: int = 0
    events: Sequence[EventRow] | None = None
    detail: dict[str, str] = {}

    @property
    def accepted(self) -> bool:
        """Return whether it happened."""
        return self.outcome == Outcome.ACCEPTED
