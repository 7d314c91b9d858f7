"""Lines are counted once a command, whole, and under the place where they were met first."""

from pathlib import Path

import numpy as np

from benchmarks.flow import Shape, limits_for
from benchmarks.lines import PLACES, Trace, loaded, traced, watched
from engine.core.state import ACCOUNT_BALANCES, LINE_BYTES, NEAR_START, new_state

ORDER, NEIGHBOUR, LEVEL = PLACES[:3]
HEAD, BALANCE = PLACES[4:6]


def test_an_element_across_two_lines_touches_both() -> None:
    trace = Trace()
    trace.note(ORDER, 5 * LINE_BYTES + 60, 8)
    trace.note(ORDER, 7 * LINE_BYTES, LINE_BYTES)
    assert sorted(trace.lines) == [5, 6, 7]


def test_a_line_is_counted_where_it_was_met_first() -> None:
    trace = Trace()
    trace.note(ORDER, 0, 1)
    trace.note(LEVEL, 8, 1)
    assert trace.lines == {0: ORDER}


def test_reading_and_writing_note_the_element_and_change_what_they_should() -> None:
    trace, numbers = Trace(), np.arange(64, dtype=np.int64)
    seen = traced(numbers, "orders", trace)
    assert seen[9] == 9
    seen[40] = 7
    assert numbers[40] == 7
    starts = [numbers.ctypes.data + 8 * index for index in (9, 40)]
    assert list(trace.lines) == [start // LINE_BYTES for start in starts]
    assert set(trace.lines.values()) == {ORDER}


def test_one_column_has_several_places() -> None:
    trace = Trace()
    state = new_state(limits_for(Shape()))
    seen = watched(state, trace)
    near, row = int(state.bounds[NEAR_START]), int(state.bounds[ACCOUNT_BALANCES])
    for column, index, place in (
        (seen.links, near - 1, NEIGHBOUR),
        (seen.links, near, LEVEL),
        (seen.balances, 3 * row, HEAD),
        (seen.balances, 3 * row + 1, BALANCE),
    ):
        trace.lines = {}
        column[index]
        assert set(trace.lines.values()) == {place}


def test_a_state_comes_back_from_its_files_as_it_was(tmp_path: Path) -> None:
    shape = Shape()
    state = new_state(limits_for(shape))
    state.orders["next"][5] = 77
    for name, column in state._asdict().items():
        np.save(tmp_path / f"{name}.npy", column.view(np.uint8))
    again = loaded(tmp_path, shape)
    for name, column in state._asdict().items():
        assert np.array_equal(column.view(np.uint8), again._asdict()[name].view(np.uint8)), name
