"""Which network does an address belong to, so that one customer is charged as one?"""

import ipaddress
from functools import lru_cache
from typing import Final

REMEMBERED: Final = 1 << 14
"""Addresses read lately: one costs twenty microseconds, and each frame asks."""


def prefix_of(client: str) -> str:
    """Return from which part of the world somebody asked, as a log may keep it: a /24 of IPv4, a
    /48 of IPv6."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address) >> 80 << 80, 48)))
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((int(address) >> 8 << 8, 24)))


@lru_cache(REMEMBERED)
def network_of(client: str) -> str:
    """Return whom to charge: an IPv4 address, or the /64 that one IPv6 customer owns."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
