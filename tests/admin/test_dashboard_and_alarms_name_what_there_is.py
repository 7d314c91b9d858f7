"""Every figure on the dashboard and in an alarm is scraped, and every alarm has its heading."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.fixtures import OPERATOR, Venue, served

DOCS = Path(__file__).parents[2] / "docs"
ALARMS = (DOCS / "operations" / "alarms.yaml").read_text()
DASHBOARD = json.loads((DOCS / "operations" / "dashboard.json").read_text())
RUNBOOK = (DOCS / "RUNBOOK.md").read_text()
RULE = re.compile(
    r"      - alert: (?P<alert>\w+)\n"
    r"        expr: >-\n(?P<expr>(?:          \S[^\n]*\n)+)"
    r"        for: \d+[ms]\n"
    r"        labels:\n"
    r"          severity: (?:page|ticket)\n"
    r"        annotations:\n"
    r"          summary: '(?:[^'\n]|'')+'\n"
    r"          runbook: docs/RUNBOOK\.md#(?P<anchor>[\w-]+)\n"
)
WORDS = {
    *("histogram_quantile", "sum", "rate", "increase", "delta", "by", "and", "le"),
    *("outcome", "stage", "status"),
}
"""What PromQL, and our labels, are made of beside the names of figures."""


def rules() -> list[dict[str, str]]:
    return [match.groupdict() for match in RULE.finditer(ALARMS)]


def expressions() -> Iterator[str]:
    for rule in rules():
        yield " ".join(rule["expr"].split())
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


@pytest.fixture(scope="module")
def scraped() -> dict[str, set[str]]:
    """Return the names of all figures of a real scrape, each with its labels."""

    async def scrape() -> str:
        async with served(Venue()) as up:
            for side in ("sell", "buy"):
                body = up.venue.maker.order(side, 5, 2_000 if side == "sell" else 1_990)
                assert (await up.place(body)).status_code == 201
            answer = await up.http.get("/metrics", headers=OPERATOR)
            assert answer.status_code == 200
            return answer.text

    text = asyncio.run(scrape())
    found: dict[str, set[str]] = {"up": {"job"}}
    for family in text_string_to_metric_families(text):
        # A family whose labels have no values yet is there by its type alone.
        names = {family.name, f"{family.name}_total"} if family.type == "counter" else {family.name}
        if family.type == "histogram":
            names = {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
        for name in names:
            found.setdefault(name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_the_rules_are_of_one_form_and_nothing_else_is_in_the_file():
    head, _, body = ALARMS.partition("    rules:\n")
    assert head.endswith("groups:\n  - name: tillbook\n")
    assert "".join(match.group() for match in RULE.finditer(body)) == body
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 15


def test_every_alarm_has_its_heading_and_every_heading_its_alarm():
    section = RUNBOOK.partition("\n## Alarms\n")[2]
    headings = re.findall(r"^### (\w+)$", section, re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    assert [heading.lower() for heading in headings] == [rule["anchor"] for rule in rules()]
    for words in section.split("\n### ")[1:]:
        for part in ("- **Means:** ", "- **Look at:** ", "- **Do:** "):
            assert words.count(part) == 1, words.splitlines()[0]


def test_every_figure_is_scraped_with_its_labels(scraped: dict[str, set[str]]):
    for expression in expressions():
        bare = re.sub(r'"[^"]*"', '""', expression)
        assert bare.count("(") == bare.count(")") and bare.count("{") == bare.count("}")
        for name, labels in re.findall(r"\b(tillbook_\w+|up)\b(?:\{(\w+)=\"\"\})?", bare):
            assert name in scraped, f"{name} of {expression}"
            if labels and scraped[name]:
                assert labels in scraped[name], expression
        rest = re.sub(r"\b(tillbook_\w+|up)\b(\{\w+=\"\"\})?", "", bare)
        rest = re.sub(r"\[\d+[smh]\]", "", rest)
        assert set(re.findall(r"[A-Za-z_]+", rest)) <= WORDS, expression


def test_every_figure_of_ours_is_on_the_dashboard(scraped: dict[str, set[str]]):
    shown = " ".join(expressions())
    for name in scraped:
        base = re.sub(r"_(bucket|sum|count|total|created)$", "", name)
        assert base in shown, f"{name} is on no panel"


def test_the_dashboard_can_be_imported():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["targets"]
