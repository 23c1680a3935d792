from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.network.florence import Florence, build
from model.pairs.locations import BINS
from tests.model.world_pairs import untrained, write_pairs


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Florence:
    return untrained(write_pairs(Path(tmp_path_factory.mktemp("world")), 2))


@pytest.fixture(scope="module")
def waved(plain: Florence) -> Florence:
    return build("tiny", plain.tokenizer, size=64, fourier=True)


def embeddings(florence: Florence) -> tuple[Tensor, Tensor]:
    """Of locations and of other words."""
    words: Tensor = florence.model.get_input_embeddings().weight.detach()
    places = torch.zeros(len(words), dtype=torch.bool)
    places[florence.vocabulary.first_location : florence.vocabulary.first_location + BINS] = True
    return words[places], words[~places]


def test_near_locations_are_alike_and_far_ones_are_not(waved: Florence) -> None:
    locations = torch.nn.functional.normalize(embeddings(waved)[0], dim=1)
    alike = locations @ locations.t()

    assert alike.diagonal(offset=10).min() > 0.9
    assert 0.6 < alike.diagonal(offset=40).mean() < 0.9
    assert alike.diagonal(offset=300).max() < 0.6


def test_their_norm_is_1_2_and_they_lie_in_16_dimensions_but_for_noise(waved: Florence) -> None:
    locations, _ = embeddings(waved)

    assert locations.norm(dim=1).mean() == pytest.approx(1.2, abs=0.03)
    energy = torch.linalg.svdvals(locations) ** 2
    assert energy[:16].sum() / energy.sum() > 0.97


def test_other_words_are_as_without(plain: Florence, waved: Florence) -> None:
    assert torch.equal(embeddings(plain)[1], embeddings(waved)[1])
    assert waved.model.lm_head.weight is waved.model.get_input_embeddings().weight


def test_rows_and_columns_of_the_image_have_waves_too(waved: Florence) -> None:
    tables = waved.model.model.multi_modal_projector.image_position_embed

    for table in (tables.row_embeddings.weight.detach(), tables.column_embeddings.weight.detach()):
        assert 12 < torch.linalg.matrix_rank(table, tol=1e-3) <= 16
        assert table.norm(dim=1).mean() == pytest.approx(0.7 * 8**0.5, rel=1e-3)


def test_the_same_seed_makes_the_same(plain: Florence, waved: Florence) -> None:
    again = build("tiny", plain.tokenizer, size=64, fourier=True)

    assert torch.equal(embeddings(again)[0], embeddings(waved)[0])
