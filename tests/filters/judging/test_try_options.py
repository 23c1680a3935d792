"""try_options: wrong options are refused before anything runs, even if only a call of the rule shows the error."""

from __future__ import annotations

import pytest

from engine.config.catalog import defaults_of, resolve
from engine.errors import ConfigError
from filters import CATALOG
from filters.judging.try_options import try_options
from filters.min_score import min_score
from filters.too_many_objects import too_many_objects


@pytest.mark.parametrize("name", CATALOG)
def test_every_rule_can_read_its_defaults(name: str) -> None:
    _, rule = resolve("filter", name, CATALOG)
    try_options(name, rule, defaults_of(rule))


def test_an_unknown_granularity_is_refused_even_without_texts() -> None:
    with pytest.raises(ConfigError, match="granularity in max_objects 'breif': did you mean 'brief'"):
        try_options("too_many_objects", too_many_objects, {"max_objects": {"breif": 10}})


def test_a_missing_calibration_is_refused_even_without_regions() -> None:
    with pytest.raises(ConfigError, match="No calibration at"):
        try_options("min_score", min_score, {"calibration": "/nowhere/curves.json"})
