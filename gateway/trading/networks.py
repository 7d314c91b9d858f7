"""Which network does an address belong to, so that one customer is charged as one?"""

import ipaddress


def network_of(client: str) -> str:
    """Return whom to charge: an IPv4 address, or the /64 that one IPv6 customer owns."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
