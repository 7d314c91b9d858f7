"""What shape has each answer to what is done with orders that stand, or with several?"""

import msgspec

from gateway.api.v1.schemas import Cancelled, Placed
from gateway.http.problems import Problem


class Amended(msgspec.Struct, frozen=True):
    """An order has ``lots_open`` from now on, in the place where it stood."""

    order_id: str
    lots_open: int
    sequence: int
    time_ns: str


class PlaceResult(msgspec.Struct, frozen=True):
    """What became of one order of several: either is null."""

    result: Placed | None
    error: Problem | None


class PlaceResults(msgspec.Struct, frozen=True):
    """What became of each order, in the order in which they were sent."""

    results: list[PlaceResult]


class CancelResult(msgspec.Struct, frozen=True):
    """What became of one cancel of several: either is null."""

    result: Cancelled | None
    error: Problem | None


class CancelResults(msgspec.Struct, frozen=True):
    """What became of each cancel, in the order in which they were sent."""

    results: list[CancelResult]


class CancelledAll(msgspec.Struct, frozen=True):
    """So many orders were cancelled. ``left`` is 0 unless there were more than one request may
    cancel: send it again then."""

    cancelled: int
    left: int
    sequence: int
    time_ns: str


class Armed(msgspec.Struct, frozen=True):
    """The dead man's switch: ``deadline_ns`` is when all orders of the account are cancelled unless
    it is set again; null when it is disarmed."""

    deadline_ns: str | None
    sequence: int
    time_ns: str


class Replaced(msgspec.Struct, frozen=True):
    """Both halves have happened."""

    cancel: CancelResult
    place: PlaceResult


class ReplaceProblem(Problem):
    """What became of both halves, where not both have happened: ``status`` is 409 if one has. The
    rest tells of the half that was refused; of the order, if both were."""

    cancel: CancelResult
    place: PlaceResult | None
