"""What can be asked of the exchange, whoever asks: REST, WebSocket, merchants or the watcher?

One object with plain verbs over the pipeline. Everything that can be refused comes back as a
``Receipt`` whose ``outcome`` is not ACCEPTED; nothing here raises for what a client did.
"""

from typing import NamedTuple

from engine.events import Events
from engine.types import Outcome


class Receipt(NamedTuple):
    """The answer to one request.

    ``sequence`` is 0 and ``events`` is None when the request was refused before it was sequenced.
    ``order_id`` is the engine's id of a placed order (0 if none), ``detail`` says in plain words
    and figures why something was refused, for the client's eyes.
    """

    outcome: Outcome
    sequence: int = 0
    time_ns: int = 0
    order_id: int = 0
    digest: bytes = b""
    events: Events | None = None
    detail: dict[str, str] = {}

    @property
    def accepted(self) -> bool:
        """Return whether it happened."""
        return self.outcome == Outcome.ACCEPTED
