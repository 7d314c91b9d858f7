"""What does the tape reader make of each LOBSTER line, and does it name a line it cannot read?"""

import pytest

from engine.types import Side
from gateway.sandbox.tape import Act, Message, TapeError, read_tape

NEW = "34200.1,1,7,100,5853300,1"


def test_each_type_is_what_the_format_says():
    lines = [
        NEW,
        "34200.2,1,8,50,5853400,-1",
        "34200.3,2,7,40,5853300,1",
        "34200.4,4,8,50,5853400,-1",
        "34200.5,3,7,60,5853300,1\n",
    ]

    assert list(read_tape(lines)) == [
        Message(Act.PLACE, 7, 100, 58533, Side.BUY),
        Message(Act.PLACE, 8, 50, 58534, Side.SELL),
        Message(Act.REDUCE, 7, 40, 58533, Side.BUY),
        Message(Act.TAKE, 8, 50, 58534, Side.BUY),
        Message(Act.CANCEL, 7, 60, 58533, Side.BUY),
    ]


@pytest.mark.parametrize("kind", [5, 6, 7])
def test_what_leaves_the_visible_book_alone_is_passed_over(kind):
    assert list(read_tape([f"34200.1,{kind},0,100,5853350,1"])) == []


@pytest.mark.parametrize("kind", [2, 3, 4])
def test_an_order_from_before_the_recording_is_passed_over(kind):
    assert list(read_tape([f"34200.1,{kind},99,100,5853300,1"])) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "34200.1,1,7,100,5853300",
        "34200.1,1,7,100,5853300,1,1",
        "34200.1,one,7,100,5853300,1",
        "34200.1,1,7,100,58533.5,1",
        "34200.1,9,7,100,5853300,1",
        "34200.1,1,7,100,5853350,1",
        "34200.1,1,7,0,5853300,1",
        "34200.1,1,7,-5,5853300,1",
        "34200.1,1,7,100,0,1",
        "34200.1,1,7,100,5853300,0",
    ],
)
def test_a_line_that_is_no_message_is_named(line):
    with pytest.raises(TapeError, match=r"^line 3\b"):
        list(read_tape([NEW, "34200.2,1,8,50,5853400,-1", line]))
