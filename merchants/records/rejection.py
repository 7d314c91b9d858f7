"""What does the merchants' side answer instead of what was asked for?"""

from typing import NamedTuple

from engine.types import Outcome


class Rejection(NamedTuple):
    """Why a request was not carried out; ``detail`` says it in plain words and figures."""

    outcome: Outcome
    detail: dict[str, str]
