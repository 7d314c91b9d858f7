"""Every word for customers is there in every language, and none is there for nobody."""

import re
from pathlib import Path
from string import Formatter

import pytest
from fastapi.testclient import TestClient

from gateway.pages.languages import HABITS, Language, chosen, language
from merchants.documents.checkout import Money, Phase, said
from merchants.records.states import PaymentState
from tests.merchants.fixtures import World
from tests.merchants.site import site

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "gateway" / "pages"
FOLDERS = ("checkout", "pos")
MODULES = (*PAGES.glob("*.py"), ROOT / "merchants" / "documents" / "checkout.py")
MADE = {f"headline_{phase}" for phase in Phase} | {f"state_{state}" for state in PaymentState}
"""Keys that are put together."""


def written(paths, pattern):
    """Return what ``pattern`` finds in some files."""
    return {found for path in paths for found in re.findall(pattern, path.read_text("utf-8"))}


def spoken():
    """Return every key that a template or a module names."""
    templates = [path for folder in FOLDERS for path in (PAGES / folder).glob("*.html")]
    quoted = written(MODULES, r"[\"']([a-z][a-z_0-9]+)[\"']") & set(language("en").words)
    return written(templates, r"\$t_(\w+)") | quoted | MADE


def named(sentence):
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def test_no_key_is_missing_and_none_is_unused():
    assert set(language("en").words) == spoken()


def test_every_key_that_is_said_is_in_the_catalogue():
    keys = written(MODULES, r"\b(?:say|said)\(\s*[\"'](\w+)[\"']")
    assert keys - set(language("en").words) == set()


@pytest.mark.parametrize("code", HABITS)
def test_every_language_has_the_same_keys_and_facts(code):
    ours, english = language(code).words, language("en").words
    assert list(ours) == list(english)
    assert [k for k in ours if named(ours[k]) != named(english[k])] == []
    assert all(text.strip() for text in ours.values())


def test_a_word_that_is_there_in_english_only_would_be_noticed():
    translated = language("de").words
    same = {key for key, text in language("en").words.items() if translated[key] == text}
    assert same <= {"checkout", "choice", "rate_line"}, same


@pytest.mark.parametrize(
    ("wanted", "accepted", "code"),
    [
        ("", "", "en"),
        ("de", "fr,es", "de"),
        ("xx", "es-MX, en;q=0.9", "es"),
        ("", "fr-CH, fr;q=0.9, ar;q=0.4, de;q=0.85", "de"),
        ("", "zh-TW", "zh-CN"),
        ("", "ja;q=0", "en"),
        ("", "ja;q=nonsense, ;;;, ar;q=0.001", "ar"),
        ("", "de;q=²", "en"),
        ("", "x," * 10_000 + "de", "en"),
    ],
)
def test_the_language_is_what_was_asked_for_or_what_the_browser_likes_best(wanted, accepted, code):
    assert chosen(wanted, accepted).code == code


@pytest.mark.parametrize(
    ("code", "price", "token"),
    [
        ("en", "$1,234.50", "1,234.000000000000000001"),
        ("de", "1.234,50\u00a0$", "1.234,000000000000000001"),
        ("es", "1234,50\u00a0$", "1234,000000000000000001"),
        ("ja", "$1,234.50", "1,234.000000000000000001"),
        ("zh-CN", "$1,234.50", "1,234.000000000000000001"),
        ("ar", "$1,234.50", "1,234.000000000000000001"),
    ],
)
def test_amounts_are_written_as_people_write_them_and_lose_nothing(code, price, token):
    assert Language(code).money("1234.5", "USD") == price
    assert Language(code).amount("1234.000000000000000001") == token


def test_money_has_the_places_of_its_currency():
    english = language("en")
    assert english.money("1200", "JPY") == "¥1,200"
    assert english.money("12", "CHF") == "12.00\u00a0CHF"
    assert language("es").amount("12345") == "12.345"


def test_what_stands_in_a_sentence_from_right_to_left_keeps_its_own_direction():
    shown = language("ar").said(said("say_waiting"), Money("0.051", "TOKEN"))
    assert "\u20680.051\u00a0TOKEN\u2069" in shown


@pytest.mark.parametrize("code", HABITS)
def test_the_page_says_which_language_it_is_in(tmp_path, code):
    venue = World(tmp_path).venue
    invoice = venue.invoice(venue.approved_store())
    client = TestClient(site(venue))
    page = client.get(f"/checkout/{invoice.id}", headers={"Accept-Language": code})
    direction = "rtl" if code == "ar" else "ltr"
    assert f'<html lang="{code}" dir="{direction}">' in page.text
    assert page.headers["vary"] == "Accept-Language"
    assert language(code).words["headline_waiting"] in page.text
    named = client.get(f"/checkout/{invoice.id}?lang={code}")
    assert named.text == page.text
    told = re.sub(r"data-words='[^']*'", "", page.text.partition("<main")[2])
    assert "$t_" not in page.text and "{" not in told, "but for what a module fills in"
