"""Which of our markets is ``TOKENUSD``, and what is ours called here?

A bijection: names here have no separator, so two of ours could look alike; then the one that was
listed later keeps its number in its name. A market whose price step is no whole pip cannot be
written with eight decimals, so it is not shown.
"""

import re
from typing import Final, Protocol

from engine.types import PIPS_PER_TOKEN
from settlement.orders.catalog import Market

_STRANGE: Final = re.compile("[^A-Z0-9]")


class Listed(Protocol):
    """Who knows which markets there are."""

    @property
    def markets(self) -> tuple[Market, ...]:
        """Return all of them; another tuple whenever one has changed."""


class Symbols:
    """All markets by the names that this dialect has for them."""

    def __init__(self, catalog: Listed) -> None:
        self._catalog = catalog
        self._of: tuple[Market, ...] | None = None
        self._markets: dict[str, Market] = {}
        self._names: dict[int, str] = {}

    def market(self, name: str) -> Market | None:
        """Return the market called ``name`` here."""
        self._follow()
        return self._markets.get(name)

    def name(self, market: Market) -> str:
        """Return what ``market`` is called here."""
        self._follow()
        return self._names.get(market.number, market.symbol)

    def all(self) -> dict[str, Market]:
        """Return all markets by name, as they were listed."""
        self._follow()
        return self._markets

    def _follow(self) -> None:
        markets = self._catalog.markets
        if markets is self._of:
            return
        self._of, self._markets, self._names = markets, {}, {}
        for market in markets:
            if market.tick_pips * PIPS_PER_TOKEN % market.lot_pips:
                continue
            plain = _STRANGE.sub("", f"{market.base.symbol}{market.quote.symbol}".upper())
            name = f"{plain}_{market.number}" if plain in self._markets else plain
            self._markets[name] = market
            self._names[market.number] = name
