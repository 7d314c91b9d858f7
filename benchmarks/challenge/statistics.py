"""Which statistics does a stream of messages have, and what should be reported on it?"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.challenge.oracle import Oracle
from benchmarks.challenge.words import MessageType, ReportType

LOOKS: Final = 200
"""How often the book is looked at."""


class Statistics(NamedTuple):
    """What the challenge publishes of its scenarios, and the reports that are right."""

    messages: int
    orders: int
    fills: int
    cancelled_share: float
    standing_average: float
    standing_most: int
    levels_average: float
    levels_most: int
    reports: NDArray[Any]


def statistics_of(messages: NDArray[Any]) -> Statistics:
    """Play ``messages`` to the oracle and count."""
    oracle = Oracle()
    standing, levels = [], []
    for run in np.array_split(messages, LOOKS):
        oracle.play(run)
        standing.append(oracle.orders_resting)
        levels.append(oracle.levels)
    new = messages[messages["type"] == MessageType.NEW]
    cancels = messages["order_id"][messages["type"] == MessageType.CANCEL]
    reports = oracle.reports()
    return Statistics(
        messages.size,
        new.size,
        int(np.count_nonzero(reports["type"] == ReportType.TRADE)),
        float(np.unique(cancels).size / np.count_nonzero(new["ioc"] == 0)),
        float(np.mean(standing)),
        max(standing),
        float(np.mean(levels)),
        max(levels),
        reports,
    )
