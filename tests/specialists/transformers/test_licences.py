"""The licences of checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.layout import TRAINED
from specialists.transformers.licences import LICENCES, licence_of


def test_a_checkpoint_of_the_table_has_its_licence_and_any_other_is_unknown(tmp_path: Path) -> None:
    assert licence_of("florence-community/Florence-2-base") == "mit"
    assert licence_of("owner/model") == licence_of(str(tmp_path)) == "unknown"


def test_a_model_that_this_engine_trained_is_own(tmp_path: Path) -> None:
    (tmp_path / TRAINED).write_text("{}", encoding="utf-8")
    assert licence_of(str(tmp_path)) == "own"


@pytest.mark.parametrize("name", LICENCES)
def test_the_table_has_hub_ids_and_licences_in_lower_case(name: str) -> None:
    assert name.count("/") == 1
    assert LICENCES[name] == LICENCES[name].lower() != ""
