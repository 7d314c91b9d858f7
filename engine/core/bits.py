"""Which price with orders comes next? A tree of 64-way bitmaps answers in a few words.

Level 0 has one bit per tick, each bit of the level above says whether a word below is not zero.
One tree serves both sides of a market: the book is never crossed, so every price below the best
ask is a bid. Words are int64 on purpose: numba turns int64 mixed with uint64 into float64.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from engine.core.jit import JIT_IS_ON, kernel
from engine.core.layout import NO_ASK, NO_BID, TREE_DEPTH, State

if JIT_IS_ON:

    @intrinsic  # type: ignore[misc, unused-ignore]
    def lowest_bit(typing_context: Any, word: Any) -> Any:
        """Return the number of the lowest set bit of ``word``, which is not 0."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

        return types.int64(types.int64), emit

    @intrinsic  # type: ignore[misc, unused-ignore]
    def highest_bit(typing_context: Any, word: Any) -> Any:
        """Return the number of the highest set bit of ``word``, which is not 0."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            zeros = builder.ctlz(arguments[0], context.get_constant(types.boolean, True))
            return builder.sub(context.get_constant(types.int64, 63), zeros)

        return types.int64(types.int64), emit

else:

    def lowest_bit(word: int) -> int:
        """Return the number of the lowest set bit of ``word``, which is not 0."""
        return (int(word) & -int(word)).bit_length() - 1

    def highest_bit(word: int) -> int:
        """Return the number of the highest set bit of ``word``, which is not 0."""
        return (int(word) & (2**64 - 1)).bit_length() - 1


@kernel
def set_bit(state: State, market: int, tick: int) -> None:
    """Note that ``tick`` has orders now."""
    for level in range(TREE_DEPTH):
        word = state.branches[level] + (tick >> 6)
        before = state.bits[market, word]
        state.bits[market, word] = before | (np.int64(1) << np.int64(tick & 63))
        if before != 0:
            return  # The levels above know this word already.
        tick >>= 6


@kernel
def clear_bit(state: State, market: int, tick: int) -> None:
    """Note that ``tick`` has no orders any more."""
    for level in range(TREE_DEPTH):
        word = state.branches[level] + (tick >> 6)
        left = state.bits[market, word] & ~(np.int64(1) << np.int64(tick & 63))
        state.bits[market, word] = left
        if left != 0:
            return
        tick >>= 6


@kernel
def next_above(state: State, market: int, tick: int) -> int:
    """Return the lowest tick with orders above ``tick``, or NO_ASK."""
    for level in range(TREE_DEPTH):
        above = np.int64(-2) << np.int64(tick & 63)
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
        below = ~(np.int64(-1) << np.int64(tick & 63))
        word = state.bits[market, state.branches[level] + (tick >> 6)] & below
        tick >>= 6
        if word != 0:
            tick = (tick << 6) | highest_bit(word)
            for down in range(level - 1, -1, -1):
                word = state.bits[market, state.branches[down] + tick]
                tick = (tick << 6) | highest_bit(word)
            return tick
    return NO_BID
