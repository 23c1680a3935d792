import numpy as np
import pytest

from engine.records import masks
from engine.schema import Region, Sample
from specialists.masks.grabcut import Grabcut

pytest.importorskip("cv2")


def disc(*regions: Region) -> Sample:
    """A red disc of radius 30 at (80, 60) on green, with some noise."""
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:120, :160]
    pixels = np.where(inside()[..., None], [200, 30, 40], [40, 160, 60]) + rng.integers(-20, 20, (120, 160, 3))
    return Sample("a", xs.shape[1], ys.shape[0], pixels.astype(np.uint8), regions=list(regions))


def inside() -> np.ndarray:
    ys, xs = np.mgrid[:120, :160]
    return np.asarray((xs - 80) ** 2 + (ys - 60) ** 2 < 30**2)


def around(score: float | None = 0.8, **fields: object) -> Region:
    return Region(48, 28, 112, 92, "disc", id="consensus/0", score=score, **fields)  # type: ignore[arg-type]


def cut(sample: Sample, **options: float) -> list[Region]:
    specialist = Grabcut(**options)  # type: ignore[arg-type]
    specialist.load()
    return specialist.annotate([sample])[0].regions


def test_the_mask_is_the_object_not_its_box() -> None:
    (found,) = cut(disc(around()))
    mask = masks.decode(found.rle, width=160, height=120)
    assert (mask & inside()).sum() / (mask | inside()).sum() > 0.95


def test_a_mask_is_merged_into_the_region_it_outlines() -> None:
    (found,) = cut(disc(around()))
    assert (found.merged_into, found.parents) == ("consensus/0", ["consensus/0"])
    assert (found.label, found.kind, found.score_kind) == ("disc", "object", "mask_iou")
    assert (found.x1, found.y1, found.x2, found.y2) == (48, 28, 112, 92)


def test_the_score_is_the_expected_iou_times_the_score_of_the_region() -> None:
    (of_human,), (of_machine,) = cut(disc(around(score=None))), cut(disc(around(score=0.8)))
    assert of_human.score is not None
    assert 0.55 < of_human.score < 0.9
    assert of_machine.score == pytest.approx(0.8 * of_human.score)


def test_a_mask_that_spans_little_of_its_box_is_left_out() -> None:
    wide = Region(10, 10, 150, 110, "disc", id="c/0", score=0.9)
    assert cut(disc(wide)) == []
    assert len(cut(disc(wide), min_quality=0.2)) == 1


def test_a_mask_lies_inside_its_box() -> None:
    tight = Region(53.5, 28, 112, 92, "disc", id="c/0", score=0.5)
    (found,) = cut(disc(tight))
    assert masks.bbox(found.rle, width=160, height=120)[0] == 53


@pytest.mark.parametrize(
    "region",
    [
        around(rle="x"),
        around(merged_into="consensus/7"),
        around(kind="text"),
        around(score=0.09),
        Region(0, 0, 160, 120, "all", id="c/0", score=0.9),
        Region(70, 50, 80, 60, "tiny", id="c/0", score=0.9),
    ],
    ids=["outlined", "merged", "text", "unsure", "whole image", "tiny"],
)
def test_regions_that_need_no_mask_get_none(region: Region) -> None:
    assert cut(disc(region)) == []


def test_human_regions_come_first_then_the_best() -> None:
    weak, strong, human = around(0.2), around(0.9), around(None)
    weak.id, strong.id, human.id = "c/1", "c/2", "human/0"
    assert [r.merged_into for r in cut(disc(weak, strong, human), max_regions=2)] == ["human/0", "c/2"]


def test_a_mask_does_not_depend_on_earlier_images() -> None:
    other = Region(20, 5, 110, 100, "other", id="c/1", score=0.9)
    alone = cut(disc(around()))
    assert [r.rle for r in cut(disc(other, around())) if r.label == "disc"] == [alone[0].rle]


def test_an_image_without_contrast_causes_no_error() -> None:
    flat = Sample("a", 160, 120, np.full((120, 160, 3), 90, np.uint8), regions=[around()])
    assert len(cut(flat)) <= 1
