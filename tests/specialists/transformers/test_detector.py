"""HfDetector, beside the same checkpoint called by hand as transformers documents it."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine.errors import ConfigError, StartError
from engine.records import masks
from engine.records.answers import check_answer
from engine.schema import Answer, Sample
from specialists.transformers.detector import HfDetector

FIXED_SIZE = ("d_fine", "deimv2", "rt_detr_v2", "rf_detr", "rf_detr_masks")
KINDS = (*FIXED_SIZE, "detr")
SHAPES = ((60, 40), (40, 60), (5, 3), (200, 4), (60, 40))  # width and height


def picture(width: int, height: int, seed: int = 0) -> Sample:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Sample(f"{width}x{height}", width, height, pixels)


PICTURES = [picture(*shape, seed) for seed, shape in enumerate(SHAPES)]


def loaded(checkpoint: str, **options: Any) -> HfDetector:
    detector = HfDetector(checkpoint=checkpoint, **({"min_score": 0.0} | options))
    detector.load()
    return detector


@cache
def detector_of(checkpoint: str) -> HfDetector:
    """A detector that keeps every box, shared by tests."""
    return loaded(checkpoint)


@cache
def by_hand(checkpoint: str) -> tuple[Any, Any]:
    """The model and its processor, loaded without our code."""
    from transformers import AutoModelForInstanceSegmentation, AutoModelForObjectDetection

    kind = AutoModelForInstanceSegmentation if checkpoint.endswith("masks") else AutoModelForObjectDetection
    return kind.from_pretrained(checkpoint).eval(), detector_of(checkpoint).processor


def run_by_hand(checkpoint: str, samples: list[Sample]) -> tuple[Any, list[dict[str, npt.NDArray[Any]]]]:
    """The outputs of a batch, and its boxes by post_process: cut at the edges, those without area left out."""
    import torch

    model, processor = by_hand(checkpoint)
    images = [sample.pixels for sample in samples]
    with torch.inference_mode():
        outputs = model(**processor(images=images, return_tensors="pt", input_data_format="channels_last"))
    sizes = [(sample.height, sample.width) for sample in samples]
    found = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
    return outputs, [_inside(one, height, width) for one, (height, width) in zip(found, sizes, strict=True)]


def _inside(found: dict[str, Any], height: int, width: int) -> dict[str, npt.NDArray[Any]]:
    scores, labels = found["scores"].numpy(), found["labels"].numpy()
    boxes = np.clip(found["boxes"].numpy(), 0, [width, height, width, height])
    rows = [
        row
        for row in np.argsort(-scores, kind="stable")
        if boxes[row, 0] < boxes[row, 2] and boxes[row, 1] < boxes[row, 3]
    ]
    return {"scores": scores[rows], "labels": labels[rows], "boxes": boxes[rows]}


def assert_same(answer: Answer, found: dict[str, npt.NDArray[Any]], *, pixels: float = 1e-3) -> None:
    names = np.array(["cat", "dog", "cup"])
    assert len(answer.regions) == len(found["scores"]) > 0
    np.testing.assert_allclose([region.score or 0.0 for region in answer.regions], found["scores"], atol=1e-5)
    assert [region.label for region in answer.regions] == names[found["labels"]].tolist()
    boxes = [(region.x1, region.y1, region.x2, region.y2) for region in answer.regions]
    np.testing.assert_allclose(boxes, found["boxes"], atol=pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_those_of_the_model_called_by_hand(checkpoint_of: Callable[[str], str], kind: str) -> None:
    detector = detector_of(checkpoint_of(kind))
    for sample, answer in zip(PICTURES, detector.annotate(PICTURES), strict=True):
        assert check_answer(answer, sample, detector.gives) == ""
        assert_same(answer, run_by_hand(checkpoint_of(kind), [sample])[1][0])


@pytest.mark.parametrize("kind", FIXED_SIZE)
def test_boxes_are_those_of_a_batch_run_by_hand(checkpoint_of: Callable[[str], str], kind: str) -> None:
    _, found = run_by_hand(checkpoint_of(kind), PICTURES)
    for answer, one in zip(detector_of(checkpoint_of(kind)).annotate(PICTURES), found, strict=True):
        assert_same(answer, one)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(checkpoint_of: Callable[[str], str], kind: str) -> None:
    detector = detector_of(checkpoint_of(kind))
    for sample, answer in zip(PICTURES, detector.annotate(PICTURES), strict=True):
        (alone,) = detector.annotate([sample])
        assert len(alone.regions) == len(answer.regions)
        for one, other in zip(alone.regions, answer.regions, strict=True):
            assert (one.label, one.rle) == (other.label, other.rle)
            assert (one.x1, one.y2, one.score) == pytest.approx((other.x1, other.y2, other.score), abs=1e-3)


def test_a_score_at_the_floor_is_kept_and_the_best_boxes_stay(checkpoint_of: Callable[[str], str]) -> None:
    (everything,) = detector_of(checkpoint_of("d_fine")).annotate(PICTURES[:1])
    scores = [region.score or 0.0 for region in everything.regions]
    (above,) = loaded(checkpoint_of("d_fine"), min_score=scores[4]).annotate(PICTURES[:1])
    assert [region.score for region in above.regions] == scores[:5]
    (few,) = loaded(checkpoint_of("d_fine"), max_boxes=3).annotate(PICTURES[:1])
    assert [region.score for region in few.regions] == scores[:3]


def test_labels_select_and_rename_classes(checkpoint_of: Callable[[str], str]) -> None:
    def counts(labels: Any) -> dict[str, int]:
        (answer,) = loaded(checkpoint_of("d_fine"), labels=labels).annotate(PICTURES[:1])
        found = [region.label for region in answer.regions]
        return {label: found.count(label) for label in found}

    everything = counts([])
    assert set(everything) == {"cat", "dog", "cup"}
    assert counts(["dog", "cat"]) == {name: everything[name] for name in ("cat", "dog")}
    assert counts({"cup": "mug"}) == {"mug": everything["cup"]}


def test_an_unknown_label_is_refused(checkpoint_of: Callable[[str], str]) -> None:
    with pytest.raises(StartError, match=r"Unknown class in `labels` 'dogs': did you mean 'dog'\?"):
        loaded(checkpoint_of("d_fine"), labels=["dogs"])


def changed(checkpoint: str, folder: Path, **settings: Any) -> str:
    """A copy of a checkpoint with other settings in its config."""
    copy = shutil.copytree(checkpoint, folder / "changed")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | settings))
    return str(copy)


def test_classes_without_names_need_labels(checkpoint_of: Callable[[str], str], tmp_path: Path) -> None:
    nameless = {str(number): f"LABEL_{number}" for number in range(3)}
    checkpoint = changed(checkpoint_of("d_fine"), tmp_path, id2label=nameless, label2id={})
    with pytest.raises(StartError, match=r"has no name for its class LABEL_0: give `labels`, a mapping such as"):
        loaded(checkpoint)
    with pytest.raises(StartError, match="has no name for its class LABEL_1"):
        loaded(checkpoint, labels=["LABEL_1"])
    (answer,) = loaded(checkpoint, labels={"LABEL_1": "dog"}).annotate(PICTURES[:1])
    assert {region.label for region in answer.regions} == {"dog"}


def test_unused_numbers_of_coco_are_no_class(checkpoint_of: Callable[[str], str], tmp_path: Path) -> None:
    checkpoint = changed(checkpoint_of("detr"), tmp_path, id2label={"0": "N/A", "1": "dog", "2": "cup"}, label2id={})
    (answer,) = loaded(checkpoint).annotate(PICTURES[:1])
    assert {region.label for region in answer.regions} <= {"dog", "cup"}


def test_a_model_without_boxes_is_refused(tmp_path: Path) -> None:
    from transformers import MaskFormerConfig, MaskFormerImageProcessorPil

    MaskFormerConfig(architectures=["MaskFormerForInstanceSegmentation"]).save_pretrained(tmp_path)
    MaskFormerImageProcessorPil().save_pretrained(tmp_path)
    with pytest.raises(StartError, match="is a MaskFormerForInstanceSegmentation, which gives no boxes: give a"):
        loaded(str(tmp_path))


def test_each_box_of_rf_detr_has_the_mask_of_its_query(checkpoint_of: Callable[[str], str]) -> None:
    from torch.nn.functional import interpolate

    checkpoint = checkpoint_of("rf_detr_masks")
    for sample, answer in zip(PICTURES, detector_of(checkpoint).annotate(PICTURES), strict=True):
        outputs, _ = run_by_hand(checkpoint, [sample])
        logits, size = outputs.logits[0].sigmoid(), (sample.height, sample.width)
        outlines = interpolate(outputs.pred_masks, size=size, mode="bilinear", align_corners=False)[0] > 0
        differing = set()
        for region in answer.regions:
            number = ["cat", "dog", "cup"].index(region.label)
            query = int((logits[:, number] - (region.score or 0.0)).abs().argmin())
            mask = masks.decode(region.rle, width=sample.width, height=sample.height)
            assert (mask != outlines[query].numpy()).sum() <= 1  # a logit of nearly 0 may round to the other side
            differing.add(query)
        assert len(differing) > 3


def test_masks_are_left_out_on_request(checkpoint_of: Callable[[str], str]) -> None:
    (without,) = loaded(checkpoint_of("rf_detr_masks"), masks=False).annotate(PICTURES[:1])
    (with_masks,) = detector_of(checkpoint_of("rf_detr_masks")).annotate(PICTURES[:1])
    assert [(one.x1, one.label, one.score) for one in without.regions] == [
        (one.x1, one.label, one.score) for one in with_masks.regions
    ]
    assert not any(one.rle for one in without.regions)
    assert all(one.rle for one in with_masks.regions)


def test_half_precision_gives_nearly_the_same_scores(checkpoint_of: Callable[[str], str]) -> None:
    (full,) = detector_of(checkpoint_of("rt_detr_v2")).annotate(PICTURES[:1])
    (half,) = loaded(checkpoint_of("rt_detr_v2"), max_boxes=1, dtype="bfloat16").annotate(PICTURES[:1])
    assert half.regions[0].score == pytest.approx(full.regions[0].score, abs=0.05)


def test_the_substitute_for_rf_detrs_processor_gives_the_same(checkpoint_of: Callable[[str], str]) -> None:
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:  # RuntimeError: it was built for another torch
        pytest.skip(f"RF-DETR's own processor needs torchvision ({error})")
    import torch
    from transformers import RfDetrForInstanceSegmentation, RfDetrImageProcessor

    from specialists.transformers.rf_detr_pixels import RfDetrPixels

    folder = checkpoint_of("rf_detr_masks")
    own, substitute = RfDetrImageProcessor.from_pretrained(folder), RfDetrPixels.from_pretrained(folder)
    model: Any = RfDetrForInstanceSegmentation.from_pretrained(folder)
    model.eval()
    for sample in PICTURES:
        given: dict[str, Any] = {
            "images": [sample.pixels],
            "return_tensors": "pt",
            "input_data_format": "channels_last",
        }
        inputs = own(**given)
        torch.testing.assert_close(substitute(**given)["pixel_values"], inputs["pixel_values"], atol=1e-5, rtol=0)
        with torch.inference_mode():
            outputs = model(**inputs)
        sizes = [(sample.height, sample.width)]
        expected = own.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)[0]
        found = substitute.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)[0]
        for name in ("scores", "labels", "boxes"):
            torch.testing.assert_close(found[name], expected[name])
        own_masks = own.post_process_instance_segmentation(outputs, 0.0, target_sizes=sizes, return_binary_maps=True)
        assert_masks(detector_of(folder).annotate([sample])[0], own_masks[0], sample)


def assert_masks(answer: Answer, expected: dict[str, Any], sample: Sample) -> None:
    """The masks are those of post_process_instance_segmentation, which leaves out empty ones but keeps the order."""
    found = [masks.decode(region.rle, width=sample.width, height=sample.height) for region in answer.regions]
    found = [mask for mask in found if mask.any()]
    if len(found) == len(expected["segmentation"]):  # no box was left out for having no area
        for mask, other in zip(found, expected["segmentation"], strict=True):
            assert (mask != other.numpy()).sum() <= 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"checkpoint": "./nowhere"}, "No checkpoint at"), ({"checkpoint": "one"}, "No checkpoint at")],
)
def test_a_checkpoint_that_does_not_exist_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        _ = HfDetector(**options).weights
