"""Arrays and fields in a snapshot are named as in those already written, whatever the kernel says.

A snapshot that does not fit is not an error, only a slow start: nobody would notice.
"""

from hashlib import sha256

import numpy as np

from engine.core import Engine
from engine.types import Limits

ARRAYS = [
    *("counters", "orders", "expiry_ns", "extras", "markets"),
    *("cells", "tokens", "pending", "area_min", "queues"),
]
FIELDS = "95167010033b1e26faaad0f20048f8f1f9626b898570e66f723b15abedacb3c2"
"""Of version 2 of a snapshot: SHA-256 over the names of arrays and the description of each."""


def test_names_and_fields_are_those_of_version_2():
    image = Engine(Limits(2, 1, 2, 4, 64)).image()
    assert list(image) == ARRAYS
    described = [(name, np.lib.format.dtype_to_descr(array.dtype)) for name, array in image.items()]
    assert sha256(repr(described).encode()).hexdigest() == FIELDS
