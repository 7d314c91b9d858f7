"""May this message of EIP-4361 open a session here, now, and no second time?

Nonces are sealed by HMAC and carry their end, so that none is kept before it is used; those that
were used are, until they would have ended anyway, and those of an earlier start are none.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from engine.types import Outcome
from gateway.trading.rejection import Rejection
from settlement.protocol.eip712 import Domain
from settlement.protocol.session_proofs import LOGIN_WINDOW_SECONDS
from settlement.protocol.siwe import SiweError, SiweMessage, parsed, resource_of

NONCE_SECONDS: Final = 300
USED_MAX: Final = 1 << 17
"""Nonces that were used within their life, kept: beyond that nobody signs in this way for a while,
for a second use could not be told from a first."""

_END_SIZE: Final = 5
_RANDOM_SIZE: Final = 8
_SEAL_SIZE: Final = 16
_NONCE_SIZE: Final = _END_SIZE + _RANDOM_SIZE + _SEAL_SIZE


class Nonces:
    """Makes nonces and takes each once."""

    def __init__(
        self,
        secret: bytes,
        now_ns: Callable[[], int],
        entropy: Callable[[int], bytes],
        used_max: int = USED_MAX,
    ) -> None:
        self._secret = secret
        self._now_ns = now_ns
        self._entropy = entropy
        self._used_max = used_max
        self._used: dict[str, int] = {}
        self._began_s = now_ns() // 10**9
        """What was used before is not known here, so what was made before is taken no more."""

    def issue(self) -> tuple[str, int]:
        """Return a nonce, and when it ends in unix seconds."""
        ends = self._now_ns() // 10**9 + NONCE_SECONDS
        body = ends.to_bytes(_END_SIZE, "big") + self._entropy(_RANDOM_SIZE)
        return (body + self._seal(body)).hex(), ends

    def use(self, nonce: str) -> None:
        """Use ``nonce`` up; raises ``Rejection`` where it is not ours, over, or was used."""
        try:
            raw = bytes.fromhex(nonce)
        except ValueError:
            raw = b""
        body, seal = raw[:-_SEAL_SIZE], raw[-_SEAL_SIZE:]
        if len(raw) != _NONCE_SIZE or not hmac.compare_digest(seal, self._seal(body)):
            raise _refused("the nonce is not one of GET /v1/sessions/nonce")
        now_s, ends = self._now_ns() // 10**9, int.from_bytes(body[:_END_SIZE], "big")
        if ends <= now_s:
            raise _refused("the nonce is over; ask for another")
        if ends - NONCE_SECONDS < self._began_s:
            raise _refused("the nonce is from before a restart; ask for another")
        if raw.hex() in self._used:
            raise _refused("the nonce was used; ask for another")
        if len(self._used) >= self._used_max:
            self._used = {used: until for used, until in self._used.items() if until > now_s}
            if len(self._used) >= self._used_max:
                raise Rejection(Outcome.OVERLOADED, "too many sign in; sign a Login instead")
        self._used[raw.hex()] = ends

    def _seal(self, body: bytes) -> bytes:
        sealed = hmac.new(self._secret, b"tillbook siwe nonce 1" + body, hashlib.sha256)
        return sealed.digest()[:_SEAL_SIZE]


def read_message(
    text: str, public_url: str, domain: Domain, now_ns: int, purpose: str = ""
) -> SiweMessage:
    """Return what ``text`` says, if it is meant for us and good now; raises ``Rejection``. What
    it opens is told by its resource, behind which ``purpose`` stands.

    Neither its signature nor its nonce was looked at.
    """
    if not public_url:
        raise _refused("this exchange does not know its own name; sign a Login instead")
    try:
        said = parsed(text)
    except SiweError as error:
        raise Rejection(Outcome.MALFORMED, f"no message of EIP-4361: {error}") from None
    now_s, site = now_ns // 10**9, urlsplit(public_url)
    if said.domain.lower() != site.netloc.lower():
        raise _refused(f"the message is for {said.domain}, this is {site.netloc}")
    uri = urlsplit(said.uri)
    if (uri.scheme, uri.netloc.lower()) != (site.scheme, site.netloc.lower()):
        raise _refused(f"the message's URI is not of {public_url}")
    if said.chain_id != domain.chain_id:
        raise Rejection(Outcome.WRONG_DOMAIN, f"the chain is {domain.chain_id}")
    resource = resource_of(domain) + purpose
    if resource not in said.resources:
        raise Rejection(Outcome.WRONG_DOMAIN, f"name the resource {resource}")
    if abs(now_s - said.issued_at) > LOGIN_WINDOW_SECONDS:
        raise _refused(f"it was issued more than {LOGIN_WINDOW_SECONDS} s from our clock")
    if (said.expires_at and said.expires_at <= now_s) or said.not_before > now_s:
        raise _refused("the message is not good now")
    return said


def _refused(why: str) -> Rejection:
    return Rejection(Outcome.NOT_AUTHENTICATED, why)
