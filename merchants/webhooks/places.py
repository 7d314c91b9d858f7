"""Where do packets to an address end up: on the public internet, or in somebody's own network?

An IPv6 address may carry an IPv4 address that a translator or a tunnel on the way unpacks, so the
spelling of an address says little; it is judged by what is inside. Only what is assigned as global
unicast is public, and of that not what the IANA special-purpose registries take out again
(RFC 6890 and its updates): a list of what is forbidden would miss the next invention.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
SIX_TO_FOUR: Final = IPv6Network("2002::/16")  # RFC 3056
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # RFC 4291

SPECIAL_IPV6: Final = (
    IPv6Network("2001::/23"),  # IETF protocol assignments: Teredo, benchmarking, ORCHID
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("3fff::/20"),  # documentation
)
SPECIAL_IPV4: Final = (
    IPv4Network("192.0.0.0/24"),  # IETF protocol assignments
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
)


def judged(address: str) -> IPv4Address | IPv6Address | None:
    """Return the address that packets to ``address`` reach, None for what is not an address.

    A zone (``%eth0``) is dropped; an IPv4 address that a translator unpacks stands for the whole.
    """
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    if ip in SIX_TO_FOUR:
        return IPv4Address(int(ip) >> 80 & 0xFFFF_FFFF)
    return ip


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Return whether a judged address is reached over the public internet."""
    if not ip.is_global or ip.is_multicast:
        return False
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in SPECIAL_IPV4)
    return ip in GLOBAL_UNICAST and not any(ip in network for network in SPECIAL_IPV6)
