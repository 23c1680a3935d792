from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import ConfigError
from model.network.florence import _network
from model.network.presets import PRESETS, check_size, preset_of


@pytest.mark.parametrize(
    ("name", "millions"),
    [("base", 232.0), ("large", 771.0)],  # paper, table 15; the vocabulary is that of the released ones
)
def test_presets_of_the_paper_have_the_parameters_of_the_paper(name: str, millions: float) -> None:
    import torch

    words: Any = SimpleNamespace(size=51_289, pad=1, bos=0, eos=2, image=51_289)
    with torch.device("meta"):
        network = _network(preset_of(name), words)

    assert sum(value.numel() for value in network.parameters()) == pytest.approx(millions * 1e6, rel=0.01)


@pytest.mark.parametrize(("name", "size", "tokens"), [("base", 768, 577), ("base", 384, 145), ("tiny", 96, 37)])
def test_image_tokens_follow_from_the_size(name: str, size: int, tokens: int) -> None:
    assert preset_of(name).image_tokens(size) == tokens


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        preset_of("tinny")


@pytest.mark.parametrize("size", [8, 2000])
def test_a_size_with_too_few_or_too_many_image_tokens_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"Images of {size} pixels"):
        check_size(PRESETS["base"], size)
