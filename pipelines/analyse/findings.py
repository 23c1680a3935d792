"""Cards and findings: rows of queries that the page shows as large numbers and as a list of sentences.

The sentences and numbers come from the queries (findings_*.sql); here they are only sorted and linked to figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from pipelines.analyse.figure import Row, Section
from pipelines.analyse.numbers import short, written
from pipelines.analyse.tables import rows_of

SEVERITIES = ("serious", "warning", "note")
_LONGEST = 320  # characters of a sentence


@dataclass(frozen=True, slots=True)
class Card:
    """A large number, with what it counts and a remark."""

    measure: str
    number: str
    note: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence about what looks wrong. `figure`: the query whose figure shows more, '' if it is not on the page."""

    severity: str
    sentence: str
    figure: str
    title: str


class Tables(Protocol):
    """A data set of the page: its name, and the rows of each query."""

    @property
    def name(self) -> str: ...

    @property
    def tables(self) -> Mapping[str, pa.Table]: ...


def cards(rows: Sequence[Row]) -> list[Card]:
    return [Card(short(row["measure"]), written(row["number"]), short(row["note"] or "")) for row in rows]


def findings(section: Section, sections: Sequence[Section], sets: Sequence[Tables]) -> list[tuple[str, list[Finding]]]:
    """(name of the data set, its findings with the most serious first) for each data set.

    Empty if no figure of the section has findings.
    """
    queries = [figure.query for figure in section.figures if figure.form == "findings"]
    titles = {figure.query: figure.title for other in sections for figure in other.figures}
    return [
        (one.name, sorted(_found(one, queries, titles), key=lambda finding: SEVERITIES.index(finding.severity)))
        for one in sets
        if queries
    ]


def _found(one: Tables, queries: Sequence[str], titles: Mapping[str, str]) -> Iterator[Finding]:
    for query in queries:
        for row in rows_of(one.tables[query]):
            title = titles.get(row["figure"], "")
            yield Finding(row["severity"], short(row["finding"], _LONGEST), row["figure"] if title else "", title)
