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
def with_fourier(plain: Florence) -> Florence:
    return build("tiny", plain.tokenizer, size=64, fourier=True)


def embeddings(florence: Florence) -> tuple[Tensor, Tensor]:
    """(embeddings of locations, embeddings of other tokens)."""
    words: Tensor = florence.model.get_input_embeddings().weight.detach()
    is_location = torch.zeros(len(words), dtype=torch.bool)
    is_location[florence.vocabulary.first_location : florence.vocabulary.first_location + BINS] = True
    return words[is_location], words[~is_location]


def test_near_locations_have_similar_embeddings_and_far_ones_do_not(with_fourier: Florence) -> None:
    locations = torch.nn.functional.normalize(embeddings(with_fourier)[0], dim=1)
    similarity = locations @ locations.t()

    assert similarity.diagonal(offset=10).min() > 0.9
    assert 0.6 < similarity.diagonal(offset=40).mean() < 0.9
    assert similarity.diagonal(offset=300).max() < 0.6


def test_location_embeddings_have_norm_1_2_and_16_dimensions(with_fourier: Florence) -> None:
    locations, _ = embeddings(with_fourier)

    assert locations.norm(dim=1).mean() == pytest.approx(1.2, abs=0.03)
    energy = torch.linalg.svdvals(locations) ** 2
    assert energy[:16].sum() / energy.sum() > 0.97


def test_embeddings_of_other_words_are_unchanged(plain: Florence, with_fourier: Florence) -> None:
    assert torch.equal(embeddings(plain)[1], embeddings(with_fourier)[1])
    assert with_fourier.model.lm_head.weight is with_fourier.model.get_input_embeddings().weight


def test_image_positions_have_fourier_features_too(with_fourier: Florence) -> None:
    tables = with_fourier.model.model.multi_modal_projector.image_position_embed

    for table in (tables.row_embeddings.weight.detach(), tables.column_embeddings.weight.detach()):
        assert 12 < torch.linalg.matrix_rank(table, tol=1e-3) <= 16
        assert table.norm(dim=1).mean() == pytest.approx(0.7 * 8**0.5, rel=1e-3)


def test_embeddings_are_equal_for_equal_seeds(plain: Florence, with_fourier: Florence) -> None:
    again = build("tiny", plain.tokenizer, size=64, fourier=True)

    assert torch.equal(embeddings(again)[0], embeddings(with_fourier)[0])
