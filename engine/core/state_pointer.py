"""How does Python hand the whole state to a kernel without paying for each array?

As one array of addresses and lengths. Unpacking a tuple of fifteen arrays costs numba 16 us a call,
a pointer 0.2 us. The owner of the pointer keeps the arrays alive. Without the compiler the pointer
is simply the tuple itself.
"""

from typing import Any, TypeVar

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj
from numba.np.numpy_support import from_dtype

from engine.core.jit import JIT_IS_ON

_populate: Any = arrayobj.populate_array

_T = TypeVar("_T", bound=tuple[Any, ...])


def pointer_of(arrays: _T) -> Any:
    """Return the pointer of a named tuple of one-dimensional contiguous arrays."""
    for array in arrays:
        assert array.ndim == 1 and array.flags.c_contiguous, array.shape
    if not JIT_IS_ON:
        return arrays
    pairs = [(array.ctypes.data, array.size) for array in arrays]
    return np.array(pairs, np.int64).reshape(-1)


def opener_of(arrays: _T) -> Any:
    """Return what turns a pointer back into a tuple like ``arrays``, within a kernel."""
    if not JIT_IS_ON:
        return _as_it_is
    array_types = [types.Array(from_dtype(array.dtype), 1, "C") for array in arrays]
    numba_types: Any = types
    tuple_type = numba_types.NamedTuple(array_types, type(arrays))
    sizes = [array.itemsize for array in arrays]

    @intrinsic
    def open_pointer(typing_context: Any, pointer: Any) -> Any:
        """Read each address and length; nothing is copied."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            words = context.make_array(signature.args[0])(context, builder, arguments[0])
            opened = []
            for i, (array_type, size) in enumerate(zip(array_types, sizes, strict=True)):
                place = context.get_constant(types.intp, 2 * i)
                address = builder.load(builder.gep(words.data, [place]))
                place = context.get_constant(types.intp, 2 * i + 1)
                count = builder.load(builder.gep(words.data, [place]))
                item_size = context.get_constant(types.intp, size)
                array = context.make_array(array_type)(context, builder)
                _populate(
                    array,
                    data=builder.inttoptr(address, array.data.type),
                    shape=[count],
                    strides=[item_size],
                    itemsize=item_size,
                    meminfo=None,
                )
                opened.append(array._getvalue())
            return context.make_tuple(builder, tuple_type, opened)

        return tuple_type(pointer), emit

    return open_pointer


def _as_it_is(pointer: Any) -> Any:
    return pointer
