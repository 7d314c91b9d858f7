"""What has a client asked for, wherever it wrote it: query, form or frame?

Names and values are text. What is missing, doubled or of the wrong form is refused with the
dialect's own sentence; nothing is guessed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote_plus

from gateway.api.binance.errors import Code, refused
from gateway.api.binance.numbers import pips_of

PARAMS_MAX: Final = 40
INT64_MAX: Final = 2**63 - 1
_INTEGER: Final = re.compile("[0-9]{1,19}")
_BOOLEANS: Final = {"true": True, "false": False}


class Params:
    """The parameters of one request."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter, or ``default`` where it is not there or empty."""
        return self.texts.get(name) or default

    def need(self, name: str) -> str:
        """Return a parameter that must be there."""
        found = self.texts.get(name)
        if not found:
            raise missing(name)
        return found

    def choice(self, name: str, known: Sequence[str], default: str = "") -> str:
        """Return a parameter that must be one of ``known``."""
        found = self.text(name, default) if default else self.need(name)
        if found not in known:
            raise invalid(name)
        return found

    def integer(
        self, name: str, low: int, high: int = INT64_MAX, default: int | None = None
    ) -> int:
        """Return a whole number between ``low`` and ``high``."""
        found = self.texts.get(name)
        if not found:
            if default is None:
                raise missing(name)
            return default
        if not _INTEGER.fullmatch(found):
            raise refused(
                Code.ILLEGAL_CHARS,
                f"Illegal characters found in parameter '{name}'; legal range is "
                "'^[0-9]{1,20}$'.",
            )
        number = int(found)
        if not low <= number <= high:
            raise invalid(name)
        return number

    def limit(self, default: int, most: int) -> int:
        """Return how many are asked for; more than ``most`` means ``most``."""
        return min(self.integer("limit", 1, INT64_MAX, default), most)

    def pips(self, name: str) -> int:
        """Return an amount in pips; 0 where it is not there."""
        found = self.texts.get(name)
        return pips_of(found, name) if found else 0

    def boolean(self, name: str, default: bool = False) -> bool:
        """Return true or false."""
        found = self.text(name)
        if not found:
            return default
        if found.lower() not in _BOOLEANS:
            raise invalid(name)
        return _BOOLEANS[found.lower()]


def missing(name: str) -> Exception:
    """Return the refusal of a request that lacks a parameter."""
    return refused(
        Code.MANDATORY_PARAM_EMPTY_OR_MALFORMED,
        f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    )


def invalid(name: str) -> Exception:
    """Return the refusal of a parameter that is not one of those that can be."""
    return refused(Code.INVALID_PARAMETER, f"Data sent for parameter '{name}' is not valid.")


def parsed(*parts: str) -> dict[str, str]:
    """Return the parameters in query and form, as they were sent; a name stands there once."""
    found: dict[str, str] = {}
    pairs = [pair for part in parts for pair in part.split("&") if pair]
    if len(pairs) > PARAMS_MAX:
        raise refused(Code.UNREAD_PARAMETERS, f"Not more than {PARAMS_MAX} parameters are read.")
    for pair in pairs:
        name, _, value = pair.partition("=")
        name = unquote_plus(name)
        if name in found:
            raise refused(
                Code.UNREAD_PARAMETERS, f"Parameter '{name[:32]}' was sent more than once."
            )
        found[name] = unquote_plus(value)
    return found
