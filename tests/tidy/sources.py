"""Which files are judged, and how does a rule see one of them?"""

import ast
import subprocess
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PRODUCT = ("engine", "settlement", "merchants", "gateway")

Complaints = Iterator["Complaint"]


class Complaint(NamedTuple):
    """What is wrong in which line (from 1; 0 speaks of the file itself)."""

    line: int
    words: str


class Source:
    """One text file: where it stands in the repository, its text and, for Python, its tree."""

    def __init__(self, where: str, text: str) -> None:
        self.where = PurePosixPath(where)
        self.text = text

    def __repr__(self) -> str:
        return str(self.where)

    @cached_property
    def lines(self) -> list[str]:
        """The text line by line, without line ends."""
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree of a Python file, each node knowing its parent as ``node.parent``."""
        tree = ast.parse(self.text)
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                child.parent = node  # type: ignore[attr-defined]
        return tree

    @property
    def is_python(self) -> bool:
        """Whether the file is Python."""
        return self.where.suffix == ".py"

    @property
    def is_product(self) -> bool:
        """Whether the file is Python that a user runs, neither test nor benchmark."""
        return self.is_python and self.where.parts[0] in PRODUCT

    def within(self, *places: str) -> bool:
        """Whether the file is one of ``places`` or lies below one of them."""
        return any(self.where.is_relative_to(place) for place in places)


def tracked_files() -> list[str]:
    """Return every path that git keeps or would add, in order."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(
        where
        for where in set(listed.stdout.split("\0"))
        if where and ROOT.joinpath(where).is_file()
    )


def read_sources() -> list[Source]:
    """Return every text file of the repository; what is not UTF-8 is a picture or an archive."""
    sources = []
    for where in tracked_files():
        try:
            sources.append(Source(where, ROOT.joinpath(where).read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return sources
