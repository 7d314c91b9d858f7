"""Did this person's authenticator sign this challenge, here, with him verified?

py_webauthn checks the form and the signature; what it leaves to its caller is decided here: the
user must have been *verified* (finger, face or PIN, not just a touch), no attestation is read, and
the origin is exactly ours. Each check costs up to some milliseconds: not for the event loop.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Final, NamedTuple

import msgspec
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.parse_attestation_object import parse_attestation_object
from webauthn.helpers.structs import AttestationFormat

ALGORITHMS: Final = (
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)
TIMEOUT_MS: Final = 120_000
BAD_FORM: Final = (
    WebAuthnException,
    binascii.Error,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""All that the library is known to raise over what a stranger may send."""

_ALPHABET: Final = r"^[A-Za-z0-9_-]*$(?!\n)"
Octets = Annotated[str, msgspec.Meta(max_length=8_192, pattern=_ALPHABET)]
Attested = Annotated[str, msgspec.Meta(max_length=2_048, pattern=_ALPHABET)]
"""Without a maker's certificates it is some hundreds of octets."""


class Site(NamedTuple):
    """Where browsers see us: ``https://shop.example`` and, of it, the name that keys are for."""

    origin: str
    rp_id: str


class AttestationAnswer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What an authenticator says when it makes a key; base64url."""

    clientDataJSON: Octets  # noqa: N815 - as browsers have it
    attestationObject: Attested  # noqa: N815


class NewPasskey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new credential, as ``navigator.credentials.create`` gives it; base64url."""

    id: Octets
    response: AttestationAnswer


class AssertionAnswer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What an authenticator says when it signs; base64url."""

    clientDataJSON: Octets  # noqa: N815
    authenticatorData: Octets  # noqa: N815
    signature: Octets


class PasskeyAnswer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A signed challenge, as ``navigator.credentials.get`` gives it; base64url."""

    id: Octets
    response: AssertionAnswer


class Made(NamedTuple):
    """A key that may be kept."""

    credential_id: bytes
    public_key: bytes
    sign_count: int


def encoded(octets: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(octets).decode().rstrip("=")


def decoded(text: str) -> bytes:
    """Return the octets behind base64url; nothing where it is none."""
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def made_key(answer: NewPasskey, challenge: bytes, site: Site) -> Made | None:
    """Return the new key; None where anything about it is not as we asked."""
    try:
        attestation = parse_attestation_object(decoded(answer.response.attestationObject))
        if attestation.fmt != AttestationFormat.NONE:
            return None  # Certificates of makers tell us nothing that we would act on.
        verified = verify_registration_response(
            credential=_credential(answer.id, answer.response),
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            require_user_verification=True,
            supported_pub_key_algs=list(ALGORITHMS),
        )
    except BAD_FORM:
        return None
    return Made(verified.credential_id, verified.credential_public_key, verified.sign_count)


def new_count(
    answer: PasskeyAnswer, challenge: bytes, site: Site, public_key: bytes, sign_count: int
) -> int | None:
    """Return the authenticator's new count; None where the answer is not good.

    A count that has not grown is refused unless both are 0: then a copy of the key is about.
    """
    try:
        verified = verify_authentication_response(
            credential=_credential(answer.id, answer.response),
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        )
    except BAD_FORM:
        return None
    return verified.new_sign_count


def _credential(name: str, response: AttestationAnswer | AssertionAnswer) -> dict[str, object]:
    return {
        "id": name,
        "rawId": name,
        "type": "public-key",
        "response": msgspec.structs.asdict(response),
    }
