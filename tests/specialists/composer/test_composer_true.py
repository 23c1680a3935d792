"""The composer's sentences are true: they are parsed back and compared with human labels."""

from __future__ import annotations

import pytest

from benchmarks.captions_true import Claim, Thing, claims, drawn_by_people, is_there, is_true, measured, with_regions
from engine.schema import Region, Sample
from specialists.consensus import Consensus
from tests.coco_results import DETECTORS, as_regions, coco_found, coco_truth
from tests.shared_data import shared

CAT = Thing("cat", (0.1, 0.4, 0.4, 0.9), crowd=False)
CUPS = [Thing("cup", (0.7, 0.1, 0.8, 0.2), crowd=False), Thing("cup", (0.85, 0.1, 0.95, 0.2), crowd=False)]
CROWD = Thing("person", (0.0, 0.0, 1.0, 0.5), crowd=True)


def test_sentences_are_parsed_back_to_their_facts() -> None:
    claimed = claims(
        'The photo shows a hot dog on the left and two pairs of skis at the top right. The words "a cat" ...'
    )
    assert [(one.label, one.least, one.most, one.place) for one in claimed] == [
        ("hot dog", 1, 1, "left"),
        ("skis", 2, 2, "top right"),
    ]
    assert isinstance(claimed[0], Claim)


@pytest.mark.parametrize(
    ("sentence", "there", "true"),
    [
        ("A photo of a cat and two cups.", True, True),
        ("A photo of a cat and three cups.", True, False),
        ("A photo of a cat and a dog.", False, False),
        ("The photo shows a cat on the left and two cups at the top right.", True, True),
        ("The photo shows a cat on the right.", True, False),
        ("The cat is to the left of the cups.", True, True),
        ("The cups are below the cat.", True, False),
        ("A photo of several people.", True, True),
        ("A photo of five people.", True, False),
        ('The word "dog" can be read.', True, True),
    ],
)
def test_false_sentences_are_found(sentence: str, there: bool, true: bool) -> None:
    things = [CAT, *CUPS, CROWD]
    assert (is_there(sentence, things), is_true(sentence, things)) == (there, true)


Labelled = tuple[list[Sample], list[list[Thing]]]


@pytest.fixture(scope="module")
def labelled() -> Labelled:
    truth = coco_truth(shared("coco/dev") / "instances.json")
    samples = [Sample(name, image.width, image.height) for name, image in truth.items()]
    things = []
    for image in truth.values():
        sides = (image.width, image.height, image.width, image.height)
        boxes = [tuple(edge / side for edge, side in zip(one.box, sides, strict=True)) for one in image.objects]
        drawn = zip(image.objects, boxes, strict=True)
        things.append([Thing(one.label, box, one.crowd) for one, box in drawn])  # type: ignore[arg-type]
    return samples, things


def test_every_statement_about_human_boxes_is_true(labelled: Labelled) -> None:
    samples, things = labelled
    boxes = [drawn_by_people(some, sample) for some, sample in zip(things, samples, strict=True)]
    figures = measured(with_regions(samples, boxes), things)
    assert (figures.briefs_true, figures.true) == (1.0, 1.0)
    assert figures.texts[0] == 89  # of 90: one has no object


def test_objects_named_from_three_detectors_are_in_the_photo(labelled: Labelled) -> None:
    samples, things = labelled
    figures = measured(with_regions(samples, three_detectors(samples)), things)
    assert figures.there >= 0.95
    assert figures.true >= 0.75
    assert figures.texts[0] >= 70


def three_detectors(samples: list[Sample]) -> list[list[Region]]:
    instances = shared("coco/dev") / "instances.json"
    results = shared("coco_results") / "real_detectors"
    found = {name: coco_found(results / f"{name}_dev_nms.json", instances) for name in DETECTORS}
    seen = with_regions(samples, [as_regions(found, sample.image_id) for sample in samples])
    for sample in seen:
        sample.detectors = tuple(found)
    consensus = Consensus()
    consensus.load()
    return [[region for region in answer.regions if not region.merged_into] for answer in consensus.annotate(seen)]
