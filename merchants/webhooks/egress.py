"""Where may we be made to connect to by a stranger's URL? The only way out of the house by HTTP.

A client against server-side request forgery. The name is resolved once, every address it has is
judged by where packets to it end up, and the connection goes to an address that was judged, so a
name that answers differently the second time gains nothing. Redirects are not followed, the whole
exchange has one deadline, and no more is read than a status needs. HTTP itself is httpx's.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol

import httpx

from merchants.webhooks.places import is_public, judged

TIMEOUT_S: Final = 15
CONNECT_TIMEOUT_S: Final = 5
"""For one address of a name: the next one is tried within the same deadline."""

ADDRESSES_MAX: Final = 8

LOOKUPS_MAX: Final = 64
"""Names looked up at once. A lookup that hangs keeps its thread when nobody waits for it any more;
the loop's own pool, of four threads, would be a single shop's."""

ACE: Final = "xn--"
LABEL_SIZE_MAX: Final = 63
NAME_SIZE_MAX: Final = 253
URL_SIZE_MAX: Final = 2048
ERROR_SIZE_MAX: Final = 200


class Answer(NamedTuple):
    """What came back. ``status`` is 0 when nothing did, and ``error`` says why."""

    status: int
    retry_after_s: int = 0
    error: str = ""


class Egress(Protocol):
    """Sends one POST."""

    def rejection(self, url: str) -> str:
        """Return why ``url`` can never be sent to, as far as its text tells, or nothing."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send and wait for the status; never raises for anything the far end does."""


class _BlockedError(OSError):
    """The URL leads where we do not go."""


Lookup = Callable[[str, int], list[str]]


def _looked_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class HttpEgress:
    """POST by HTTPS to global addresses. ``loopback_allowed`` is for development: it permits
    plain HTTP and this machine, and still no other private network."""

    def __init__(self, *, loopback_allowed: bool = False, lookup: Lookup = _looked_up) -> None:
        """``lookup`` returns the addresses of a name; it may take its time."""
        self._loopback_allowed = loopback_allowed
        self._lookup = lookup
        self._lookups = ThreadPoolExecutor(LOOKUPS_MAX, "lookup")
        self._tls = ssl.create_default_context()

    def rejection(self, url: str) -> str:
        """See ``Egress``."""
        try:
            target = self._target(url)
            if judged(_host(target)) is not None:
                self._require_allowed(_host(target), secure=target.scheme == "https")
        except (_BlockedError, httpx.InvalidURL) as error:
            return str(error)
        return ""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send one POST."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._post(self._target(url), headers, body)
        except TimeoutError:
            return Answer(0, error=f"no answer in {TIMEOUT_S} s")
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(0, error=f"{type(error).__name__}: {error}"[:ERROR_SIZE_MAX])

    def _target(self, url: str) -> httpx.URL:
        # What httpx would quote or drop is refused instead: the shop gets the URL that it named.
        if not (url.isascii() and url.isprintable()) or " " in url or len(url) > URL_SIZE_MAX:
            raise _BlockedError("not a plain URL")
        target = httpx.URL(url)
        if target.scheme != "https" and not (target.scheme == "http" and self._loopback_allowed):
            raise _BlockedError(f"scheme {target.scheme or 'missing'}")
        if target.userinfo or not 0 < (target.port or 443) < 2**16:
            raise _BlockedError("not a plain URL")
        if judged(_host(target)) is None and not _is_name(_host(target)):
            raise _BlockedError("the host is no name")
        return target

    async def _post(self, target: httpx.URL, headers: dict[str, str], body: bytes) -> Answer:
        last: httpx.HTTPError = httpx.ConnectError("the name has no address")
        # A client of its own each time: a connection kept open belongs to an address, and two
        # shops behind one address must never share one.
        async with httpx.AsyncClient(
            verify=self._tls,
            trust_env=False,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
        ) as client:
            for address in await self._judged_addresses(target):
                request = client.build_request(
                    "POST",
                    target.copy_with(host=address),
                    content=body,
                    headers={
                        "Host": target.netloc.decode("ascii"),
                        "Content-Type": "application/json",
                        "Connection": "close",
                        "User-Agent": "Tillbook-Webhooks/1",
                        **headers,
                    },
                    extensions={"sni_hostname": _host(target)},
                )
                try:
                    response = await client.send(request, stream=True)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    last = error
                    continue
                await response.aclose()
                after = response.headers.get("retry-after", "")
                return Answer(response.status_code, _seconds(after))
        raise last

    async def _judged_addresses(self, target: httpx.URL) -> list[str]:
        """Return the addresses of the host; all of them must be allowed, not just the first."""
        secure = target.scheme == "https"
        port = target.port or (443 if secure else 80)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._lookups, self._lookup, _host(target), port)
        addresses = list(dict.fromkeys(found))[:ADDRESSES_MAX]
        for address in addresses:
            self._require_allowed(address, secure=secure)
        return addresses

    def _require_allowed(self, address: str, *, secure: bool) -> None:
        ip = judged(address)
        if ip is not None and ip.is_loopback:
            allowed = self._loopback_allowed
        else:
            allowed = secure and ip is not None and is_public(ip)
        if not allowed:
            raise _BlockedError(f"{address} is not a public address")


def _host(target: httpx.URL) -> str:
    """Return the host as it goes over the wire. ``URL.host`` is for people: it reads ``xn--`` as
    the word behind it, which Python's older tables look up as another name, or raises."""
    return target.raw_host.decode("ascii")


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return len(host) <= NAME_SIZE_MAX and all(map(_is_label, labels))


def _is_label(label: str) -> bool:
    if not 0 < len(label) <= LABEL_SIZE_MAX:
        return False
    try:
        # Which words a registry takes is not for us to say; only that there is one.
        return not label.startswith(ACE) or bool(
            label.removeprefix(ACE).encode().decode("punycode")
        )
    except UnicodeError:
        return False


def _seconds(text: str) -> int:
    """Read a Retry-After in seconds; a date counts as nothing asked."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
