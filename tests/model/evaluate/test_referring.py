from __future__ import annotations

import numpy as np
import pytest

from engine.records import masks
from model.evaluate.referring import Referred, measure_referring

WIDTH, HEIGHT = 20, 10


def block(x1: int, x2: int) -> str:
    """A mask of the columns x1 to x2, which have ten pixels each."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[:, x1:x2] = True
    return masks.encode(mask)


def one(image: int, truth: str, *found: str) -> Referred:
    return Referred(image, found, truth, WIDTH, HEIGHT)


def test_large_objects_dominate_oiou_but_not_miou() -> None:
    # 10 of 200 pixels, and all of 20.
    measure = measure_referring([one(0, block(0, 20), block(0, 1)), one(1, block(3, 5), block(3, 5))])
    assert measure.figures["mIoU"] == pytest.approx((10 / 200 + 1) / 2)
    assert measure.figures["oIoU"] == pytest.approx((10 + 20) / (200 + 20))
    assert measure.figures["P@0.5"] == 0.5


def test_several_predicted_masks_count_as_their_union() -> None:
    measure = measure_referring([one(0, block(0, 8), block(0, 3), block(2, 4), block(10, 12))])
    assert measure.figures["mIoU"] == pytest.approx(40 / 100)  # columns 0 to 3 of 0 to 7 and of 10 to 11


def test_an_expression_without_a_predicted_mask_counts_as_an_empty_mask() -> None:
    measure = measure_referring([one(0, block(0, 5)), one(0, block(0, 5), block(0, 5))])
    assert (measure.expressions, measure.answered) == (2, 1)
    assert measure.figures == {"mIoU": 0.5, "oIoU": 0.5, "P@0.5": 0.5}


def test_an_iou_of_one_half_is_enough() -> None:
    assert measure_referring([one(0, block(0, 10), block(0, 5))]).figures["P@0.5"] == 1
    assert measure_referring([one(0, block(0, 11), block(0, 5))]).figures["P@0.5"] == 0


def test_a_resample_counts_the_expressions_of_the_images_drawn() -> None:
    measure = measure_referring(
        [one(0, block(0, 4), block(0, 1)), one(1, block(0, 2), block(0, 2)), one(1, block(0, 1))]
    )
    drawn = measure.resampled(np.array([[2, 0], [1, 1], [0, 2]]))
    assert drawn["mIoU"].tolist() == pytest.approx([1 / 4, (1 / 4 + 1 + 0) / 3, 1 / 2])
    assert drawn["oIoU"].tolist() == pytest.approx([1 / 4, (1 + 2) / (4 + 2 + 1), 2 / 3])


def test_without_expressions_there_is_no_figure() -> None:
    assert np.isnan(list(measure_referring([]).figures.values())).all()
