"""Where does one frame of a WebSocket end, and what does it say if it is the usual one?

RFC 6455, 5.2, as far as is needed to walk from frame to frame. Nearly all that clients send is
whole text in one frame, which is read here; whatever else there is, or is wrong, the library reads
and judges.
"""

from typing import Final, NamedTuple

from websockets.speedups import apply_mask

HEAD_BYTES_MAX: Final = 14
"""Two bytes, eight for a length, four for a mask."""

_WHOLE_TEXT: Final = 0x81
"""The last frame of its message and the first of it, text, nothing reserved."""

_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_MASK_BYTES: Final = 4
_WIDTHS: Final = {126: 2, 127: 8}
"""In how many bytes a length stands that is not the one in the head."""


class Head(NamedTuple):
    """What the head of a frame says: where its payload begins and ends, and whether it is whole
    text from a client, its mask in front of it."""

    begin: int
    end: int
    is_whole_text: bool


def head_at(held: bytes, at: int) -> Head | None:
    """Return the head of the frame that begins at ``at``; None while it is not all there."""
    if len(held) < at + 2:
        return None
    second = held[at + 1]
    size, begin = second & _LENGTH, at + 2
    if size in _WIDTHS:
        width = _WIDTHS[size]
        size, begin = int.from_bytes(held[begin : begin + width], "big"), begin + width
    is_masked = second >= _MASKED
    if is_masked:
        begin += _MASK_BYTES
    if len(held) < begin:
        return None
    return Head(begin, begin + size, is_masked and held[at] == _WHOLE_TEXT)


def text_of(held: bytes, head: Head) -> str:
    """Return the whole text of a frame that is all there; raises UnicodeDecodeError."""
    mask = held[head.begin - _MASK_BYTES : head.begin]
    return apply_mask(held[head.begin : head.end], mask).decode()
