"""Who asks, when a proxy stands in front?

A forwarded address is believed from proxies that the operator names and from nobody else, for
anybody can write a header. Of ``X-Forwarded-For`` the rightmost address counts that is not itself
a trusted proxy's: what stands left of it came from the client.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

from starlette.requests import HTTPConnection

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HOPS_MAX: Final = 16
"""Forwarded addresses looked at; who sends more is charged as the last proxy."""


class Clients:
    """Tells clients' addresses. ``trusted`` are the networks of the operator's own proxies."""

    def __init__(self, trusted: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def of(self, connection: HTTPConnection) -> str:
        """Return the address to charge."""
        peer = connection.client.host if connection.client else ""
        if not self._trusted or not self.is_proxy(peer):
            return peer
        return self._forwarded(connection, peer)

    def is_proxy(self, host: str) -> bool:
        """Return whether ``host`` is a proxy that the operator named."""
        address = _address(host)
        return address is not None and any(address in network for network in self._trusted)

    def _forwarded(self, connection: HTTPConnection, peer: str) -> str:
        hops = [
            hop for line in connection.headers.getlist("x-forwarded-for") for hop in line.split(",")
        ]
        last = peer
        for hop in reversed(hops[-HOPS_MAX:]):
            address = _address(hop)
            if address is None:
                return last
            last = str(address)
            if not any(address in network for network in self._trusted):
                return last
        return last


def trusted_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks named by addresses or CIDR blocks. Raises ValueError."""
    return tuple(ipaddress.ip_network(text.strip()) for text in texts)


def _address(text: str) -> Address | None:
    """Return the address in ``text``, which may carry a port; an IPv4 address in IPv6 clothes is
    an IPv4 address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
