"""What does a message say by which somebody signs in with Ethereum (EIP-4361)?

Read by the grammar of the EIP (https://eips.ethereum.org/EIPS/eip-4361, "ABNF Message Format") and
nothing beside it: each line in its place, no line more. Whether it is meant for us, and still good,
others decide. The wallet signs it as EIP-191 says, version 0x45 ("personal_sign").
"""

import re
from datetime import datetime
from typing import Final, NamedTuple

from settlement.protocol.checksum import address_of_text
from settlement.protocol.eip712 import Domain, keccak256

MESSAGE_CHARS_MAX: Final = 1_000
RESOURCES_MAX: Final = 16

_PREAMBLE: Final = " wants you to sign in with your Ethereum account:"
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:@\[\]-]+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_STATEMENT: Final = re.compile(r"[A-Za-z0-9 ._~:/?#\[\]@!$&'()*+,;=-]+")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_NONCE: Final = re.compile(r"[A-Za-z0-9]{8,}")
_CHAIN_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._~:@!$&'()*+,;=%-]*")
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class SiweError(ValueError):
    """The text is no such message; says where."""


class SiweMessage(NamedTuple):
    """All that a message says; times in unix seconds, 0 where it says none."""

    domain: str
    address: bytes
    statement: str
    uri: str
    chain_id: int
    nonce: str
    issued_at: int
    expires_at: int
    not_before: int
    request_id: str
    resources: tuple[str, ...]


def resource_of(domain: Domain) -> str:
    """Return the resource that a message for us names: without it what was signed for another site
    on the same chain would open a session here."""
    return f"urn:tillbook:{domain.chain_id}:0x{domain.contract.hex()}"


def personal_digest(message: str) -> bytes:
    """Return what a wallet signs when it is asked to sign ``message`` (EIP-191, 0x45)."""
    octets = message.encode()
    return keccak256(b"\x19Ethereum Signed Message:\n%d%b" % (len(octets), octets))


def parsed(text: str) -> SiweMessage:
    """Return what ``text`` says. Raises ``SiweError``."""
    if len(text) > MESSAGE_CHARS_MAX:
        raise SiweError(f"it has more than {MESSAGE_CHARS_MAX} characters")
    lines = _Lines(text.split("\n"))
    head = lines.next("the preamble")
    if not head.endswith(_PREAMBLE):
        raise SiweError("it does not begin as EIP-4361 says")
    scheme, has_scheme, domain = head.removesuffix(_PREAMBLE).rpartition("://")
    if has_scheme:
        _matched(_SCHEME, scheme, "the scheme")
    _matched(_AUTHORITY, domain, "the domain")
    address = address_of_text(lines.next("the address"))
    if address is None:
        raise SiweError("the second line is no address, or its EIP-55 checksum is wrong")
    statement = _statement(lines)
    uri = _matched(_URI, lines.field("URI"), "the URI")
    if lines.field("Version") != "1":
        raise SiweError("the version is not 1")
    chain_id = int(_matched(_CHAIN_ID, lines.field("Chain ID"), "the chain id"))
    nonce = _matched(_NONCE, lines.field("Nonce"), "the nonce")
    issued_at = _seconds(lines.field("Issued At"))
    expires_at = _seconds(lines.field("Expiration Time")) if lines.is_at("Expiration Time") else 0
    not_before = _seconds(lines.field("Not Before")) if lines.is_at("Not Before") else 0
    request_id = ""
    if lines.is_at("Request ID"):
        request_id = _matched(_REQUEST_ID, lines.field("Request ID"), "the request id")
    resources = _resources(lines)
    return SiweMessage(
        *(domain, address, statement, uri, chain_id, nonce),
        *(issued_at, expires_at, not_before, request_id, resources),
    )


class _Lines:
    """The lines of a message, one after the other."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at == len(self._lines)

    def next(self, what: str) -> str:
        """Return the next line; ``what`` is missing where there is none."""
        if self.is_over:
            raise SiweError(f"it ends before {what}")
        self._at += 1
        return self._lines[self._at - 1]

    def is_at(self, name: str) -> bool:
        """Return whether the next line is the field ``name``."""
        return not self.is_over and self._lines[self._at].startswith(f"{name}: ")

    def field(self, name: str) -> str:
        """Return what the next line, the field ``name``, says."""
        line = self.next(name)
        if not line.startswith(f"{name}: "):
            raise SiweError(f"where {name} should stand is something else")
        return line.removeprefix(f"{name}: ")


def _statement(lines: _Lines) -> str:
    if lines.next("the statement"):
        raise SiweError("an empty line belongs behind the address")
    statement = lines.next("the statement")
    if not statement:
        return ""
    if lines.next("the URI"):
        raise SiweError("an empty line belongs behind the statement")
    return _matched(_STATEMENT, statement, "the statement")


def _resources(lines: _Lines) -> tuple[str, ...]:
    resources: list[str] = []
    if not lines.is_over:
        if lines.next("the resources") != "Resources:":
            raise SiweError("behind its fields stands something else")
        while not lines.is_over:
            line = lines.next("a resource")
            if not line.startswith("- ") or len(resources) == RESOURCES_MAX:
                raise SiweError(f"resources are lines of '- ' and a URI, at most {RESOURCES_MAX}")
            resources.append(_matched(_URI, line.removeprefix("- "), "a resource"))
    return tuple(resources)


def _matched(pattern: re.Pattern[str], text: str, what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise SiweError(f"{what} is of another form")
    return text


def _seconds(text: str) -> int:
    """Return unix seconds of an RFC 3339 date-time; parts of a second are dropped."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise SiweError("a time is not as RFC 3339 says")
    day, clock, zone = found.groups()
    try:
        when = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError as error:
        raise SiweError(f"there is no such time: {text}") from error
    return int(when.timestamp())
