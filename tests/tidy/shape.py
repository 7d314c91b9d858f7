"""Which rules speak of a file's form: its size, its names, its docstrings, its words?"""

import ast
import re
from collections.abc import Iterator

from tests.tidy.sources import Complaint, Complaints, Source

LINES_MAX = 600
FUNCTION_LINES_MAX = 60
COLUMNS_MAX = 100
WRITTEN_BY_HAND = {".py", ".sol", ".js", ".mjs", ".css", ".html", ".sh", ".toml", ".yaml", ".yml"}
WRITTEN_BY_OTHERS = "gateway/pages/vendor"
EMPTY_WORDS = {"data", "info", "manager", "helper", "helpers", "util", "utils"}

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Written so that this file does not name what it looks for.
REGISTRY = re.compile(r"\b(?:pypi|pythonhosted|npmjs|crates)[.](?:org|io)\b|\bdeb[.]debian[.]")
MACHINE_PATH = re.compile(r"(?:^|[^\w.$}*~-])/(?:work|farm|root|home/\w+|tmp/bash_jobs)(?:[/.]|$)")
TITLE = re.compile(r"@title(?P<words>.*?)(?=@\w|\*/|\n\s*(?!\s*(?:///|\*)))", re.DOTALL)
OWNERLESS = re.compile(r"\b(?:TO" + r"DO(?!\(\w+\))|FIX" + r"ME|X" + r"XX)\b")


def _functions(source: Source) -> Iterator[Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, Function))


def _is_by_hand(source: Source) -> bool:
    if source.within(WRITTEN_BY_OTHERS):
        return False
    return source.where.suffix in WRITTEN_BY_HAND or source.where.name in {"Makefile", "Dockerfile"}


def file_length(source: Source) -> Complaints:
    """A file has at most 600 lines."""
    if _is_by_hand(source) and len(source.lines) > LINES_MAX:
        yield Complaint(0, f"{len(source.lines)} lines, at most {LINES_MAX}")


def line_length(source: Source) -> Complaints:
    """A line has at most 100 columns."""
    if not _is_by_hand(source):
        return
    for number, line in enumerate(source.lines, 1):
        if len(line) > COLUMNS_MAX:
            yield Complaint(number, f"{len(line)} columns, at most {COLUMNS_MAX}")


def function_length(source: Source) -> Complaints:
    """A Python function has at most 60 lines, its docstring included."""
    if not source.is_python:
        return
    for function in _functions(source):
        count = (function.end_lineno or 0) - function.lineno + 1
        if count > FUNCTION_LINES_MAX:
            words = f"{function.name} has {count} lines, at most {FUNCTION_LINES_MAX}"
            yield Complaint(function.lineno, words)


def first_line(source: Source) -> Complaints:
    """A Python file says in its first line which question it answers."""
    if not source.is_python or not source.text:
        return
    if ast.get_docstring(source.tree) is None or source.tree.body[0].lineno != 1:
        yield Complaint(1, "the first line is not a docstring")


def public_docstrings(source: Source) -> Complaints:
    """Every public class, function and method has a docstring; tests and cases name themselves."""
    if not source.is_python or source.within("tests", "benchmarks/cases"):
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if _is_public_place(node) and ast.get_docstring(node) is None:
            yield Complaint(node.lineno, f"{node.name} has no docstring")


def _is_public_place(node: ast.AST) -> bool:
    """Tell whether ``node`` can be reached by name: nothing around it is private or a function."""
    parent: ast.AST = node.parent  # type: ignore[attr-defined]
    if isinstance(parent, ast.Module):
        return True
    if isinstance(parent, ast.ClassDef):
        return not parent.name.startswith("_") and _is_public_place(parent)
    if isinstance(parent, ast.If | ast.Try):
        return _is_public_place(parent)
    return False


def names_say_something(source: Source) -> Complaints:
    """No file, class or function is called data, info, manager, helper or utils."""
    for part in (*source.where.parent.parts, source.where.stem):
        if part.lower() in EMPTY_WORDS:
            yield Complaint(0, f"{part!r} says nothing about what is in it")
    if not source.is_python:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, Function | ast.ClassDef) and node.name.lower() in EMPTY_WORDS:
            yield Complaint(node.lineno, f"{node.name!r} says nothing about what it does")


def no_foreign_addresses(source: Source) -> Complaints:
    """No package registry and no path of somebody's machine is named."""
    for number, line in enumerate(source.lines, 1):
        if REGISTRY.search(line):
            yield Complaint(number, "names the host of a package registry")
        if MACHINE_PATH.search(line):
            yield Complaint(number, "names a path of one machine")


def lock_names_no_address(source: Source) -> Complaints:
    """A lock file holds versions and hashes, and no address to download from."""
    name = source.where.name
    is_lock = name == "package-lock.json" or source.within("requirements")
    for number, line in enumerate(source.lines if is_lock else [], 1):
        if '"resolved"' in line or "://" in line:
            yield Complaint(number, "a lock file names no address")


def titles_are_names(source: Source) -> Complaints:
    """A NatSpec ``@title`` is the contract's name: explorers and auditors print it as one.

    A question may stay, as ``@notice``.
    """
    if source.where.suffix != ".sol":
        return
    for title in TITLE.finditer(source.text):
        words = " ".join(title["words"].replace("///", " ").replace("*", " ").split())
        if words.endswith((".", "!")) or "?" in words:
            line = source.text.count("\n", 0, title.start("words")) + 1
            yield Complaint(line, f"the title {words!r} is no name")


def open_ends_have_owners(source: Source) -> Complaints:
    """Whoever leaves something to do puts a name to it, as in the pattern ``TODO(name)``."""
    if not _is_by_hand(source):
        return
    for number, line in enumerate(source.lines, 1):
        if OWNERLESS.search(line):
            yield Complaint(number, "something is left open and nobody owns it")


RULES = (
    file_length,
    line_length,
    function_length,
    first_line,
    public_docstrings,
    names_say_something,
    no_foreign_addresses,
    lock_names_no_address,
    titles_are_names,
    open_ends_have_owners,
)
