"""Does everybody read the same host in a URL?

Browsers take a name whose last part is a number for an address, in whatever form it is written:
``134744072`` is 8.8.8.8 to them. An owner who confirms where something goes has to read what his
browser does.
"""

import re
from ipaddress import AddressValueError, IPv4Address
from typing import Final

HOST_CHARS_MAX: Final = 253
_LABEL: Final = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile("[0-9]+|0x[0-9a-f]*")


def is_plain(host: str) -> bool:
    """Return whether ``host``, in small letters, is a name or an address that all read alike."""
    labels = host.split(".")
    if len(host) > HOST_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    return not _NUMBER.fullmatch(labels[-1]) or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except AddressValueError:
        return False
