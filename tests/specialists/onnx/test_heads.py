"""The outputs of networks are made by hand here, so that the resulting box is known."""

import numpy as np
import pytest

from specialists.onnx.heads import HEADS, Fit

CAT = 15


def logit(value: float) -> float:
    return float(np.log(value / (1 - value)))


def test_a_yolox_cell_gives_a_box_around_its_centre() -> None:
    raw = np.zeros((1, 3549, 85), np.float32)
    cell = 52 * 52 + 3 * 26 + 5  # second map (stride 16), row 3, column 5
    raw[0, cell, :5] = (0.5, 0.25, np.log(4), np.log(2), 0.5)
    raw[0, cell, 5 + CAT] = 0.8
    boxes, scores = HEADS["yolox"].decode([raw], 416, 0.0)
    assert boxes[cell].tolist() == pytest.approx([88 - 32, 52 - 16, 88 + 32, 52 + 16])
    assert scores[cell, CAT] == pytest.approx(0.4)


def test_the_centre_of_a_nanodet_cell_is_offset_by_half_a_cell_less_half_a_pixel() -> None:
    outputs = [np.zeros((1, side * side, 80), np.float32) for side in (52, 26, 13)]
    outputs += [np.zeros((1, side * side, 32), np.float32) for side in (52, 26, 13)]
    distances = outputs[4].reshape(26 * 26, 4, 8)
    distances[26, :, 2] = 60.0  # row 1, column 0 of stride 16: every side two strides away
    outputs[1][0, 26, CAT] = 0.7
    boxes, scores = HEADS["nanodet"].decode(outputs, 416, 0.0)
    row = 52 * 52 + 26
    assert boxes[row].tolist() == pytest.approx([7.5 - 32, 23.5 - 32, 7.5 + 32, 23.5 + 32])
    assert scores[row, CAT] == pytest.approx(0.7)


def test_a_fastestdet_cell_gives_shares_of_the_input() -> None:
    raw = np.zeros((1, 85, 22, 22), np.float32)
    raw[0, :5, 4, 6] = (0.81, np.arctanh(0.5), np.arctanh(-0.5), logit(0.25), logit(0.5))
    raw[0, 5 + CAT, 4, 6] = 0.49
    boxes, scores = HEADS["fastestdet"].decode([raw], 352, 0.0)
    row = 4 * 22 + 6
    assert boxes[row].tolist() == pytest.approx([104 - 44, 56 - 88, 104 + 44, 56 + 88], abs=0.01)
    assert scores[row, CAT] == pytest.approx(0.81**0.6 * 0.49**0.4)


def test_cells_without_a_score_that_matters_are_left_out_and_one_with_nan_is_not() -> None:
    raw = np.zeros((1, 3549, 85), np.float32)
    raw[0, [7, 3000], 4] = raw[0, [7, 3000], 5 + CAT] = 1.0
    raw[0, 3000, 0] = 2.0
    raw[0, 100, 5] = np.nan
    boxes, scores = HEADS["yolox"].decode([raw], 416, 0.5)
    every_box, every_score = HEADS["yolox"].decode([raw], 416, 0.0)
    assert (boxes == every_box[[7, 100, 3000]]).all()
    assert scores[:, CAT].tolist() == every_score[[7, 100, 3000], CAT].tolist() == [1, 0, 1]


@pytest.mark.parametrize("name", sorted(HEADS))
@pytest.mark.parametrize(("width", "height"), [(640, 480), (333, 500), (1, 3000), (3000, 1), (416, 416)])
def test_corners_of_the_image_are_found_again_from_the_input(name: str, width: int, height: int) -> None:
    head = HEADS[name]
    blob, fit = head.prepare(np.zeros((height, width, 3), np.uint8), head.size)
    assert blob.shape == (1, 3, head.size, head.size)
    assert blob.dtype == np.float32
    ends = np.array([[fit.pad_x, fit.pad_y, fit.pad_x + width * fit.scale_x, fit.pad_y + height * fit.scale_y]])
    assert fit.to_image(ends.astype(np.float32))[0].tolist() == pytest.approx([0, 0, width, height])
    assert (ends <= head.size + 1e-3).all()


@pytest.mark.parametrize("name", sorted(HEADS))
def test_the_first_channel_is_blue(name: str) -> None:
    blue = np.zeros((60, 60, 3), np.uint8)
    blue[:, :, 2] = 255
    blob, _ = HEADS[name].prepare(blue, HEADS[name].size)
    first, _, last = blob[0, :, HEADS[name].size // 2, HEADS[name].size // 2]
    assert first > last


def test_padding_is_removed_before_a_box_is_scaled() -> None:
    fit = Fit(0.5, 0.25, pad_x=10, pad_y=20)
    assert fit.to_image(np.array([[10, 20, 60, 45]], np.float32)).tolist() == [[0, 0, 100, 100]]
