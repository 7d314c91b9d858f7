"""Kernel and reference answer the same questions in files of the same names, side by side."""

from pathlib import Path

from tests.tidy.sources import ROOT

KERNEL_ONLY = {
    "bits": "a window's prices as bitmaps; the reference has a sorted map",
    "dispatch": "the loop over a batch in one call; the reference has a table in machine.py",
    "emit": "rows of a buffer; the reference appends tuples (State.emit)",
    "event_capacity": "how many rows a buffer needs; a list grows",
    "far_levels": "prices outside the window and triggers; the reference has a sorted map",
    "jit": "how a function becomes machine code",
    "machinecode": "instructions that Python has no word for",
    "prefetch": "asks memory early",
    "size": "products that could wrap; Python's integers do not (Market.amounts_fit)",
    "solo_book": "a book without accounts, for the challenge",
    "state_image": "the arrays of a snapshot; the reference is never kept",
    "state_pointer": "hands all arrays to a kernel at once",
    "window": "where the dense window stands",
}
"""Kernel module to why the reference has none of that name."""


def modules(package: Path) -> set[str]:
    return {path.stem for path in package.glob("*.py")}


def test_the_reference_has_no_module_that_the_kernel_has_not():
    assert modules(ROOT / "engine/reference") <= modules(ROOT / "engine/core")


def test_what_only_the_kernel_has_is_named_with_its_reason():
    kernel, reference = modules(ROOT / "engine/core"), modules(ROOT / "engine/reference")
    assert kernel - reference == KERNEL_ONLY.keys()
