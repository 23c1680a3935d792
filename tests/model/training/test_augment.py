from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from engine.errors import ConfigError
from model.network.florence import Pixels
from model.pairs.parsing import parse_target
from model.training.augment import Augment
from pipelines.recipe import parse_recipe

SIZE = 100
BOX = "square<loc_200><loc_300><loc_399><loc_499>"


def drawn() -> Pixels:
    """An image with a white square at BOX."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[30:50, 20:40] = 255
    return image


def pair(target: str = BOX, task: str = "<OD>") -> dict[str, str]:
    return {"task": task, "target": target}


def test_boxes_move_with_the_pixels() -> None:
    augment = Augment(flip=True, scale=0.3, shift=0.1)
    for position in range(50):
        image, target = augment(drawn(), pair(), position)

        (found,) = parse_target("<OD>", target, width=SIZE, height=SIZE).regions
        ys, xs = np.nonzero(image.min(axis=2) > 200)
        seen = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert np.abs(np.array(found.box) - seen).max() <= 1.5  # a pixel of interpolation and half a bin


def test_the_augmentation_depends_only_on_seed_and_position() -> None:
    augment = Augment(flip=True, scale=0.2, shift=0.2, seed=4)

    first, again = (augment(drawn(), pair(), 7) for _ in range(2))
    others = [augment(drawn(), pair(), 8)[1], Augment(flip=True, scale=0.2, shift=0.2, seed=5)(drawn(), pair(), 7)[1]]

    assert first[1] == again[1]
    assert np.array_equal(first[0], again[0])
    assert first[1] not in others


@pytest.mark.parametrize("task", ["<CAPTION>", "<CAPTION_TO_PHRASE_GROUNDING>", "<REGION_TO_CATEGORY>", "<OCR>"])
def test_pairs_that_mention_positions_in_text_or_prompt_are_not_augmented(task: str) -> None:
    image = drawn()

    changed, target = Augment(flip=True, scale=0.3, shift=0.3)(image, pair("left of it", task), 1)

    assert changed is image
    assert target == "left of it"


def test_a_box_that_leaves_the_image_is_dropped() -> None:
    corner = "square<loc_0><loc_0><loc_50><loc_50>"
    augment = Augment(shift=0.9)

    targets = [augment(drawn(), pair(corner), position)[1] for position in range(40)]

    assert "" in targets
    assert any(targets)


def test_reading_order_follows_the_moved_boxes() -> None:
    two = "a<loc_100><loc_100><loc_199><loc_199>b<loc_800><loc_100><loc_899><loc_199>"

    targets = {Augment(flip=True, order="reading")(drawn(), pair(two), position)[1][0] for position in range(20)}

    assert targets == {"a", "b"}


def test_a_share_of_one_or_more_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'train.augment.scale' in recipe is 1.0: .*less than 1"):
        parse_recipe({"dataset": "x", "train": {"augment": {"scale": 1.0}}})
    with pytest.raises(ValidationError, match="less than 1"):
        Augment(scale=1.0)
