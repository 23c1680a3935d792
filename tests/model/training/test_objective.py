from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model.network.florence import Florence
from model.pairs.locations import BINS
from model.training.batches import Batches
from model.training.objective import IGNORED, Objective
from model.training.pair_store import PixelStore, open_pairs
from model.training.sampling import Schedule
from tests.model.world_pairs import untrained, write_pairs

Made = tuple[Florence, dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("world")
    file = write_pairs(folder)
    florence = untrained(file)
    store = open_pairs([file], florence, Path(folder, "scratch"))
    batches = Batches(store, PixelStore(florence.size), florence, Schedule(store.counts), batch_size=8)
    return florence, batches.step(0)[0].tensors


def objective(florence: Florence, soft: float = 0.0) -> Objective:
    return Objective(
        florence.model, first_location=florence.vocabulary.first_location, bins=BINS, soft_locations=soft
    ).eval()


def test_the_loss_is_the_cross_entropy_of_logits_and_labels(made: Made) -> None:
    florence, tensors = made
    with torch.no_grad():
        losses, counts, _ = objective(florence)(tensors)
        whole = florence.model(**tensors)  # the library's own forward pass with labels
        flat = nn.functional.cross_entropy(whole.logits.flatten(0, 1).float(), tensors["labels"].flatten())

    assert float(losses.sum() / counts.sum()) == pytest.approx(float(flat), rel=1e-5)
    assert float(whole.loss) == pytest.approx(float(flat), rel=1e-5)  # transformers < 5.13 fails here


def test_a_token_is_predicted_from_those_before_it_only(made: Made) -> None:
    florence, tensors = made
    other = {name: value.clone() for name, value in tensors.items()}
    other["labels"][:, 5:] = florence.vocabulary.first_location  # everything from position 5 on
    with torch.no_grad():
        image = florence.model.get_image_features(tensors["pixel_values"]).pooler_output
        before, after = (objective(florence).hidden(batch, image) for batch in (tensors, other))

    assert torch.allclose(before[:, :6], after[:, :6], atol=1e-5)
    assert not torch.allclose(before[:, 6:], after[:, 6:], atol=1e-2)


def test_padding_does_not_change_the_loss(made: Made) -> None:
    florence, tensors = made
    padded = dict(tensors)
    padded["labels"] = nn.functional.pad(tensors["labels"], (0, 5), value=IGNORED)
    padded["input_ids"] = nn.functional.pad(tensors["input_ids"], (0, 3), value=florence.vocabulary.pad)
    padded["attention_mask"] = nn.functional.pad(tensors["attention_mask"], (0, 3))
    with torch.no_grad():
        losses, counts, _ = objective(florence)(tensors)
        same_losses, same_counts, _ = objective(florence)(padded)

    assert torch.equal(counts, same_counts)
    assert torch.allclose(losses, same_losses, rtol=1e-4)


def test_a_sample_without_labels_does_not_change_the_loss(made: Made) -> None:
    florence, tensors = made
    blank = dict(tensors, labels=tensors["labels"].clone())
    blank["labels"][0] = IGNORED
    with torch.no_grad():
        losses, counts, _ = objective(florence)(blank)

    assert float(losses[0]) == 0
    assert int(counts[0]) == 0
    assert float(losses[1:].sum()) > 0


def test_soft_locations_reduce_the_loss_of_near_misses_and_not_of_words(made: Made) -> None:
    florence, _ = made
    first = florence.vocabulary.first_location
    soft, plain = objective(florence, soft=20.0), objective(florence)
    logits = torch.zeros(3, florence.model.lm_head.out_features)
    for place, chosen in enumerate((first + 500, first + 900, 7)):
        logits[place, chosen] = 12.0
    wanted = torch.tensor([first + 510, first + 510, 7])

    near, far, word = soft.losses(logits, wanted).tolist()

    # A miss by 10 bins is compared with a Gaussian of 20 bins around the truth.
    whole = torch.log_softmax(logits, dim=-1)
    weights = torch.exp(-0.5 * ((torch.arange(BINS) - 510) / 20.0) ** 2)
    expected = -(whole[0, first : first + BINS] * weights / weights.sum()).sum()
    assert near == pytest.approx(float(expected), rel=1e-5)
    assert near < far
    assert word == pytest.approx(float(plain.losses(logits, wanted)[2]))
