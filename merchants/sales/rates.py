"""What is an amount of any currency in the stablecoin that a shop receives?

Tables come from sources that the operator names; nothing here asks anybody. A rate is given only
where fresh tables of two sources agree, and the exchange's own book, where it trades two
stablecoins against each other, does not contradict them. No rate is no invoice in that currency:
stablecoin prices stay.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from engine.types import MONEY_MAX, PIPS_PER_TOKEN, PPM
from merchants.records.amounts import decimal_of
from merchants.records.currencies import EXPONENTS
from merchants.sales.reference_prices import Prices
from settlement.orders.catalog import Catalog

SCALE_DIGITS: Final = 12
SCALE: Final = 10**SCALE_DIGITS
"""Rates are whole numbers of this part of a unit."""

AHEAD_MAX_S: Final = 24 * 3600
"""A table from further in the future than its time zone explains says that a clock is off."""

PEG: Final = "peg"
"""The source of the rate of a currency in its own stablecoin."""


class Ratio(NamedTuple):
    """So many units for so many others; a quotient would have lost digits."""

    units: int
    for_units: int

    @property
    def scaled(self) -> int:
        """Return the quotient by ``SCALE``, rounded down."""
        return self.units * SCALE // self.for_units


ONE: Final = Ratio(1, 1)


class RateTable(NamedTuple):
    """What one source says: ``per_base`` are units of each currency for one of ``base``, by
    ``SCALE``. Times are unix seconds; after ``good_until_s`` it prices nothing any more."""

    base: str
    as_of_s: int
    good_until_s: int
    per_base: Mapping[str, int]

    def cross(self, currency: str, target: str) -> Ratio | None:
        """Return units of ``target`` for units of ``currency``."""
        per_base = {self.base: SCALE} | dict(self.per_base)
        if currency not in per_base or target not in per_base:
            return None
        return Ratio(per_base[target], per_base[currency])


class NoRate(StrEnum):
    """Why there is no rate now."""

    UNKNOWN = "no such currency"
    NO_PEG = "it is not stated which currency the stablecoin stands for"
    UNSOURCED = "too few sources have a fresh rate for it"
    APART = "the sources are too far apart"
    CONTRADICTED = "the sources are too far from what the stablecoins trade at here"


class RateTerms(NamedTuple):
    """What the operator decides. ``sources`` are names in the order in which they are believed;
    ``pegs`` are currencies by token symbol: a symbol that is a currency's code stands for it."""

    sources: tuple[str, ...] = ()
    sources_min: int = 2
    agree_ppm: int = 10_000
    book_ppm: int = 50_000
    pegs: Mapping[str, str] = MappingProxyType({})

    def peg_of(self, symbol: str) -> str | None:
        """Return the currency that a token stands for; None if it is not stated."""
        return self.pegs.get(symbol, symbol if symbol in EXPONENTS else None)


NO_RATES: Final = RateTerms()


class StablecoinRates:
    """What currencies' stablecoins trade at here. Call with a currency, a token's symbol and the
    time; the answer is by ``SCALE``, or None."""

    def __init__(self, catalog: Catalog, prices: Prices, terms: RateTerms) -> None:
        self._catalog = catalog
        self._prices = prices
        self._terms = terms

    def __call__(self, currency: str, settle: str, now_ns: int) -> int | None:
        """See the class."""
        for token in self._catalog.tokens:
            quote = self._catalog.token(settle)
            market = quote and self._catalog.market_of_pair(token.address, quote.address)
            if market is None or self._terms.peg_of(token.symbol) != currency:
                continue
            ticks = self._prices.traded_ticks(market, 1, now_ns)
            if ticks is not None:
                return market.quote_pips(1, ticks) * SCALE // market.lot_pips
        return None


class FxRate(NamedTuple):
    """Stablecoin for a currency: ``ratio`` is units of ``settle`` for units of ``currency``.
    ``source`` names who says so, ``as_of_s`` is the older of their times."""

    currency: str
    settle: str
    ratio: Ratio
    source: str
    as_of_s: int

    @property
    def rate(self) -> str:
        """Return the rate as a decimal string, rounded down: amounts are reckoned exactly."""
        return decimal_of(self.ratio.scaled, SCALE_DIGITS)

    def pips_of(self, minor_units: int) -> int | None:
        """Return what an amount in the currency's smallest units is in pips of the stablecoin,
        rounded up; None if that is more money than there may be."""
        whole = self.ratio.for_units * 10 ** EXPONENTS[self.currency]
        pips = -(-minor_units * self.ratio.units * PIPS_PER_TOKEN // whole)
        return pips if pips <= MONEY_MAX else None


class Rates:
    """The last table of each source. ``book`` gives what a currency's stablecoin trades at here in
    another, by ``SCALE``, or None where it does not."""

    def __init__(self, terms: RateTerms, book: Callable[[str, str, int], int | None]) -> None:
        self._terms = terms
        self._book = book
        self._tables: dict[str, RateTable] = {}

    def take(self, source: str, table: RateTable) -> None:
        """Keep what ``source`` says now."""
        assert source in self._terms.sources, "only who was named is asked"
        self._tables[source] = table

    def rate(self, currency: str, settle: str, now_ns: int) -> FxRate | NoRate:
        """Return what ``currency`` (ISO 4217) is in the stablecoin ``settle`` (a symbol)."""
        if currency not in EXPONENTS:
            return NoRate.UNKNOWN
        peg = self._terms.peg_of(settle)
        if peg is None:
            return NoRate.NO_PEG
        now_s = now_ns // 10**9
        if currency == peg:
            return FxRate(currency, settle, ONE, PEG, now_s)
        said = self._said(currency, peg, now_s)
        if len(said) < self._terms.sources_min or not said:
            return NoRate.UNSOURCED
        crosses = [cross.scaled for _, _, cross in said]
        if _is_apart(min(crosses), max(crosses), self._terms.agree_ppm):
            return NoRate.APART
        first = crosses[0]
        traded = self._book(currency, settle, now_ns)
        if traded is not None and _is_apart(
            min(first, traded), max(first, traded), self._terms.book_ppm
        ):
            return NoRate.CONTRADICTED
        names = ", ".join(name for name, _, _ in said)
        return FxRate(currency, settle, said[0][2], names, min(as_of for _, as_of, _ in said))

    def _said(self, currency: str, peg: str, now_s: int) -> Sequence[tuple[str, int, Ratio]]:
        """Return name, time and rate of each source that has a fresh one."""
        found = []
        for name in self._terms.sources:
            table = self._tables.get(name)
            if table is None or not table.as_of_s - AHEAD_MAX_S <= now_s <= table.good_until_s:
                continue
            cross = table.cross(currency, peg)
            if cross is not None:
                found.append((name, table.as_of_s, cross))
        return found


def _is_apart(least: int, most: int, ppm: int) -> bool:
    return (most - least) * PPM > ppm * least
