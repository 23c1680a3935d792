from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import ConfigError
from model.network.florence import Florence
from model.pairs.locations import BINS
from model.training.augment import Augment
from model.training.auxiliary import IGNORED, Cells, Head, classes_of, joined_loss, loss_weights
from model.training.batches import Batches
from model.training.objective import Objective
from model.training.pair_store import PairStore, PixelStore, open_pairs
from model.training.sampling import Schedule
from tests.model.world_pairs import untrained, write_pairs

CELLS = Cells({"cat": 1, "dog": 2}, grid=5)
NONE = [IGNORED] * 4


def test_tokens_in_the_middle_of_a_box_have_its_class_and_the_others_background() -> None:
    # Centres of the cells: .1 .3 .5 .7 .9; the middle of the box: .26 to .74 across, .12 to .48 down.
    classes, places = CELLS("dog<loc_100><loc_0><loc_899><loc_599>")

    assert classes.reshape(5, 5).tolist() == [[0] * 5, [0, 2, 2, 2, 0], [0] * 5, [0] * 5, [0] * 5]
    assert places[[6, 7, 8]].tolist() == [[100, 0, 899, 599]] * 3
    assert places[[0, 5, 12]].tolist() == [NONE] * 3


def test_where_boxes_overlap_the_smaller_one_counts() -> None:
    large, small = "cat<loc_0><loc_0><loc_999><loc_999>", "dog<loc_400><loc_400><loc_599><loc_599>"

    for target in (large + small, small + large):
        classes, places = CELLS(target)
        assert classes.reshape(5, 5)[1:4, 1:4].tolist() == [[1, 1, 1], [1, 2, 1], [1, 1, 1]]
        assert places[12].tolist() == [400, 400, 599, 599]


def test_a_label_without_a_class_has_targets_for_its_locations_only() -> None:
    classes, places = CELLS("emu<loc_400><loc_400><loc_599><loc_599>")

    assert classes[12] == IGNORED
    assert places[12].tolist() == [400, 400, 599, 599]


def test_an_image_without_boxes_is_background_and_other_tasks_are_ignored() -> None:
    assert CELLS("")[0].tolist() == [0] * 25
    assert CELLS(None)[0].tolist() == [IGNORED] * 25
    assert CELLS(None)[1].tolist() == [NONE] * 25


def test_cells_follow_augmented_pixels() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[30:80, 10:50] = 255
    pair = {"task": "<OD>", "target": "cat<loc_100><loc_300><loc_499><loc_799>"}
    augment, cells, seen = Augment(flip=True, scale=0.2, shift=0.1), Cells({"cat": 1}, grid=10), 0
    for position in range(30):
        moved, target = augment(image, pair, position)
        classes, places = cells(target)

        ys, xs = np.nonzero(moved.min(axis=2) > 200)
        edges = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        rows, columns = np.nonzero(classes.reshape(10, 10) == 1)
        assert (moved[rows * 10 + 5, columns * 10 + 5] > 200).all()
        assert np.abs(places[classes == 1] / 10 - edges).max() < 1.5
        seen += len(rows)
    assert seen > 30 * 4


@pytest.mark.parametrize("soft", [0.0, 20.0])
def test_the_loss_is_the_one_computed_by_hand(soft: float) -> None:
    random = torch.Generator().manual_seed(0)
    features, locations = torch.randn(2, 25, 8, generator=random), torch.randn(BINS, 8, generator=random)
    classes, places = zip(CELLS("dog<loc_100><loc_0><loc_899><loc_599>"), CELLS(None), strict=True)
    batch = {
        "cell_classes": torch.from_numpy(np.stack(classes)),
        "cell_places": torch.from_numpy(np.stack(places)),
    }
    head = Head(8, 2, seed=3)
    spread = Objective(torch.nn.Module(), first_location=0, bins=BINS, soft_locations=soft).spread
    with torch.no_grad():
        sums = head(features, locations, batch, spread)
        loss = float(joined_loss(sums, loss_weights(batch)))

        normed = torch.nn.functional.layer_norm(features[0], (8,))
        class_loss = weight = place_loss = 0.0
        for cell, known in enumerate(classes[0].tolist()):
            share = 1.0 if known else 0.4
            class_loss -= share * float(torch.log_softmax(head.classes(normed[cell]), -1)[known])
            weight += share
            if known:
                for axis, vector in enumerate(head.places(normed[cell]).view(4, 8)):
                    logs = torch.log_softmax(locations @ vector, -1)
                    place_loss -= float(logs @ target_of(int(places[0][cell, axis]), soft))

    assert loss_weights(batch) == (3 + 0.4 * 22, 12)
    assert weight == pytest.approx(3 + 0.4 * 22)
    assert loss == pytest.approx(class_loss / weight + 0.5 * place_loss / 12, rel=1e-5)


def target_of(bin_: int, soft: float) -> Tensor:
    if not soft:
        return torch.nn.functional.one_hot(torch.tensor(bin_), BINS).float()
    weights = torch.tensor([math.exp(-0.5 * ((other - bin_) / soft) ** 2) for other in range(BINS)])
    return weights / weights.sum()


# --- with a network --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[PairStore, Florence]:
    folder = tmp_path_factory.mktemp("world")
    file = write_pairs(folder)
    florence = untrained(file)
    return open_pairs([file], florence, Path(folder, "scratch")), florence


def batch_of(world: tuple[PairStore, Florence]) -> tuple[dict[str, Tensor], list[str]]:
    store, florence = world
    cells = Cells(classes_of(store), grid=4)
    (batch,) = Batches(
        store, PixelStore(florence.size), florence, Schedule(store.counts), batch_size=16, cells=cells
    ).step(0)
    return batch.tensors, batch.tasks


def test_only_samples_of_object_detection_have_cell_targets(world: tuple[PairStore, Florence]) -> None:
    tensors, tasks = batch_of(world)

    has_targets = (tensors["cell_classes"] != IGNORED).any(dim=1).tolist()

    assert has_targets == [task == "<OD>" for task in tasks]
    assert {True, False} == set(has_targets)
    assert (tensors["cell_classes"] > 0).any()


def test_the_head_does_not_change_the_models_loss_and_trains_tower_and_embeddings(
    world: tuple[PairStore, Florence],
) -> None:
    store, florence = world
    tensors, _ = batch_of(world)
    first = florence.vocabulary.first_location
    head = Head(96, len(classes_of(store)))
    plain, both = (
        Objective(florence.model, first_location=first, bins=BINS, auxiliary=auxiliary) for auxiliary in (None, head)
    )
    with torch.no_grad():
        alone, _, nothing = plain(tensors)

    losses, _, sums = both(tensors)
    joined_loss(sums, loss_weights(tensors)).backward()

    assert torch.equal(losses, alone)
    assert nothing.numel() == 0
    words = florence.model.get_input_embeddings().weight.grad
    assert words[first : first + BINS].abs().sum() > 0
    assert words[:first].abs().sum() == 0
    assert all(value.grad.abs().sum() > 0 for value in head.parameters())
    assert florence.model.model.vision_tower.convs[0].conv.weight.grad.abs().sum() > 0
    florence.model.zero_grad()


def test_classes_are_the_labels_of_the_pairs(world: tuple[PairStore, Florence]) -> None:
    store, _ = world
    classes = classes_of(store)

    assert list(classes.values()) == list(range(1, len(classes) + 1))
    assert list(classes) == sorted(classes)
    assert "ball" in classes


def test_pairs_without_boxes_are_refused(world: tuple[PairStore, Florence]) -> None:
    store, _ = world
    captions = PairStore({"<CAPTION>": store.tables["<CAPTION>"]})

    with pytest.raises(ConfigError, match=r"train\.auxiliary learns from boxes of <OD>"):
        classes_of(captions)
