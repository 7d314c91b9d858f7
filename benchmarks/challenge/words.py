"""Which kinds of message and report are there, and which text of a report is verdict?"""

from enum import IntEnum
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray


class MessageType(IntEnum):
    """What an engine is asked."""

    NEW = 0
    CANCEL = 1
    MODIFY = 2


class ReportType(IntEnum):
    """What an engine answers."""

    ORDER_ACK = 0
    TRADE = 1
    CANCEL_ACK = 2
    MODIFY_ACK = 3
    CANCEL_REJECT = 4
    MODIFY_REJECT = 5


_JUDGED = {
    ReportType.ORDER_ACK: ("sequence", "side", "order_id", "price_ticks", "quantity"),
    ReportType.TRADE: ("sequence", "price_ticks", "quantity", "maker_order_id", "taker_order_id"),
    ReportType.CANCEL_ACK: ("sequence", "side", "order_id", "price_ticks"),
    ReportType.MODIFY_ACK: ("sequence", "side", "order_id", "price_ticks", "quantity"),
    ReportType.CANCEL_REJECT: ("sequence", "order_id"),
    ReportType.MODIFY_REJECT: ("sequence", "order_id"),
}
"""Type of report to what its line holds, after the type."""


def judged_lines(reports: NDArray[Any]) -> list[str]:
    """Return the lines that are verdict, sorted by sequence and type; equals keep their order."""
    lines = np.empty(reports.size, object)
    for kind, names in _JUDGED.items():
        places = np.flatnonzero(reports["type"] == kind)
        columns = [reports[name][places].tolist() for name in names]
        pattern = ",".join([str(int(kind)), *["%d"] * len(names)])
        lines[places] = [pattern % row for row in zip(*columns, strict=True)]
    order = np.lexsort((reports["type"], reports["sequence"]))
    verdict: list[str] = lines[order].tolist()
    return verdict


def judged_hash(reports: NDArray[Any]) -> str:
    """Return the SHA-256 of the verdict text, as the challenge publishes it: no last newline."""
    return sha256("\n".join(judged_lines(reports)).encode()).hexdigest()
