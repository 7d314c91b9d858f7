"""How is a document of the operator's choice fetched?

The address comes from a setting, never from a stranger, so it is not judged; all else is bounded:
one deadline, no redirects, no more bytes than asked for.
"""

import asyncio
from typing import Final, Protocol

import httpx

TIMEOUT_S: Final = 20


class Fetch(Protocol):
    """Gets one document."""

    async def get(self, url: str, size_max: int) -> bytes | str:
        """Return the body, or why there is none, in words; never raises for what the far end
        does."""


class HttpFetch:
    """GET by HTTP."""

    async def get(self, url: str, size_max: int) -> bytes | str:
        """See ``Fetch``."""
        try:
            return await asyncio.wait_for(self._get(url, size_max), TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            return f"{type(error).__name__}: {error}"

    async def _get(self, url: str, size_max: int) -> bytes | str:
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != httpx.codes.OK:
                return f"status {response.status_code}"
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > size_max:
                    return f"more than {size_max} bytes"
            return body
