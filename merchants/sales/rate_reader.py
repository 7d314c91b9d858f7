"""When is which source of exchange rates asked again?"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog

from merchants.sales.rate_sources import FORMS
from merchants.sales.rates import Rates
from merchants.webhooks.fetch import Fetch

SIZE_MAX: Final = 1 << 20
FAILED_AGAIN_S: Final = 60


class RateSource(NamedTuple):
    """A source: ``form`` is one of ``FORMS``; asked every ``pace_s`` seconds."""

    name: str
    form: str
    url: str
    pace_s: int = 3600


class RateReader:
    """Keeps ``Rates`` fresh. What a source answers wrongly leaves its last table in place, which
    goes stale by itself."""

    def __init__(
        self, rates: Rates, sources: Sequence[RateSource], fetch: Fetch, clock: Callable[[], int]
    ) -> None:
        """``clock`` gives unix nanoseconds."""
        self._rates = rates
        self._sources = sources
        self._fetch = fetch
        self._clock = clock
        self._due_ns: dict[str, int] = {}
        self._log = structlog.get_logger("rates")

    async def step(self) -> None:
        """Ask whoever is due; call it every few seconds."""
        for source in self._sources:
            if self._clock() < self._due_ns.get(source.name, 0):
                continue
            answer = await self._fetch.get(source.url, SIZE_MAX)
            table = FORMS[source.form](answer) if isinstance(answer, bytes) else None
            if table is None:
                why = answer if isinstance(answer, str) else "not in its form"
                # Without its address: that may carry the operator's key.
                self._log.warning("no exchange rates", source=source.name, why=why[:200])
            else:
                self._rates.take(source.name, table)
            pace_s = FAILED_AGAIN_S if table is None else source.pace_s
            self._due_ns[source.name] = self._clock() + pace_s * 10**9
