"""How does a test play messages to the compiled library, and what should have come out?

``Library`` calls the C interface from this process; ``play_in_host`` has a C program do it, which
loads the library with local symbols and knows nothing of Python.
"""

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.challenge.build import build_library
from benchmarks.challenge.layout import MESSAGE, REPORT
from benchmarks.challenge.oracle import Oracle
from benchmarks.challenge.player import play_rounds
from benchmarks.challenge.words import MessageType, judged_lines
from engine.types import Side

CAPACITY = 1 << 16

Message = tuple[int, int, int, int, int, int]
"""Type, order id, price, quantity, side, ioc."""


def buy(order_id: int, price: int, quantity: int) -> Message:
    return MessageType.NEW, order_id, price, quantity, Side.BUY, 0


def sell(order_id: int, price: int, quantity: int) -> Message:
    return MessageType.NEW, order_id, price, quantity, Side.SELL, 0


def at_once(message: Message) -> Message:
    """The same order, but what does not trade at once is dropped."""
    return *message[:5], 1


def cancel(order_id: int) -> Message:
    return MessageType.CANCEL, order_id, 0, 0, 0, 0


def modify(order_id: int, price: int, quantity: int, side: int = Side.BUY) -> Message:
    return MessageType.MODIFY, order_id, price, quantity, side, 0


def stream(messages: Iterable[Message]) -> NDArray[Any]:
    """Number ``messages`` and put them into an array."""
    names = ["type", "order_id", "price_ticks", "quantity", "side", "ioc"]
    rows = np.array(list(messages), [(name, MESSAGE[name]) for name in names])
    numbered = np.zeros(rows.size, MESSAGE)
    numbered[names] = rows
    numbered["sequence"] = np.arange(1, rows.size + 1)
    return numbered


_HANDLE = ctypes.c_void_p
_COUNT = ctypes.c_uint32


class Transport(ctypes.Structure):
    """The five functions of a queue of reports."""

    _fields_ = (
        ("create", ctypes.CFUNCTYPE(_HANDLE, _COUNT)),
        ("push", ctypes.CFUNCTYPE(ctypes.c_int, _HANDLE, ctypes.c_void_p)),
        ("drain", ctypes.CFUNCTYPE(_COUNT, _HANDLE, ctypes.c_void_p, _COUNT)),
        ("flush", ctypes.CFUNCTYPE(None, _HANDLE)),
        ("destroy", ctypes.CFUNCTYPE(None, _HANDLE)),
    )


class Library:
    """The compiled library in this process, its reports drained by the thread that plays."""

    def __init__(self) -> None:
        library = self._engine = ctypes.CDLL(str(build_library()))
        library.engine_init.argtypes = [ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p]
        library.engine_on_batch.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self._singles = [
            library.engine_on_new_order,
            library.engine_on_cancel,
            library.engine_on_modify,
        ]
        for call in self._singles:
            call.argtypes = [ctypes.c_void_p]
        library.engine_query_best_bid.restype = ctypes.c_int64
        library.engine_query_best_ask.restype = ctypes.c_int64
        library.engine_query_depth_at.argtypes = [ctypes.c_int64, ctypes.c_uint8]
        library.engine_query_depth_at.restype = ctypes.c_uint64
        library.engine_get_transport.restype = ctypes.POINTER(Transport)
        self._transport = library.engine_get_transport()
        self._queue: int | None = None
        self._rows = np.zeros(4096, REPORT)

    @contextmanager
    def opened(self, capacity: int = CAPACITY) -> Iterator["Library"]:
        """Begin with an empty book and leave nothing behind."""
        self._queue = self._transport.contents.create(capacity)
        self._engine.engine_init(1, self._transport, self._queue)
        try:
            yield self
        finally:
            self._engine.engine_shutdown()
            self._transport.contents.destroy(self._queue)

    @contextmanager
    def opened_on(self, given: Transport) -> Iterator["Library"]:
        """Begin with an empty book whose reports go to a queue that the caller brings."""
        self._engine.engine_init(1, ctypes.byref(given), None)
        try:
            yield self
        finally:
            self._engine.engine_shutdown()

    def play_each(self, messages: NDArray[Any]) -> None:
        """Play messages one by one; the reports stay where they are."""
        for at in range(messages.size):
            self._call(messages[at : at + 1])

    def play(self, messages: NDArray[Any]) -> None:
        """Play messages as one run; the reports stay where they are."""
        self._engine.engine_on_batch(messages.ctypes.data, messages.size)

    def batch(self, messages: NDArray[Any]) -> NDArray[Any]:
        """Play a run of messages; return the reports."""
        self.play(messages)
        return self._drained()

    def single(self, message: NDArray[Any]) -> NDArray[Any]:
        """Play an array of one message through the call of its type; return the reports."""
        self._call(message)
        return self._drained()

    def _call(self, message: NDArray[Any]) -> None:
        body = message.ctypes.data + MESSAGE.fields["order_id"][1]
        self._singles[int(message["type"][0])](body)

    def _drained(self) -> NDArray[Any]:
        self._engine.engine_flush()
        parts = [np.zeros(0, REPORT)]
        while True:
            got = self._transport.contents.drain(
                self._queue, self._rows.ctypes.data, self._rows.size
            )
            if got == 0:
                return np.concatenate(parts)
            parts.append(self._rows[:got].copy())

    def best_bid(self) -> int:
        return self._engine.engine_query_best_bid()

    def best_ask(self) -> int:
        return self._engine.engine_query_best_ask()

    def depth_at(self, price: int, side: int) -> int:
        return self._engine.engine_query_depth_at(price, side)


def expected(messages: NDArray[Any]) -> list[str]:
    """Return the judged lines of the reference's book."""
    oracle = Oracle()
    oracle.play(messages)
    return judged_lines(oracle.reports())


def play_in_host(messages: NDArray[Any], run: int, *, own_queue: bool = True) -> NDArray[Any]:
    """Have the C host play ``messages`` twice in runs of ``run``; return the reports.

    Its answers at the end of each run are compared with the oracle's here.
    """
    played = play_rounds(build_library(), messages, 2, run, own_queue=own_queue)
    oracle = Oracle()
    for number, answer in enumerate(played.answers):
        oracle.play(messages[number * run : (number + 1) * run])
        bid, ask = oracle.best_bid(), oracle.best_ask()
        depths = oracle.depth_at(bid, Side.BUY), oracle.depth_at(ask, Side.SELL)
        assert tuple(answer.tolist()) == (bid, ask, *depths), f"after run {number}"
    return played.reports
