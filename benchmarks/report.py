"""What do the figures look like to somebody who reads them?

Writes REPORT.md and one SVG picture for every group of figures that can stand on one axis: figures
of one unit as bars from zero, figures of one stem and a trailing number (``gas.recurring.10``) as a
line over that number. Whiskers run from the worst to the best run; nothing is left out.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from rich.console import Console
from rich.table import Table

Figures = Mapping[str, Mapping[str, Any]]

TRAILING_NUMBER: Final = re.compile(r"^(?P<stem>.*[^\d._])[._](?P<number>\d+)$")
SPREAD_FOR_LOG: Final = 30
"""Bars whose longest is this many times the shortest are drawn on a logarithmic axis."""

INK: Final = "#1f4e79"

REMARKS: Final[Mapping[str, str]] = {
    "engine.challenge.": (
        "In `engine.challenge` the ids of the orders are a random permutation of 1 .. N, as on the"
        " public stream. `mps` is delivered in batches to a process that has played the same"
        " before, `cold_mps` to a fresh process in its first round, as the public program does,"
        " `single_mps` message by message. `ids.sequential_x_permuted` and"
        " `ids.scattered_x_permuted` say how many times as fast ids in sequence, and ids from all"
        " of 64 bits, are on scenario normal."
    ),
}
"""What must be known of figures whose names begin so."""


class Series(NamedTuple):
    """Figures that belong in one picture; ``numbers`` is empty for bars."""

    title: str
    unit: str
    names: list[str]
    numbers: list[int]

    @property
    def file_name(self) -> str:
        """The picture's name, made of the title's letters and digits."""
        return re.sub(r"[^a-z0-9]+", "_", self.title.lower()).strip("_") + ".svg"


def grouped(figures: Figures) -> list[Series]:
    """Return the pictures to draw: first lines over a number, then bars by unit."""
    stems: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for name, figure in figures.items():
        if match := TRAILING_NUMBER.match(name):
            key = (match["stem"], figure["unit"])
            stems.setdefault(key, []).append((int(match["number"]), name))
    lines = [
        Series(stem, unit, [name for _, name in points], [number for number, _ in points])
        for (stem, unit), unsorted in sorted(stems.items())
        if len(points := sorted(unsorted)) > 1
    ]
    drawn = {name for series in lines for name in series.names}
    units: dict[str, list[str]] = {}
    for name, figure in figures.items():
        if name not in drawn:
            units.setdefault(figure["unit"], []).append(name)
    return lines + [Series(f"in {unit}", unit, names, []) for unit, names in sorted(units.items())]


def shown(value: float) -> str:
    """Return ``value`` with about three significant digits, thousands apart, whole if large."""
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def _whiskers(figures: Figures, names: list[str]) -> list[list[float]]:
    below = [figures[name]["value"] - figures[name]["min"] for name in names]
    above = [figures[name]["max"] - figures[name]["value"] for name in names]
    return [below, above]


def _draw_line(axes: Axes, series: Series, figures: Figures) -> None:
    values = [figures[name]["value"] for name in series.names]
    whiskers = _whiskers(figures, series.names)
    axes.errorbar(series.numbers, values, yerr=whiskers, color=INK, marker="o", capsize=3)
    for number, value in zip(series.numbers, values, strict=True):
        axes.annotate(
            shown(value), (number, value), xytext=(0, 8), textcoords="offset points", ha="center"
        )
    if max(series.numbers) > SPREAD_FOR_LOG * max(1, min(series.numbers)):
        axes.set_xscale("log")
    axes.set_xticks(series.numbers, [str(number) for number in series.numbers])
    axes.minorticks_off()
    axes.margins(x=0.08)
    axes.set_ylim(0, 1.2 * max(figures[name]["max"] for name in series.names))
    axes.set_ylabel(series.unit)


def _draw_bars(axes: Axes, series: Series, figures: Figures) -> None:
    names = list(reversed(series.names))
    values = [figures[name]["value"] for name in names]
    whiskers = _whiskers(figures, names)
    axes.barh(names, values, xerr=whiskers, color=INK, height=0.6, ecolor="#e08a1e", capsize=3)
    for name, value in zip(names, values, strict=True):
        axes.annotate(
            shown(value),
            (figures[name]["max"], name),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    if min(values) > 0 and max(values) > SPREAD_FOR_LOG * min(values):
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 2, max(values) * 2)
        axes.set_xlabel(f"{series.unit} (logarithmic: compare the numbers, not the lengths)")
    else:
        axes.set_xlim(0, 1.2 * (max(figures[name]["max"] for name in names) or 1))
        axes.set_xlabel(series.unit)


def draw(series: Series, figures: Figures, directory: Path) -> Path:
    """Write the picture of ``series`` into ``directory`` and return where it is."""
    height = 3.2 if series.numbers else 1.1 + 0.45 * len(series.names)
    # A fixed salt and no date: the same figures give the same file, so that git sees no change.
    with mpl.rc_context({"svg.hashsalt": "tillbook", "svg.fonttype": "path", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(8, height), layout="constrained")
        (_draw_line if series.numbers else _draw_bars)(axes, series, figures)
        axes.set_title(series.title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        path = directory / series.file_name
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    return path


def _rows(figures: Figures) -> Iterator[tuple[str, str, str, str, str]]:
    for name, figure in sorted(figures.items()):
        spread = f"{shown(figure['min'])} to {shown(figure['max'])}"
        yield name, shown(figure["value"]), figure["unit"], spread, str(figure["runs"])


def _remarks(figures: Figures) -> Iterator[str]:
    """Yield what must be said of these figures, a paragraph each."""
    for stem, remark in REMARKS.items():
        if any(name.startswith(stem) for name in figures):
            yield textwrap.fill(remark, 90, break_on_hyphens=False)
            yield ""


def markdown(
    figures: Figures, provenance: Mapping[str, Mapping[str, str]], pictures: list[tuple[str, str]]
) -> str:
    """Return the text of REPORT.md; ``pictures`` are (title, path relative to it)."""
    origins: dict[tuple[str, str, str], list[str]] = {}
    for name in sorted(figures):
        origin = provenance.get(name, {})
        unknown = "unknown"
        key = tuple(origin.get(field, unknown) for field in ("date", "machine", "commit"))
        origins.setdefault(key, []).append(name)  # type: ignore[arg-type]
    lines = [
        "# Benchmark report",
        "",
        "Written by `make bench`; do not edit. `make bench ONLY=name` measures a part again and",
        "leaves the other figures as they were, each with its own date below. A value is that of",
        "the median run, the spread runs from the lowest to the highest. `README.md` says how a",
        "figure is made.",
        "",
        "## Figures",
        "",
        "| Figure | Value | Unit | Spread | Runs |",
        "|---|---:|---|---|---:|",
        *(f"| {' | '.join(row)} |" for row in _rows(figures)),
        "",
        *_remarks(figures),
        "## Measured on",
        "",
        "| Date | Commit | Machine | Figures |",
        "|---|---|---|---|",
    ]
    for (date, machine, commit), names in sorted(origins.items()):
        which = "all" if len(names) == len(figures) else ", ".join(names)
        lines.append(f"| {date} | {commit} | {machine} | {which} |")
    lines += ["", "A commit with `+` had changes on top that were not committed.", ""]
    for title, path in pictures:
        lines += [f"## {title}", "", f"![{title}]({path})", ""]
    return "\n".join(lines)


def write(
    figures: Figures,
    provenance: Mapping[str, Mapping[str, str]],
    path: Path,
    pictures_directory: Path,
) -> None:
    """Write the report to ``path`` and its pictures, removing pictures that nothing asks for."""
    mpl.use("svg")
    pictures_directory.mkdir(parents=True, exist_ok=True)
    for stale in pictures_directory.glob("*.svg"):
        stale.unlink()
    pictures = [
        (series.title, draw(series, figures, pictures_directory)) for series in grouped(figures)
    ]
    relative = [(title, picture.relative_to(path.parent).as_posix()) for title, picture in pictures]
    path.write_text(markdown(figures, provenance, relative))


def print_table(figures: Figures) -> None:
    """Print the figures of this run."""
    table = Table("Figure", "Value", "Unit", "Spread", "Runs", title="Measured now")
    for column in (1, 4):
        table.columns[column].justify = "right"
    for row in _rows(figures):
        table.add_row(*row)
    Console().print(table)
