"""Masks by SAM equal those of the model called by hand, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import StartError
from engine.records import masks
from engine.records.answers import check_answer
from engine.running.graph import build
from engine.schema import Region, Sample
from specialists import CATALOG
from specialists.transformers.sam import Sam, full_size

KINDS = ("sam2", "sam2_video", "sam3_tracker")
SIZES = [(96, 64), (64, 96), (5, 3), (2000, 20), (64, 64)]  # width, height
Made = Callable[..., Sam]


@pytest.fixture
def made(checkpoint_of: Callable[[str], str]) -> Made:
    def make(kind: str = "sam2", **options: Any) -> Sam:
        sam = Sam(checkpoint=checkpoint_of(kind), **{"min_quality": 0.0, **options})
        sam.load()
        return sam

    return make


def photo(number: int, width: int, height: int, **fields: Any) -> Sample:
    """A photo of noise with two regions, of which the second fills half of it."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3)).astype(np.uint8)
    boxes = [(0.0, 0.0, width * 0.6, height * 0.7), (width * 0.5, 0.0, float(width), float(height))]
    regions = [Region(*box, f"thing {row}", id=f"objects/{row}", score=0.9) for row, box in enumerate(boxes)]
    return Sample(f"{number:032x}", width, height, pixels, **{"regions": regions, **fields})


@cache
def loaded(checkpoint: str) -> Any:
    from transformers import AutoModelForMaskGeneration

    return AutoModelForMaskGeneration.from_pretrained(checkpoint).eval()


def by_hand(sam: Sam, sample: Sample, region: Region) -> tuple[np.ndarray, float]:
    """The mask and the predicted IoU of one box, in a call of its own."""
    from transformers import BaseImageProcessor

    model = loaded(sam.source.name)
    settings: Any = BaseImageProcessor.from_pretrained(sam.source.name)
    side = model.config.prompt_encoder_config.image_size
    assert sample.pixels is not None
    image = torch.from_numpy(sample.pixels).permute(2, 0, 1)[None]
    image = torch.nn.functional.interpolate(image, (side, side), mode="bilinear", antialias=True)[0] / 255
    mean, deviation = (torch.tensor(getattr(settings, name))[:, None, None] for name in ("image_mean", "image_std"))
    x, y = side / sample.width, side / sample.height
    box = torch.tensor([[[region.x1 * x, region.y1 * y, region.x2 * x, region.y2 * y]]])
    with torch.inference_mode():
        found = model(pixel_values=((image - mean) / deviation)[None], input_boxes=box, multimask_output=False)
    logits = torch.nn.functional.interpolate(found.pred_masks[0], (sample.height, sample.width), mode="bilinear")
    return (logits[0, 0] > 0).numpy(), float(found.iou_scores[0, 0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_those_of_the_model_called_by_hand(made: Made, kind: str) -> None:
    sam = made(kind, min_side=0.0)
    batch = [photo(number, *size) for number, size in enumerate(SIZES)]
    compared = 0
    for sample, answer in zip(batch, sam.annotate(batch), strict=True):
        found = {region.merged_into: region for region in answer.regions}
        for region in sample.regions:
            mask, iou = by_hand(sam, sample, region)
            if not mask.any():
                assert region.id not in found
                continue
            ours = masks.decode(found[region.id].rle, width=sample.width, height=sample.height)
            assert (ours != mask).mean() < 0.001
            assert found[region.id].score == pytest.approx(min(1.0, iou), abs=1e-5)
            compared += 1
    assert compared >= 5


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (300, 200), (31, 33)])
@pytest.mark.parametrize("filled", [0.0, 0.002, 0.1, 1.0])
def test_a_mask_is_enlarged_as_transformers_does_it(size: tuple[int, int], filled: float) -> None:
    width, height = size
    noise = torch.rand(64, 64, generator=torch.Generator().manual_seed(width))
    logits = torch.where(noise < filled, 1 + noise, -noise)
    expected = torch.nn.functional.interpolate(logits[None, None], (height, width), mode="bilinear")[0, 0] > 0
    assert (full_size(logits, height, width) != expected.numpy()).mean() < 1e-4


def test_the_images_of_a_batch_do_not_affect_each_other(made: Made) -> None:
    sam = made()
    batch = [photo(number, *size) for number, size in enumerate(SIZES)]
    assert sam.annotate(batch) == [sam.annotate([sample])[0] for sample in batch]


def test_a_mask_is_merged_into_its_region_and_scored_by_its_predicted_iou(made: Made) -> None:
    sample = photo(0, 96, 64)
    (answer,) = made().annotate([sample])
    assert check_answer(answer, sample, Sam.gives) == ""
    for region, mask in zip(sample.regions, answer.regions, strict=True):
        assert (mask.merged_into, mask.parents, mask.label) == (region.id, [region.id], region.label)
        assert (mask.x1, mask.y1, mask.x2, mask.y2) == (region.x1, region.y1, region.x2, region.y2)
        assert mask.score_kind == "predicted_iou"


def test_the_box_of_a_phrase_gets_a_mask_of_its_own_kind(made: Made) -> None:
    sample = photo(0, 96, 64)
    sample.regions[1].kind = "phrase"
    assert [mask.kind for mask in made().annotate([sample])[0].regions] == ["object", "phrase"]


@pytest.mark.parametrize("at_once", [1, 7, 64])
def test_boxes_in_chunks_have_the_masks_that_they_have_together(made: Made, at_once: int) -> None:
    rng = np.random.default_rng(1)
    corners = rng.uniform((0, 0, 30, 20), (60, 40, 36, 24), (40, 4))
    regions = [Region(x, y, x + w, y + h, id=f"objects/{row}", score=0.9) for row, (x, y, w, h) in enumerate(corners)]
    together, apart = (
        made(boxes_at_once=size).annotate([photo(0, 96, 64, regions=regions)])[0].regions for size in (40, at_once)
    )
    assert len(together) > 10
    assert [mask.merged_into for mask in apart] == [mask.merged_into for mask in together]
    for one, other in zip(apart, together, strict=True):
        assert masks.mask_iou(one.rle, other.rle, width=96, height=64) > 0.99
        assert one.score == pytest.approx(other.score, abs=1e-5)


def test_an_image_is_encoded_once_however_many_chunks_its_boxes_need(made: Made) -> None:
    sam, seen = made(boxes_at_once=1), list[int]()
    sam.model.vision_encoder.register_forward_hook(lambda *_: seen.append(1))
    sam.annotate([photo(0, 96, 64), photo(1, 64, 64)])
    assert len(seen) == 2


def test_of_three_masks_the_best_by_its_own_estimate_is_taken(made: Made) -> None:
    batch = [photo(number, 96, 64) for number in range(6)]
    sam, single = made(multimask=True), made().annotate(batch)
    best = sam.annotate(batch)
    model = loaded(sam.source.name)
    for sample, answer in zip(batch, best, strict=True):
        assert sample.pixels is not None
        boxes = torch.tensor([[[region.x1, region.y1, region.x2, region.y2] for region in sample.regions]])
        boxes *= torch.tensor([64 / 96, 1, 64 / 96, 1])
        with torch.inference_mode():
            three = model(pixel_values=sam._prepared(sample.pixels), input_boxes=boxes, multimask_output=True)
        assert three.iou_scores.shape == (1, 2, 3)
        assert [mask.score for mask in answer.regions] == pytest.approx(three.iou_scores[0].amax(1).tolist(), abs=1e-5)
    assert best != single


def test_a_mask_reaches_outside_its_box_unless_it_is_cut(made: Made) -> None:
    sample = photo(0, 96, 64)
    sample.regions[0].x2, sample.regions[0].y2 = 40.5, 30.0
    free, cut = (made(inside_box=inside).annotate([sample])[0].regions[0] for inside in (False, True))
    whole, inside = (masks.decode(mask.rle, width=96, height=64) for mask in (free, cut))
    assert whole[30:].any()
    assert not inside[30:].any()
    assert not inside[:, 41:].any()
    assert (inside[:30, :41] == whole[:30, :41]).all()


@pytest.mark.parametrize(
    ("fields", "has_mask"),
    [
        ({"score": 0.2}, True),
        ({"score": 0.9, "x2": 60, "y2": 40}, True),
        ({"score": 0.19}, False),
        ({"score": None}, True),
        ({"score": None, "rle": "x"}, False),
        ({"score": 0.9, "rle": "x"}, False),
        ({"score": 0.9, "kind": "text"}, False),
        ({"score": 0.9, "x2": 9.0}, False),
    ],
    ids=[
        "at the floor",
        "whole pixels",
        "below it",
        "human",
        "human with a mask",
        "with a mask",
        "printed text",
        "too narrow",
    ],
)
def test_which_regions_get_a_mask(made: Made, fields: dict[str, Any], has_mask: bool) -> None:
    region = Region(0, 0, **{"x2": 60.0, "y2": 40.0, "id": "human/0", **fields})
    answer = made(min_score=0.2, min_side=10.0).annotate([photo(0, 96, 64, regions=[region])])[0]
    assert len(answer.regions) == has_mask


def test_masks_of_too_low_a_predicted_iou_are_left_out(made: Made) -> None:
    sample = photo(0, 96, 64)
    scores = [region.score or 0.0 for region in made().annotate([sample])[0].regions]
    floor = sum(scores) / len(scores)
    kept = made(min_quality=floor).annotate([sample])[0].regions
    assert [mask.score for mask in kept] == [score for score in scores if score >= floor]
    assert 0 < len(kept) < len(scores)


def test_an_image_without_regions_is_not_encoded(made: Made) -> None:
    sam = made()
    sam.model = None
    assert sam.annotate([photo(0, 96, 64, regions=[])])[0].regions == []


def test_another_model_for_masks_is_refused(checkpoint_of: Callable[[str], str]) -> None:
    with pytest.raises(StartError, match="is a SamModel, expected Sam2Model, Sam3TrackerModel or EdgeTamModel"):
        Sam(checkpoint=checkpoint_of("sam1")).load()


def test_regions_of_a_grounder_are_read_too(checkpoint_of: Callable[[str], str]) -> None:
    """So a phrase leads to its mask: phrase, span, region, mask."""
    checkpoint = checkpoint_of("sam2")
    grounder = {"use": "florence2", "checkpoint": "owner/model", "revision": "0" * 40}
    nodes = build(
        {
            "ssd": {"use": "fake_detector"},
            "objects": {"use": "consensus"},
            "captions": {"use": "fake_captioner"},
            "phrases": grounder | {"tasks": ["<CAPTION_TO_PHRASE_GROUNDING>"]},
            "outlines": {"use": "sam", "checkpoint": checkpoint},
        },
        CATALOG,
    )
    (node,) = [node for node in nodes if node.name == "outlines"]
    assert node.inputs == {"objects": ("regions",), "phrases": ("phrase_regions",)}
