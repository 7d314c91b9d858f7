"""How does a kernel become a function that C can call, and find its arrays there?

C passes addresses, numba wants arrays. ``rows_at`` makes one of the other at no cost. Machine code
is cached below the engine's own cache, in a folder named after these sources too, because numba
does not notice a change in a file whose kernels are inlined (``engine/core/jit.py``).
"""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from benchmarks.challenge.layout import LINE_NAMES
from engine.core.jit import CACHE_DIRECTORY

_config: Any = numba.config
_cfunc: Any = numba.cfunc
_arrays: Any = arrayobj


def _fingerprint() -> str:
    digest = blake2b(digest_size=8)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


NATIVE_CACHE: Final = CACHE_DIRECTORY.joinpath(f"challenge-{_fingerprint()}")


@intrinsic
def _rows_at(typing_context: Any, address: Any, count: Any, dtype: Any) -> Any:
    """Return the ``count`` rows of ``dtype`` that begin at ``address``."""
    array_type = types.Array(dtype.dtype, 1, "C")

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = context.get_data_type(array_type.dtype)
        size = context.get_constant(types.intp, context.get_abi_sizeof(row))
        array = context.make_array(array_type)(context, builder)
        _arrays.populate_array(
            array,
            data=builder.inttoptr(arguments[0], row.as_pointer()),
            shape=[arguments[1]],
            strides=[size],
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()

    return array_type(types.int64, types.int64, dtype), emit


@intrinsic
def _natural(typing_context: Any, number: Any) -> Any:
    """Return ``number``, an int64 that is not negative, and let the compiler rely on that.

    An index that might be negative costs numba three instructions and a register each time.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = context.get_constant(types.int64, 0)
        builder.assume(builder.icmp_signed(">=", arguments[0], zero))
        return arguments[0]

    return types.int64(types.int64), emit


@intrinsic
def _claim(typing_context: Any, rows: Any, index: Any) -> Any:
    """Ask to own the cache line of ``rows[index]``, soon to be written; any index is harmless."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        row = builder.bitcast(builder.gep(array.data, [arguments[1]]), cgutils.voidptr_t)
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        builder.call(prefetch, [row, word(1), word(3), word(1)])  # Write, all caches, data.
        return context.get_dummy_value()

    return types.void(rows, types.int64), emit


@intrinsic
def _line_matches(typing_context: Any, names: Any, line: Any, wanted: Any, mask: Any) -> Any:
    """Compare the 16 entries of a line at once; one machine instruction where it has wide ones."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, wide = ir.IntType(32), ir.VectorType(ir.IntType(32), LINE_NAMES)
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        first = builder.mul(arguments[1], context.get_constant(types.int64, LINE_NAMES))
        line = builder.bitcast(builder.gep(array.data, [first]), wide.as_pointer())
        entries = builder.load(line, align=LINE_NAMES * 4)

        def spread(number: Any) -> Any:
            one = builder.insert_element(
                ir.Constant(wide, ir.Undefined), builder.trunc(number, word), word(0)
            )
            everywhere = ir.Constant(wide, [0] * LINE_NAMES)
            return builder.shuffle_vector(one, ir.Constant(wide, ir.Undefined), everywhere)

        masked = builder.and_(entries, spread(arguments[3]))
        equal = builder.icmp_unsigned("==", masked, spread(arguments[2]))
        bits = builder.bitcast(equal, ir.IntType(LINE_NAMES))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(names, types.int64, types.int64, types.int64), emit


rows_at: Any = _rows_at
"""``rows_at(address, count, dtype)``: an array, at no cost"""
natural: Any = _natural
"""``natural(number)``: the same number, which the compiler now knows is not negative"""
claim: Any = _claim
"""``claim(rows, index)``: ask to own the line of that row, soon to be written"""
line_matches: Any = _line_matches
"""``line_matches(names, line, wanted, mask)``: which of a line equal ``wanted`` in ``mask``"""


def native(*arguments: Any) -> Callable[[Callable[..., int]], Any]:
    """Compile a function of ``arguments`` that returns an int64 for callers in C."""

    def compile_it(function: Callable[..., int]) -> Any:
        before = _config.CACHE_DIR
        _config.CACHE_DIR = str(NATIVE_CACHE)
        try:
            signature = types.int64(*arguments)
            options = {"cache": True, "nopython": True, "error_model": "numpy", "_nrt": False}
            return _cfunc(signature, **options)(function)
        finally:
            _config.CACHE_DIR = before

    return compile_it
