"""The sections of the report, in the order of the page. To add one: a file that ends with SECTION, and a line here."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.analyse.figure import Section
from pipelines.analyse.sections import (
    agreement,
    cost,
    funnel,
    grounding,
    health,
    overview,
    rounds,
    semantics,
    spatial,
    statistics,
)

SECTIONS: Sequence[Section] = (
    overview.SECTION,
    statistics.SECTION,
    semantics.SECTION,
    spatial.SECTION,
    grounding.SECTION,
    agreement.SECTION,
    funnel.SECTION,
    rounds.SECTION,
    health.SECTION,
    cost.SECTION,
)
