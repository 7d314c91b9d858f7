"""Under which address do browsers reach us?

Only the operator knows: we see the address that we listen on. It is taken for the public one where
it can be, and never where it means "every address of this machine".
"""

import ipaddress
import re
from typing import Final

_URL: Final = re.compile(r"https?://[!-.0-~]+(?:/[!-~]*)?", re.IGNORECASE)


class NoPublicUrlError(ValueError):
    """The address has to be given; the message says how."""


def public_url_of(given: str, host: str, port: int) -> str:
    """Return the public URL, without a slash at its end. Raises ``NoPublicUrlError``."""
    if given:
        if not _URL.fullmatch(given):
            raise NoPublicUrlError(f"{given!r} is no http or https URL")
        return given.rstrip("/")
    address = _address(host)
    if not host or (address is not None and address.is_unspecified):
        raise NoPublicUrlError(
            f"listening on {host or 'every address'}, nobody can tell how browsers reach this "
            "exchange: say --public-url https://your.name (or TILLBOOK_PUBLIC_URL)"
        )
    shown = f"[{host}]" if isinstance(address, ipaddress.IPv6Address) else host
    return f"http://{shown}:{port}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
