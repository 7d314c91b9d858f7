"""Which price with orders comes next? A tree of 64-way bitmaps answers in a few words.

Level 0 has one bit per tick, each bit of the level above says whether a word below is not zero.
One tree serves both sides of a market: the book is never crossed, so every price below the best
ask is a bid. Words are int64 on purpose: numba turns int64 mixed with uint64 into float64.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from numba import types
from numba.extending import intrinsic

from engine.core.jit import JIT_IS_ON, i64, kernel
from engine.core.layout import NO_ASK, NO_BID, TREE_DEPTH, State


@intrinsic
def _lowest_compiled(typing_context: Any, word: Any) -> Any:
    """Count trailing zeros with one machine instruction."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return types.int64(types.int64), emit


@intrinsic
def _highest_compiled(typing_context: Any, word: Any) -> Any:
    """Count leading zeros with one machine instruction."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], context.get_constant(types.boolean, True))
        return builder.sub(context.get_constant(types.int64, 63), zeros)

    return types.int64(types.int64), emit


def _lowest_plain(word: int) -> int:
    """Do the same in Python, for runs without the compiler."""
    return (int(word) & -int(word)).bit_length() - 1


def _highest_plain(word: int) -> int:
    """Do the same in Python, for runs without the compiler."""
    return (int(word) & (2**64 - 1)).bit_length() - 1


lowest_bit: Any = _lowest_compiled if JIT_IS_ON else _lowest_plain
"""The number of the lowest set bit of an int64 that is not 0."""
highest_bit: Any = _highest_compiled if JIT_IS_ON else _highest_plain
"""The number of the highest set bit of an int64 that is not 0."""


@kernel
def set_bit(state: State, market: int, tick: int) -> None:
    """Note that ``tick`` has orders now."""
    for level in range(TREE_DEPTH):
        word = state.branches[level] + (tick >> 6)
        before = state.bits[market, word]
        state.bits[market, word] = before | (i64(1) << i64(tick & 63))
        if before != 0:
            return  # The levels above know this word already.
        tick >>= 6


@kernel
def clear_bit(state: State, market: int, tick: int) -> None:
    """Note that ``tick`` has no orders any more."""
    for level in range(TREE_DEPTH):
        word = state.branches[level] + (tick >> 6)
        left = state.bits[market, word] & ~(i64(1) << i64(tick & 63))
        state.bits[market, word] = left
        if left != 0:
            return
        tick >>= 6


@kernel
def next_above(state: State, market: int, tick: int) -> int:
    """Return the lowest tick with orders above ``tick``, or NO_ASK."""
    for level in range(TREE_DEPTH):
        above = i64(-2) << i64(tick & 63)
        word = state.bits[market, state.branches[level] + (tick >> 6)] & above
        tick >>= 6
        if word != 0:
            tick = (tick << 6) | lowest_bit(word)
            for down in range(level - 1, -1, -1):
                word = state.bits[market, state.branches[down] + tick]
                tick = (tick << 6) | lowest_bit(word)
            return tick
    return NO_ASK


@kernel
def next_below(state: State, market: int, tick: int) -> int:
    """Return the highest tick with orders below ``tick``, or NO_BID."""
    for level in range(TREE_DEPTH):
        below = ~(i64(-1) << i64(tick & 63))
        word = state.bits[market, state.branches[level] + (tick >> 6)] & below
        tick >>= 6
        if word != 0:
            tick = (tick << 6) | highest_bit(word)
            for down in range(level - 1, -1, -1):
                word = state.bits[market, state.branches[down] + tick]
                tick = (tick << 6) | highest_bit(word)
            return tick
    return NO_BID
