"""The schema shows a pattern for each text of an order; our own reading takes the same ones."""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.v1.encoding import UINT64_MAX
from gateway.api.v1.order_texts import (
    AddressText,
    AmountText,
    ClientIdText,
    SignatureText,
    client_id_in,
    octets_in,
    pips_in,
    uint64_in,
)
from gateway.trading.rejection import Rejection

ALPHABET: Final = "0x1aF 9_.:-\n\t\u0661\u00b2g"
"""Among them a blank, which ``bytes.fromhex`` passes over, and digits that are not ours."""

READERS: Final[dict[str, tuple[Any, Callable[[str], object]]]] = {
    "address": (AddressText, lambda text: octets_in(text, 20, "account")),
    "signature": (SignatureText, lambda text: octets_in(text, 65, "signature")),
    "number": (AmountText, lambda text: uint64_in(text, "nonce")),
    "client id": (ClientIdText, client_id_in),
}


def shown(annotated: Any) -> tuple[re.Pattern[str], int]:
    """Return the pattern that the schema of a text shows, and how long it may be."""
    schema = msgspec.json.schema(annotated)
    return re.compile(schema["pattern"]), schema["maxLength"]


def takes(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except Rejection:
        return False
    return True


def nearly(pattern: re.Pattern[str]) -> st.SearchStrategy[str]:
    """Return texts that fit, and such with one character set into them, in place of one or not."""
    fitting = st.from_regex(pattern, alphabet=st.characters(codec="utf-8"))
    changed = st.tuples(fitting, st.integers(0, 140), st.sampled_from(ALPHABET), st.booleans())
    return fitting | changed.map(lambda c: c[0][: c[1]] + c[2] + c[0][c[1] + c[3] :])


@pytest.mark.parametrize("name", READERS)
@given(draw=st.data())
def test_what_fits_the_pattern_is_read_and_nothing_else(name: str, draw: st.DataObject) -> None:
    annotated, read = READERS[name]
    pattern, chars_max = shown(annotated)

    text = draw.draw(nearly(pattern) | st.text(ALPHABET, max_size=chars_max))
    if len(text) > chars_max:
        return  # That one msgspec refuses.
    fits = pattern.search(text) is not None
    if fits and name == "number":
        fits = int(text) <= UINT64_MAX

    assert takes(read, text) == fits


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "01", "1_0", " 1", "1 ", "\u0661", "\u00b2", "1.0"]
)
def test_what_python_takes_for_a_number_may_be_none(text: str) -> None:
    assert not takes(lambda text: uint64_in(text, "nonce"), text)
    assert not takes(lambda text: pips_in(text, "baseAmount"), text)
