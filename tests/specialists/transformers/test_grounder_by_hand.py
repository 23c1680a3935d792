"""The answers of hf_grounder against the model called as its documentation shows it, for each family of models.

Boxes and scores must be equal within float noise, whatever the size of the image and whichever images are beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine.records.boxes import Box, box_of, clipped, iou
from engine.schema import Answer, Sample
from specialists.transformers.grounder import HfGrounder
from specialists.transformers.phrase_regions import SAME_REGION
from tests.specialists.transformers.parsed import photo
from tests.specialists.transformers.tiny_grounders import GROUNDERS

CheckpointOf = Callable[[str], str]
Floats = npt.NDArray[np.float64]
Scores = tuple[list[Box], Floats, Floats]  # boxes; phrase scores and box scores, boxes x names

NAMES = ("a dog", "the black cat", "two people")
TEXT = ("a dog, the black cat and two people", NAMES)
SIZES = ((64, 48), (96, 64), (5, 3), (3, 5), (1, 1), (400, 30), (30, 300))
FLOOR = 0.3
ALL = {"box_floor": FLOOR, "phrase_floor": FLOOR, "nms_iou": 1.0, "max_boxes": 100}


@cache
def parts(folder: str) -> tuple[Any, Any, Any]:
    from transformers import AutoImageProcessor, AutoModelForZeroShotObjectDetection, AutoTokenizer

    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    return model, AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def by_hand(kind: str, folder: str, sample: Sample, names: Sequence[str]) -> Scores:
    import torch
    from PIL import Image

    image = Image.fromarray(sample.pixels)
    with torch.no_grad():
        if kind.startswith("owl"):
            return owl(folder, image, names)
        return omdet(folder, image, names) if kind == "omdet_turbo" else grounding_dino(folder, image, names)


def grounding_dino(folder: str, image: Any, names: Sequence[str]) -> Scores:
    from transformers import AutoProcessor

    model, _, tokenizer = parts(folder)
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=image, text=[list(names)], return_tensors="pt")
    outputs = model(**inputs)
    size = [(image.height, image.width)]
    boxes = processor.post_process_grounded_object_detection(outputs, threshold=0.0, target_sizes=size)[0]["boxes"]
    probabilities = outputs.logits.sigmoid()[0].numpy()
    columns, end = [], 1
    for name in names:
        start, end = end, end + len(tokenizer(name, add_special_tokens=False).input_ids) + 1
        columns.append(probabilities[:, start : end - 1])
    mean, most = ([getattr(own, how)(axis=1) for own in columns] for how in ("mean", "max"))
    return boxes.tolist(), np.stack(mean, axis=1), np.stack(most, axis=1)


def owl(folder: str, image: Any, names: Sequence[str]) -> Scores:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=image, text=[list(names)], return_tensors="pt")
    outputs = parts(folder)[0](**inputs)
    size = [(image.height, image.width)]
    found = processor.post_process_grounded_object_detection(outputs, threshold=-1.0, target_sizes=size)[0]
    scores = outputs.logits.sigmoid()[0].numpy()
    return found["boxes"].tolist(), scores, scores


def omdet(folder: str, image: Any, names: Sequence[str]) -> Scores:
    """Without its processor, which needs torchvision; the texts are as that one writes them."""
    import torch
    from transformers.image_transforms import center_to_corners_format

    model, images, tokenizer = parts(folder)
    padded = {"padding": "max_length", "truncation": True, "max_length": 77, "return_tensors": "pt"}
    classes = tokenizer(list(names), **padded)
    task = tokenizer([f"Detect {', '.join(names)}."], **padded)
    outputs = model(
        pixel_values=images(image, return_tensors="pt").pixel_values,
        classes_input_ids=classes.input_ids,
        classes_attention_mask=classes.attention_mask,
        tasks_input_ids=task.input_ids,
        tasks_attention_mask=task.attention_mask,
        classes_structure=torch.tensor([len(names)]),
    )
    size = torch.tensor([image.width, image.height]).repeat(2)
    boxes = center_to_corners_format(outputs.decoder_coord_logits[0]) * size
    scores = outputs.decoder_class_logits[0].sigmoid().numpy()
    return boxes.tolist(), scores, scores


def expected(sample: Sample, hand: Scores, name: int) -> list[tuple[Box, float, float]]:
    """(box, its score, the phrase's score for it) of a name, best first, without boxes outside the image."""
    boxes, phrase, box = hand
    rows = [row for row in range(len(boxes)) if phrase[row, name] >= FLOOR and box[row, name] >= FLOOR]
    inside = {row: clipped(boxes[row], sample.width, sample.height) for row in rows}
    rows = [row for row in rows if inside[row][0] < inside[row][2] and inside[row][1] < inside[row][3]]
    rows.sort(key=lambda row: -box[row, name])
    return [(inside[row], float(box[row, name]), float(phrase[row, name])) for row in rows]


def merged(found: Sequence[tuple[Box, float, float]]) -> list[tuple[Box, float]]:
    """Boxes that are nearly the same become the best of them."""
    left: list[tuple[Box, float]] = []
    for box, score, _ in found:
        if all(iou(box, other) < SAME_REGION for other, _ in left):
            left.append((box, score))
    return left


def grounder(checkpoint: str, **options: Any) -> HfGrounder:
    made = HfGrounder(checkpoint=checkpoint, **(ALL | options))
    made.load()
    return made


def assert_same(answer: Answer, label: str, wanted: Sequence[tuple[Box, float]]) -> None:
    found = [region for region in answer.regions if region.label == label]
    assert [region.score for region in found] == pytest.approx([score for _, score in wanted], abs=5e-4)
    for region, (box, _) in zip(found, wanted, strict=True):
        assert box_of(region) == pytest.approx(box, abs=5e-2, rel=1e-3)


@pytest.mark.parametrize("kind", GROUNDERS)
def test_a_phrase_has_the_boxes_and_scores_of_the_model(kind: str, checkpoint_of: CheckpointOf) -> None:
    """One chunk a text, so that no region is shared by two phrases."""
    folder = checkpoint_of(kind)
    samples = [photo(*size, (NAMES[0], NAMES[:1])) for size in SIZES[:-2]]
    seen = 0
    for sample, answer in zip(samples, grounder(folder).annotate(samples), strict=True):
        found = expected(sample, by_hand(kind, folder, sample, NAMES[:1]), 0)
        assert_same(answer, "", merged(found))
        assert answer.phrases[0].region_ids == [region.id for region in answer.regions]
        if found:
            assert answer.phrases[0].score == pytest.approx(found[0][2], abs=5e-4)
            seen += len(found)
    assert seen > 5


@pytest.mark.parametrize("kind", GROUNDERS)
def test_labels_have_the_boxes_and_scores_of_the_model(kind: str, checkpoint_of: CheckpointOf) -> None:
    """A box has the label that fits it best, and for a label there is one score."""
    folder = checkpoint_of(kind)
    samples = [photo(*size) for size in SIZES[:-2]]
    seen = 0
    for sample, answer in zip(samples, grounder(folder, labels=list(NAMES)).annotate(samples), strict=True):
        boxes, phrase, _ = by_hand(kind, folder, sample, NAMES)
        alone = np.where(phrase == phrase.max(axis=1, keepdims=True), phrase, -1.0)
        for number, name in enumerate(NAMES):
            wanted = [(box, score) for box, score, _ in expected(sample, (boxes, alone, alone), number)]
            assert_same(answer, name, wanted)
            seen += len(wanted)
    assert seen > 5


@pytest.mark.parametrize("kind", GROUNDERS)
def test_an_image_has_the_same_answer_alone_and_in_a_batch(kind: str, checkpoint_of: CheckpointOf) -> None:
    texts = (TEXT, ("a ball", ["a ball"]))
    samples = [photo(*size, *texts[: 1 + number % 2]) for number, size in enumerate((*SIZES, SIZES[0]))]
    model = grounder(checkpoint_of(kind))
    for sample, together in zip(samples, model.annotate(samples), strict=True):
        alone = model.annotate([sample])[0]
        assert [phrase.region_ids for phrase in together.phrases] == [phrase.region_ids for phrase in alone.phrases]
        assert [phrase.score for phrase in together.phrases] == pytest.approx(
            [phrase.score for phrase in alone.phrases], abs=1e-4
        )
        for one, other in zip(together.regions, alone.regions, strict=True):
            assert box_of(one) == pytest.approx(box_of(other), abs=1e-2, rel=1e-4)


@pytest.mark.parametrize("kind", ["grounding_dino", "omdet_turbo"])
def test_chunks_in_several_prompts_are_as_asked_prompt_by_prompt(kind: str, checkpoint_of: CheckpointOf) -> None:
    folder = checkpoint_of(kind)
    sample = photo(64, 48, TEXT)
    answer = grounder(folder, names_per_prompt=2).annotate([sample])[0]
    first, second = by_hand(kind, folder, sample, NAMES[:2]), by_hand(kind, folder, sample, NAMES[2:])
    found = [expected(sample, first, 0), expected(sample, first, 1), expected(sample, second, 0)]
    assert [phrase.score for phrase in answer.phrases] == pytest.approx([own[0][2] for own in found], abs=5e-4)


@pytest.mark.parametrize("size", [(400, 20), (20, 400)])
def test_a_very_narrow_image_is_grounded_with_a_margin(size: tuple[int, int], checkpoint_of: CheckpointOf) -> None:
    """The margin is what Grounding DINO sees beside the image; boxes keep the scale of the image."""
    folder = checkpoint_of("grounding_dino")
    sample = photo(*size, (NAMES[0], NAMES[:1]))
    wide = photo(max(size[0], 25), max(size[1], 25))
    assert wide.pixels is not None
    wide.pixels[:] = (124, 116, 104)
    wide.pixels[: size[1], : size[0]] = sample.pixels
    found = expected(sample, by_hand("grounding_dino", folder, wide, NAMES[:1]), 0)
    assert found
    assert_same(grounder(folder).annotate([sample])[0], "", merged(found))


@pytest.mark.parametrize("kind", GROUNDERS)
def test_a_chunk_has_few_boxes_that_overlap_little(kind: str, checkpoint_of: CheckpointOf) -> None:
    answer = grounder(checkpoint_of(kind), nms_iou=0.5, max_boxes=3).annotate([photo(64, 48, TEXT)])[0]
    regions = {region.id: region for region in answer.regions}
    for phrase in answer.phrases:
        own = [regions[name] for name in phrase.region_ids]
        assert len(own) <= 3
        for number, region in enumerate(own):
            assert all(iou(box_of(region), box_of(other)) <= 0.6 for other in own[:number])
    assert any(len(phrase.region_ids) > 1 for phrase in answer.phrases)
