"""Which machine instructions does Python have no word for?

Each is an intrinsic when the compiler is on and plain Python when it is off, with the same result.
Words are int64 on purpose: numba turns int64 mixed with uint64 into float64.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from engine.core.jit import JIT_IS_ON


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


@intrinsic
def _prefetch_compiled(typing_context: Any, rows: Any, index: Any) -> Any:
    """Ask for the cache line of ``rows[index]``; a hint, so any index does no harm."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type = signature.args[0]
        array = context.make_array(array_type)(context, builder, arguments[0])
        size = context.get_constant(types.intp, context.get_abi_sizeof(array.data.type.pointee))
        start = builder.ptrtoint(array.data, size.type)
        byte = builder.add(start, builder.mul(arguments[1], size))
        pointer = builder.inttoptr(byte, cgutils.voidptr_t)
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        # To be written, kept in all caches, and it is data.
        builder.call(prefetch, [pointer, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(rows, types.int64), emit


def _lowest_plain(word: int) -> int:
    return (int(word) & -int(word)).bit_length() - 1


def _highest_plain(word: int) -> int:
    return (int(word) & (2**64 - 1)).bit_length() - 1


def _prefetch_plain(rows: Any, index: int) -> None:
    """Do nothing: only the compiled engine waits for memory."""


lowest_bit: Any = _lowest_compiled if JIT_IS_ON else _lowest_plain
"""The number of the lowest set bit of an int64 that is not 0."""
highest_bit: Any = _highest_compiled if JIT_IS_ON else _highest_plain
"""The number of the highest set bit of an int64 that is not 0."""
prefetch: Any = _prefetch_compiled if JIT_IS_ON else _prefetch_plain
"""``prefetch(rows, index)`` asks memory for the line that ``rows[index]`` begins in; no waiting."""
