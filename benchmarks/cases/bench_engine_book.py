"""What does a command cost in the book alone, in units of merely reading it?

Each round runs ``dispatch`` and then the book over the same commands, so that both see the same
machine. Before that the whole flow, prefill included, goes through the book and the oracle: every
id and the tally with its trade hash must be equal.
"""

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from benchmarks.bookalone import Book, Tally, dispatch
from benchmarks.harness import median_figure
from benchmarks.oracle import OracleBook, rows_of
from benchmarks.profiles import LADDER_TICKS, PROFILES, Day, Profile, make_day

SEED = 1
ROUNDS = 11
PIECES = 7
"""The oracle plays a flow once, in twice so many pieces; piece i and i + PIECES make a run, so that
both halves of ``cancel_storm`` are in each."""


def oracle_times_ns(day: Day, answers: list[int]) -> tuple[list[float], Tally]:
    """Play a day on the oracle; fill ``answers``, return ns a command of each run and the tally."""
    oracle = OracleBook(day.orders_max)
    answers += oracle.play(rows_of(day.prefill))
    pieces = [rows_of(piece) for piece in np.array_split(day.main, 2 * PIECES)]
    took_ns = []
    for rows in pieces:
        start = perf_counter()
        given = oracle.play(rows)
        took_ns.append((perf_counter() - start) * 1e9 / len(rows))
        answers += given
    runs = [(took_ns[i] + took_ns[i + PIECES]) / 2 for i in range(PIECES)]
    return runs, oracle.tally()


def verified_reference_ns(day: Day) -> list[float]:
    """Hold the book against the oracle over the whole day; return the oracle's times."""
    expected: list[int] = []
    times_ns, tally = oracle_times_ns(day, expected)
    book = Book(day.orders_max, LADDER_TICKS)
    given = []
    for commands in (day.prefill, day.main):
        answers = np.zeros(commands.size, np.int64)
        book.play(commands, answers)
        given += answers.tolist()
    assert given == expected, "every id"
    assert book.tally() == tally
    return times_ns


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_book_alone(benchmark: Any, profile: Profile) -> None:
    day = make_day(profile, SEED)
    reference_ns = verified_reference_ns(day)
    floor_ns: list[float] = []
    answers = np.zeros(day.main.size, np.int64)
    unused = np.zeros(day.prefill.size, np.int64)
    dispatch(day.main[:1], np.zeros(5, np.int64))

    def fresh() -> tuple[Any, dict[str, bool]]:
        book = Book(day.orders_max, LADDER_TICKS)
        book.play(day.prefill, unused, hashing=False)
        sums = np.zeros(5, np.int64)
        start = perf_counter()
        dispatch(day.main, sums)
        floor_ns.append((perf_counter() - start) * 1e9 / day.main.size)
        return (book, day.main, answers), {"hashing": False}

    benchmark.pedantic(Book.play, setup=fresh, rounds=ROUNDS)

    book_ns = [seconds * 1e9 / day.main.size for seconds in benchmark.stats.stats.data]
    ratios = [book / floor for book, floor in zip(book_ns, floor_ns, strict=True)]
    stem = f"engine.book.{profile.name}"
    benchmark.extra_info["figures"] = {
        f"{stem}.ns": median_figure(book_ns, "ns"),
        f"{stem}.dispatch_ns": median_figure(floor_ns, "ns"),
        f"{stem}.x_dispatch": median_figure(ratios, "x")
        | {"value": median(book_ns) / median(floor_ns)},
        f"engine.reference.{profile.name}.ns": median_figure(reference_ns, "ns"),
    }
