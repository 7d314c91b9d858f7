"""Who made each of many signatures? One call that recovers all of them.

What ``eip712.recover`` answers one by one, and a test holds both equal. By way of Python a recovery
takes the interpreter lock back four times, and waits for it as often while anybody else computes; a
kernel that calls libsecp256k1 by its addresses lets go of it once for all.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT
from llvmlite import binding
from numba import njit, types
from numpy.typing import NDArray

from engine.core.jit import JIT_IS_ON
from settlement.protocol.eip712 import (
    COMPACT_SIZE,
    HASH_SIZE,
    Domain,
    address_of_point,
    compact_of,
    order_digest,
    recover,
)
from settlement.protocol.evidence import SignedOrder

POINT_SIZE: Final = 65
"""Of a public key as it is written in full; the first byte only says so."""

_UNCOMPRESSED: Final = 2
"""``SECP256K1_EC_UNCOMPRESSED``."""

# Where in a kernel's own memory the library's structures lie.
_PARSED, _KEY, _SIZE, _OWN_SIZE = 0, 128, 192, 200

Octets = NDArray[np.uint8]


def _named(symbol: str, *arguments: Any) -> Any:
    """Return a function of libsecp256k1 for kernels; pointers are passed as numbers."""
    binding.add_symbol(symbol, int(ffi.cast("uintptr_t", ffi.addressof(lib, symbol))))
    return types.ExternalFunction(symbol, types.int32(*arguments))


_address: Final = types.intp
_parse: Final = _named(
    "secp256k1_ecdsa_recoverable_signature_parse_compact",
    *(_address, _address, _address, types.int32),
)
_recover: Final = _named("secp256k1_ecdsa_recover", _address, _address, _address, _address)
_serialize: Final = _named(
    "secp256k1_ec_pubkey_serialize", _address, _address, _address, _address, types.uint32
)


def _recover_all(
    context: int, digests: Octets, compacts: Octets, points: Octets, own: Octets
) -> None:
    """Write to row i of ``points`` in full whose key made row i of ``compacts`` over row i of
    ``digests``; a row stays as it is where none can have."""
    own_at = own.ctypes.data
    parsed, key, size = own_at + _PARSED, own_at + _KEY, own_at + _SIZE
    for i in range(digests.shape[0]):
        compact = compacts[i]
        if _parse(context, parsed, compact.ctypes.data, np.int32(compact[64])) == 0:
            continue
        if _recover(context, key, parsed, digests[i].ctypes.data) == 0:
            continue
        own[_SIZE:] = 0
        own[_SIZE] = POINT_SIZE  # A little-endian ``size_t``, as on all machines that numba knows.
        _serialize(context, points[i].ctypes.data, size, key, np.uint32(_UNCOMPRESSED))


_kernel: Final[Any] = njit(cache=True, nogil=True)(_recover_all)


def recover_many(digests: Sequence[bytes], signatures: Sequence[bytes]) -> list[bytes | None]:
    """Return for each digest what ``recover`` does; any thread may ask."""
    if not JIT_IS_ON:
        return list(map(recover, digests, signatures))
    compacts = [compact_of(signature) for signature in signatures]
    nobodys = bytes(COMPACT_SIZE)  # r and s are zero: no key makes that.
    count = len(compacts)
    points = np.zeros((count, POINT_SIZE), np.uint8)
    _kernel(
        int(ffi.cast("uintptr_t", GLOBAL_CONTEXT.ctx)),
        np.frombuffer(b"".join(digests), np.uint8).reshape(count, HASH_SIZE),
        np.frombuffer(b"".join(each or nobodys for each in compacts), np.uint8).reshape(
            count, COMPACT_SIZE
        ),
        points,
        np.empty(_OWN_SIZE, np.uint8),
    )
    written = points.tobytes()
    return [
        address_of_point(written[at + 1 : at + POINT_SIZE]) if written[at] else None
        for at in range(0, len(written), POINT_SIZE)
    ]


def recovered_orders(domain: Domain, orders: Sequence[SignedOrder]) -> list[SignedOrder]:
    """Return ``orders`` with digest and signer filled in: none where a signature is no good."""
    digests = [order_digest(domain, order) for order in orders]
    signers = recover_many(digests, [order.signature for order in orders])
    return [
        msgspec.structs.replace(order, digest=digest, signer=signer or b"")
        for order, digest, signer in zip(orders, digests, signers, strict=True)
    ]


def recovered_order(domain: Domain, order: SignedOrder) -> SignedOrder:
    """Return ``order`` with digest and signer filled in."""
    return recovered_orders(domain, [order])[0]
