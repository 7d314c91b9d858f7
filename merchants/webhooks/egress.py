"""Where may we be made to connect to by a stranger's URL? The only way out of the house by HTTP.

The name is resolved once, every address it has is judged, and the connection goes to an address
that was judged, so a name that answers differently the second time gains nothing. Redirects are
not followed, the whole exchange has one deadline, and no more is read than a status needs.
"""

import asyncio
import http.client
import ipaddress
import socket
import ssl
from io import BytesIO
from typing import Final, NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

TIMEOUT_S: Final = 15
HEAD_SIZE_MAX: Final = 20 * 1024
URL_SIZE_MAX: Final = 2048


class Answer(NamedTuple):
    """What came back. ``status`` is 0 when nothing did, and ``error`` says why."""

    status: int
    retry_after_s: int = 0
    error: str = ""


class Egress(Protocol):
    """Sends one POST."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send and wait for the status; never raises for anything the far end does."""


class _BlockedError(OSError):
    """The URL leads where we do not go."""


class HttpEgress:
    """POST by HTTPS to global addresses. ``loopback_allowed`` is for development: it permits
    plain HTTP and this machine, and still no other private network."""

    def __init__(self, *, loopback_allowed: bool = False) -> None:
        self._loopback_allowed = loopback_allowed
        self._tls = ssl.create_default_context()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send one POST."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._post(url, headers, body)
        except TimeoutError:
            return Answer(0, error=f"no answer in {TIMEOUT_S} s")
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            return Answer(0, error=f"{type(error).__name__}: {error}"[:200])
        except asyncio.LimitOverrunError:
            return Answer(0, error=f"more than {HEAD_SIZE_MAX} bytes of headers")

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        if not secure and not (parts.scheme == "http" and self._loopback_allowed):
            raise _BlockedError(f"scheme {parts.scheme or 'missing'}")
        host = parts.hostname
        if not host or parts.username or parts.password or len(url) > URL_SIZE_MAX:
            raise _BlockedError("not a plain URL")
        port = parts.port or (443 if secure else 80)
        address = await self._judged_address(host, port, secure=secure)
        reader, writer = await asyncio.open_connection(
            address,
            port,
            ssl=self._tls if secure else None,
            server_hostname=host if secure else None,
            limit=HEAD_SIZE_MAX,
        )
        try:
            writer.write(_request(parts, headers, body))
            await writer.drain()
            return _answer(await reader.readuntil(b"\r\n\r\n"))
        finally:
            writer.close()

    async def _judged_address(self, host: str, port: int, *, secure: bool) -> str:
        """Return an address of ``host``; all of them must be allowed, not just the first."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._allowed(address, secure=secure):
                raise _BlockedError(f"{address} is not a public address")
        return addresses[0]

    def _allowed(self, address: str, *, secure: bool) -> bool:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if ip.is_loopback:
            return self._loopback_allowed
        return secure and ip.is_global and not ip.is_multicast


def _request(parts: SplitResult, headers: dict[str, str], body: bytes) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        "User-Agent: Tillbook-Webhooks/1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if " " in target or any(not line.isascii() or not line.isprintable() for line in lines):
        raise _BlockedError("not a plain URL")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _answer(head: bytes) -> Answer:
    """Read the status line and the one header that matters; ValueError for what is not HTTP."""
    status_line, _, rest = head.partition(b"\r\n")
    version, _, status = status_line[:12].partition(b" ")
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise ValueError("the answer is not HTTP")
    after = str(http.client.parse_headers(BytesIO(rest)).get("retry-after", ""))
    return Answer(int(status), int(after) if after.isascii() and after.isdigit() else 0)
