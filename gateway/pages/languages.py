"""In which language does a customer read, and how are amounts and times written there?

All words stand in ``words/<language>.json``, under the same keys in each. Amounts stay decimal
strings from the row to the screen: no float ever holds one. Digits are those of wallets and
explorers (0 to 9) in Arabic too, so that people can compare them one by one.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import Final, NamedTuple

from gateway.pages.render import escape
from merchants.documents.checkout import Fact, Money, Saying

WORDS: Final = Path(__file__).parent / "words"
DEFAULT: Final = "en"
ACCEPT_MAX: Final = 256
"""Characters of ``Accept-Language`` that are read: browsers send a tenth of that."""

ISOLATE, END_ISOLATE = "\u2068", "\u2069"
"""Around what may run the other way than the sentence, as addresses do in Arabic."""

SYMBOLS: Final[Mapping[str, str]] = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
PLACES: Final[Mapping[str, int]] = {"JPY": 0, "KRW": 0, "CLP": 0, "VND": 0}
"""Decimal places that people expect of money; two where nothing is said."""

WORD_MARK: Final = "t_"
"""A template's ``$t_key`` is the word ``key``."""


class _Habits(NamedTuple):
    """How a language writes numbers."""

    name: str
    decimal: str = "."
    group: str = ","
    is_symbol_first: bool = True
    direction: str = "ltr"
    grouped_from: int = 4
    """Digits from which thousands are set apart: Spanish leaves four together."""


HABITS: Final[Mapping[str, _Habits]] = {
    "en": _Habits("English"),
    "zh-CN": _Habits("中文"),
    "ja": _Habits("日本語"),
    "es": _Habits("Español", ",", ".", is_symbol_first=False, grouped_from=5),
    "ar": _Habits("العربية", direction="rtl"),
    "de": _Habits("Deutsch", ",", ".", is_symbol_first=False),
}


class Language:
    """One language: its words, and how it writes what stands between them."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.habits = HABITS[code]
        self.direction = self.habits.direction
        self.words: Mapping[str, str] = json.loads((WORDS / f"{code}.json").read_text("utf-8"))

    def say(self, key: str, **values: Fact) -> str:
        """Return a sentence with ``values`` in it."""
        if not values:
            return self.words[key]
        return self.words[key].format_map({name: self._set(v) for name, v in values.items()})

    def said(self, saying: Saying, amount: Money) -> str:
        """Return what is to be said to who is to pay ``amount``."""
        return self.say(saying.key, **{"amount": amount, **saying.values})

    def amount(self, text: str, *, grouped: bool = True) -> str:
        """Return a decimal string as it is written here."""
        whole, _, places = text.partition(".")
        if grouped and len(whole) >= self.habits.grouped_from:
            first = len(whole) % 3 or 3
            parts = [whole[:first], *(whole[i : i + 3] for i in range(first, len(whole), 3))]
            whole = self.habits.group.join(parts)
        return f"{whole}{self.habits.decimal}{places}" if places else whole

    def money(self, amount: str, currency: str) -> str:
        """Return an amount of a currency that shops price in."""
        whole, _, places = amount.partition(".")
        least = PLACES.get(currency, 2)
        padded = places.ljust(least, "0")
        text = self.amount(f"{whole}.{padded}" if padded else whole)
        symbol = SYMBOLS.get(currency)
        if symbol is not None and self.habits.is_symbol_first:
            return f"{symbol}{text}"
        return f"{text}\u00a0{symbol or currency}"

    def sum(self, money: Money) -> str:
        """Return an amount of a token, or of a currency where it is one that shops price in."""
        if money.is_price:
            return self._apart(self.money(money.amount, money.unit))
        return self._apart(f"{self.amount(money.amount)}\u00a0{money.unit}")

    def listed(self, facts: Iterable[str | Money]) -> str:
        """Return some names or amounts in a row."""
        return self.words["and"].join(map(self._set, facts))

    def clock(self, unix_s: int) -> str:
        """Return a time of day, in UTC: where its reader is nobody has told us."""
        minutes = unix_s % 86_400 // 60
        return f"{minutes // 60:02}:{minutes % 60:02} UTC"

    def worded(self, text: str) -> Template:
        """Return a template of which only that is left to fill in which is no word."""
        marks = {
            f"{WORD_MARK}{key}": escape(word).replace("$", "$$") for key, word in self.words.items()
        }
        return Template(Template(text.replace("$$", "$$$$")).safe_substitute(marks))

    def _set(self, value: Fact) -> str:
        if isinstance(value, Money):
            return self.sum(value)
        return self._apart(value) if isinstance(value, str) else self.listed(value)

    def _apart(self, text: str) -> str:
        return f"{ISOLATE}{text}{END_ISOLATE}" if self.direction == "rtl" else text


@cache
def language(code: str) -> Language:
    """Return one of ``HABITS``; its words are read once."""
    return Language(code)


def chosen(wanted: str, accepted: str) -> Language:
    """Return the language that is asked for by ``wanted``, else the one that a browser likes best
    of those it names in ``Accept-Language``, else the default."""
    if wanted in HABITS:
        return language(wanted)
    best, best_weight = DEFAULT, 0
    for part in accepted[:ACCEPT_MAX].split(","):
        tag, _, parameter = part.strip().partition(";")
        weight, code = _weight(parameter), _known(tag.strip())
        if code and weight > best_weight:
            best, best_weight = code, weight
    return language(best)


def _known(tag: str) -> str:
    """Return our language that a tag means: any Chinese is ours, and any English."""
    primary = tag.partition("-")[0].lower()
    return next((code for code in HABITS if code.partition("-")[0] == primary), "")


def _weight(parameter: str) -> int:
    """Return a quality value in thousandths; one that is no number is none."""
    name, _, text = parameter.replace(" ", "").partition("=")
    if name != "q":
        return 1000
    whole, _, places = text.partition(".")
    digits = f"{whole}{places[:3].ljust(3, '0')}"
    return min(int(digits), 1000) if digits.isascii() and digits.isdigit() else 0
