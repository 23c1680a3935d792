"""Which licences a list allows."""

from __future__ import annotations

import pytest

from engine.licences import is_allowed, stated


@pytest.mark.parametrize("licence", ["mit", "MIT", "apache-2.0", "", "own", "mit or gpl-3.0", "mit and apache-2.0"])
def test_listed_licences_own_models_and_no_weights_are_allowed(licence: str) -> None:
    assert is_allowed(licence, ["Apache-2.0", "mit"])


@pytest.mark.parametrize("licence", ["unknown", "cc-by-nc-4.0", "mit and gpl-3.0", "gpl-3.0 or agpl-3.0"])
def test_any_other_is_not(licence: str) -> None:
    assert not is_allowed(licence, ["apache-2.0", "mit"])


def test_a_component_that_states_none_is_unknown() -> None:
    assert stated(object()) == ("unknown", "unknown")
