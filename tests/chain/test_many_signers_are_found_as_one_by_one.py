"""Who signed is the same whether signatures are recovered together or alone, malformed ones too."""

import random

import coincurve
import pytest

from settlement.protocol.eip712 import (
    SECP256K1_HALF_ORDER,
    address_of,
    keccak256,
    recover,
    sign,
)
from settlement.protocol.signers import recover_many

ORDER = 2 * SECP256K1_HALF_ORDER + 1
FIELD = 2**256 - 2**32 - 977


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def good(digest: bytes, seed: int) -> bytes:
    return sign(digest, keccak256(b"%d" % seed))


def malformed(dice: random.Random, signature: bytes) -> list[bytes]:
    """Return all that a signature may be and must not."""
    r, s, v = signature[:32], signature[32:64], signature[64:]
    high = word(ORDER - int.from_bytes(s, "big"))
    wrong_s = [word(n) for n in (0, SECP256K1_HALF_ORDER, SECP256K1_HALF_ORDER + 1, ORDER)]
    wrong_r = [word(n) for n in (0, 5, ORDER - 1, ORDER, FIELD - 1, FIELD, 2**256 - 1)]
    return [
        b"",
        signature[:64],
        signature + b"\0",
        *(r + s + bytes([n]) for n in (0, 1, 26, 29, 30, 255)),
        r + high + v,
        r + high + bytes([55 - v[0]]),
        *(r + each + v for each in wrong_s),
        *(each + s + v for each in wrong_r),
        dice.randbytes(65),
        dice.randbytes(64) + v,
    ]


@pytest.mark.parametrize("seed", range(8))
def test_all_forms_at_once(seed: int) -> None:
    dice = random.Random(seed)
    digests, signatures = [], []
    for n in range(6):
        digest = dice.randbytes(32)
        signature = good(digest, 100 * seed + n)
        for each in [signature, *malformed(dice, signature), signature]:
            digests.append(digest)
            signatures.append(each)
    alone = list(map(recover, digests, signatures))

    assert recover_many(digests, signatures) == alone
    assert None in alone and any(alone)


def test_each_has_its_own_signer() -> None:
    digests = [keccak256(b"%d" % n) for n in range(300)]
    signatures = [good(digest, n % 7) for n, digest in enumerate(digests)]
    keys = [coincurve.PrivateKey(keccak256(b"%d" % n)) for n in range(7)]
    wanted = [address_of(keys[n % 7].public_key) for n in range(300)]

    assert recover_many(digests, signatures) == wanted
    assert recover_many(digests[:1], signatures[:1]) == wanted[:1]
    assert recover_many([], []) == []
