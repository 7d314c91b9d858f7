"""Can every rule fail, and does it let through what it should?

Each row is a file that breaks one rule, or one that looks as if it did and does not.
"""

import pytest

from tests.tidy import meaning, shape
from tests.tidy.sources import Source

LONG_FUNCTION = "def f():\n" + "    x = 1\n" * shape.FUNCTION_LINES_MAX
REGISTRY = "https://py" + "pi.org/simple"

BROKEN = [
    (shape.file_length, "engine/a.py", "x = 1\n" * 601, "601 lines"),
    (shape.file_length, "settlement/contracts/src/bond/A.sol", "//\n" * 601, "601 lines"),
    (shape.line_length, "engine/a.py", "x = 1\n# " + "y" * 100, "102 columns"),
    (shape.function_length, "engine/a.py", LONG_FUNCTION, "f has 61 lines"),
    (shape.first_line, "engine/a.py", "import os\n", "not a docstring"),
    (shape.first_line, "engine/a.py", '# hello\n"""Late."""\n', "not a docstring"),
    (shape.public_docstrings, "engine/a.py", "def f():\n    pass\n", "f has no docstring"),
    (shape.public_docstrings, "engine/a.py", "class A:\n    x = 1\n", "A has no docstring"),
    (
        shape.public_docstrings,
        "engine/a.py",
        'class A:\n    """It."""\n    async def f(self):\n        pass\n',
        "f has no docstring",
    ),
    (shape.names_say_something, "engine/utils.py", "", "'utils'"),
    (shape.names_say_something, "engine/helper/a.py", "", "'helper'"),
    (shape.names_say_something, "engine/a.py", "def info():\n    pass\n", "'info'"),
    (shape.names_say_something, "engine/a.py", "class Manager:\n    pass\n", "'Manager'"),
    (shape.no_foreign_addresses, "docs/a.md", f"See {REGISTRY}.", "package registry"),
    (shape.no_foreign_addresses, "docs/a.md", "cd " + "/ro" + "ot/x", "path of one machine"),
    (shape.no_foreign_addresses, "Makefile", "X := " + "/wo" + "rk/shared", "path of one machine"),
    (shape.lock_names_no_address, "requirements/run.txt", "a @ https://a.example/a", "address"),
    (shape.lock_names_no_address, "x/package-lock.json", '  "resolved": "a"', "address"),
    (shape.titles_are_names, "a/A.sol", "/// @title How is it done?\n", "is no name"),
    (shape.titles_are_names, "a/A.sol", "/// @title How is\n/// it done?\n", "How is it done?"),
    (shape.titles_are_names, "a/A.sol", "/** @title What is it?\n * @dev It. */\n", "What is it?"),
    (shape.titles_are_names, "a/A.sol", "/// @title A\n/// @title It is.\n", "It is."),
    (shape.open_ends_have_owners, "engine/a.py", "# TO" + "DO: later\n", "nobody owns"),
    (shape.open_ends_have_owners, "a/A.sol", "// FIX" + "ME\n", "nobody owns"),
    (meaning.money_is_whole, "engine/a.py", "x = 0.5\n", "literal 0.5"),
    (meaning.money_is_whole, "engine/core/a.py", "timeout = 0.5\n", "literal 0.5"),
    (meaning.money_is_whole, "settlement/a.py", "x = 1e8\n", "literal"),
    (meaning.money_is_whole, "settlement/a.py", "x = float(y)\n", "float"),
    (meaning.money_is_whole, "settlement/a.py", "def f(x: float): ...\n", "float"),
    (meaning.money_is_whole, "merchants/sales/invoices.py", "x = a / b\n", "operator /"),
    (meaning.money_is_whole, "merchants/sales/invoices.py", "x /= b\n", "operator /="),
    (meaning.money_is_whole, "engine/a.py", 'x = np.zeros(1, "<f8")\n', "dtype"),
    (meaning.money_is_whole, "engine/a.py", "x = np.float64(y)\n", "float64"),
    (meaning.money_is_whole, "engine/a.py", "def f(price=0.5, timeout=1): ...\n", "0.5"),
    (meaning.engine_is_pure, "engine/core/a.py", "import time\n", "imports time"),
    (meaning.engine_is_pure, "engine/core/a.py", "from os import path\n", "imports os"),
    (meaning.engine_is_pure, "engine/core/a.py", "import pathlib\n", "imports pathlib"),
    (meaning.engine_is_pure, "engine/reference/a.py", "import random as r\n", "imports random"),
    (meaning.engine_is_pure, "engine/events.py", "x = np.random.default_rng()\n", "dice"),
    (meaning.engine_is_pure, "engine/core/a.py", "f = open('x')\n", "calls open"),
    (meaning.engine_is_pure, "engine/reference/a.py", "x = hash(y)\n", "calls hash"),
    (meaning.libraries_stay_in_place, "engine/a.py", "import numba\n", "numba is known only"),
    (
        meaning.libraries_stay_in_place,
        "settlement/batches/encode.py",
        "from web3 import Web3\n",
        "web3",
    ),
    (meaning.libraries_stay_in_place, "merchants/a.py", "import fastapi.routing\n", "fastapi"),
    (meaning.libraries_stay_in_place, "gateway/a.py", "import httpx\n", "httpx"),
    (meaning.libraries_stay_in_place, "gateway/a.py", "from urllib import request\n", "urllib"),
    (meaning.libraries_stay_in_place, "gateway/a.py", "import tests.ladder\n", "tests is known"),
    (meaning.errors_are_named, "engine/a.py", "try: x\nexcept: y\n", "catches everything"),
    (meaning.errors_are_named, "tests/a.py", "try: x\nexcept Exception: y\n", "catches"),
    (meaning.errors_are_named, "engine/a.py", "try: x\nexcept (A, BaseException): y\n", "catches"),
    (meaning.errors_are_named, "engine/a.py", "with suppress(Exception): x\n", "catches"),
    (
        meaning.errors_are_named,
        "gateway/node/app.py",
        "try: x\nexcept Exception: y\n" * 2,
        "catches everything",
    ),
    (meaning.tests_wait_for_nothing, "tests/api/a.py", "time.sleep(1)\n", "sleeps"),
    (meaning.tests_wait_for_nothing, "tests/api/a.py", "await asyncio.sleep(0.1)\n", "sleeps"),
    (meaning.tests_wait_for_nothing, "tests/a.py", "from time import sleep\n", "time.sleep"),
    (meaning.tests_wait_for_nothing, "tests/a.py", "from unittest.mock import patch\n", "mock"),
]

SOUND = [
    (shape.file_length, "engine/a.py", "x = 1\n" * 600),
    (shape.file_length, "requirements/run.txt", "x\n" * 5000),
    (shape.line_length, "engine/a.py", "# " + "é" * 98),
    (shape.function_length, "engine/a.py", LONG_FUNCTION.removesuffix("    x = 1\n")),
    (shape.first_line, "engine/__init__.py", ""),
    (shape.public_docstrings, "engine/a.py", "def _f():\n    def g(): pass\n    return g\n"),
    (shape.public_docstrings, "tests/a.py", "def test_it(): pass\n"),
    (shape.names_say_something, "engine/a.py", "def data_directory(): pass\n"),
    (shape.no_foreign_addresses, "docs/a.md", "The road is a network/root/leaf, 1/work."),
    (shape.titles_are_names, "a/A.sol", "/// @title A vault\n/// @notice Who owns what?\n"),
    (shape.titles_are_names, "a/A.sol", "/// @title A vault\nuint256 a = b ? c : d;\n"),
    (shape.titles_are_names, "a/a.md", "`/// @title What is it?`\n"),
    (shape.open_ends_have_owners, "engine/a.py", "# TO" + "DO(ada): when the chain forks.\n"),
    (meaning.money_is_whole, "engine/a.py", "x = a // b\n"),
    (meaning.money_is_whole, "gateway/a.py", "x = 0.5\n"),
    (meaning.money_is_whole, "engine/a.py", 'x = directory / name / "segment"\n'),
    (meaning.money_is_whole, "engine/a.py", "x = self.path.parent / name\n"),
    (meaning.money_is_whole, "settlement/a.py", "def f(*, poll_seconds: float = 0.5): ...\n"),
    (meaning.money_is_whole, "settlement/a.py", "POLL_SECONDS: float = 0.5\n"),
    (meaning.money_is_whole, "settlement/a.py", "ready.wait(0.5)\nget(timeout=2.5)\n"),
    (meaning.engine_is_pure, "engine/clock.py", "import time\n"),
    (meaning.engine_is_pure, "engine/core/a.py", "import timeless\nx = book.open\n"),
    (meaning.libraries_stay_in_place, "settlement/chain/chain.py", "from web3 import Web3\n"),
    (meaning.libraries_stay_in_place, "gateway/rest/a.py", "from urllib.parse import quote\n"),
    (meaning.libraries_stay_in_place, "tests/a.py", "import httpx\n"),
    (meaning.errors_are_named, "gateway/node/app.py", "try: x\nexcept Exception: y\n"),
    (meaning.errors_are_named, "engine/a.py", "try: x\nexcept ValueError: y\n"),
    (meaning.tests_wait_for_nothing, "tests/a.py", "await asyncio.sleep(0)\n"),
]


@pytest.mark.parametrize(("rule", "where", "text", "words"), BROKEN)
def test_a_broken_rule_is_noticed(rule, where, text, words):
    complaints = [complaint.words for complaint in rule(Source(where, text))]
    assert any(words in complaint for complaint in complaints), complaints


@pytest.mark.parametrize(("rule", "where", "text"), SOUND)
def test_a_kept_rule_is_not_complained_about(rule, where, text):
    assert list(rule(Source(where, text))) == []


def test_every_rule_has_a_file_that_breaks_it():
    assert {row[0] for row in BROKEN} == {*shape.RULES, *meaning.RULES}
