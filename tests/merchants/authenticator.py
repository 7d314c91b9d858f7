"""An authenticator of our own, for tests over HTTP: it makes keys and signs challenges as browsers
do, with its user verified or not. The real ones are in ``tests/browser``."""

import json
import struct
from base64 import urlsafe_b64encode
from hashlib import sha256

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

UP, UV, AT = 1, 4, 64


def base64url(octets):
    return urlsafe_b64encode(octets).decode().rstrip("=")


class Authenticator:
    """One key for one site. ``counts`` is whether it counts its signatures."""

    def __init__(self, origin, rp_id, *, counts=True, number=1):
        self.origin, self.rp_id, self.counts = origin, rp_id, counts
        self.key = ec.derive_private_key(1_000_003 + number, ec.SECP256R1())
        self.credential_id = sha256(b"credential %d" % number).digest()
        self.count = 0

    @property
    def id(self):
        return base64url(self.credential_id)

    def _client(self, kind, challenge, origin):
        said = {"type": kind, "challenge": base64url(challenge), "origin": origin or self.origin}
        return json.dumps(said).encode()

    def _facts(self, flags, rest=b""):
        rp_hash = sha256(self.rp_id.encode()).digest()
        return rp_hash + struct.pack(">BI", flags, self.count) + rest

    def make(self, challenge, *, verified=True):
        """Return what ``navigator.credentials.create`` gives."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1}
        cose |= {-2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        name = struct.pack(">H", len(self.credential_id)) + self.credential_id
        flags = UP | AT | (UV if verified else 0)
        facts = self._facts(flags, bytes(16) + name + cbor2.dumps(cose))
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": facts})
        client = self._client("webauthn.create", challenge, None)
        response = {
            "clientDataJSON": base64url(client),
            "attestationObject": base64url(attestation),
        }
        return {"id": self.id, "response": response}

    def sign(self, challenge, *, verified=True, origin=None):
        """Return what ``navigator.credentials.get`` gives."""
        self.count += self.counts
        facts = self._facts(UP | (UV if verified else 0))
        client = self._client("webauthn.get", challenge, origin)
        signature = self.key.sign(facts + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": base64url(client),
            "authenticatorData": base64url(facts),
            "signature": base64url(signature),
        }
        return {"id": self.id, "response": response}
