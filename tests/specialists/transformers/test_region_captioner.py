"""Texts for regions are captions of their crops, in whatever batch and order the crops are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.records.answers import check_answer
from engine.schema import Answer, Region, Sample
from specialists.transformers.captioner import HfCaptioner
from specialists.transformers.region_captioner import PROMPT, RegionCaptioner

Made = Callable[..., RegionCaptioner]


@pytest.fixture
def made(checkpoint_of: Callable[[str], str]) -> Made:
    def make(kind: str = "git", **options: Any) -> RegionCaptioner:
        captioner = RegionCaptioner(checkpoint=checkpoint_of(kind), **{"max_new_tokens": 12, **options})
        captioner.load()
        return captioner

    return make


def photo(number: int, regions: int, width: int = 200, height: int = 120) -> Sample:
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    found = []
    for row, (x, y, w, h) in enumerate(rng.uniform((0, 0, 20, 20), (150, 80, 50, 40), (regions, 4)).round(1)):
        found.append(Region(x, y, x + w, y + h, "thing", id=f"objects/{row}", score=0.9))
    return Sample(f"{number:032x}", width, height, pixels, regions=found)


def texts(answer: Answer) -> dict[str, str]:
    return {text.region_id: text.text for text in answer.region_texts}


def captions_of_crops(sample: Sample, checkpoint: str) -> dict[str, str]:
    """The crops cut out by hand and captioned one at a time, as images of their own."""
    writer = HfCaptioner(checkpoint=checkpoint, max_new_tokens=12)
    writer.load()
    found = {}
    for region in sample.regions:
        x1, y1 = max(0, int(region.x1)), max(0, int(region.y1))
        x2, y2 = min(sample.width, int(np.ceil(region.x2))), min(sample.height, int(np.ceil(region.y2)))
        assert sample.pixels is not None
        cut = Sample(region.id, x2 - x1, y2 - y1, sample.pixels[y1:y2, x1:x2])
        answer = writer.annotate([cut])[0]
        if answer.texts:
            found[region.id] = answer.texts[0].text
    return found


def test_each_region_has_the_caption_of_its_own_crop(made: Made, checkpoint_of: Callable[[str], str]) -> None:
    captioner = made(margin=0.0, crops_at_once=5)
    batch = [photo(number, regions) for number, regions in enumerate((7, 0, 1, 6))]
    seen = set[str]()
    for sample, answer in zip(batch, captioner.annotate(batch), strict=True):
        assert check_answer(answer, sample, RegionCaptioner.gives) == ""
        assert texts(answer) == captions_of_crops(sample, checkpoint_of("git"))
        seen |= set(texts(answer).values())
    assert len(seen) > 3


def test_texts_do_not_depend_on_the_batch_nor_on_the_order_of_its_images(made: Made) -> None:
    captioner = made(crops_at_once=4)
    batch = [photo(number, regions) for number, regions in enumerate((7, 0, 1, 6))]
    together = captioner.annotate(batch)
    for other in ([captioner.annotate([sample])[0] for sample in batch], captioner.annotate(batch[::-1])[::-1]):
        assert [texts(answer) for answer in together] == [texts(answer) for answer in other]
        assert [answer.image_scores for answer in together] == [answer.image_scores for answer in other]
        for one, same in zip(together, other, strict=True):
            scores = [[text.score for text in answer.region_texts] for answer in (one, same)]
            assert scores[0] == pytest.approx(scores[1], rel=1e-4)


def test_crops_of_all_images_share_batches_of_the_given_size(made: Made) -> None:
    captioner, sizes = made(crops_at_once=4), list[int]()
    write = captioner.writer.write

    def counted(images: Any, prompt: str) -> Any:
        sizes.append(len(images))
        return write(images, prompt)

    captioner.writer.write = counted  # type: ignore[method-assign]
    captioner.annotate([photo(number, regions) for number, regions in enumerate((7, 0, 1, 6))])
    assert sizes == [4, 4, 4, 2]


def test_texts_are_in_the_order_of_the_regions_with_their_region_as_parent(made: Made) -> None:
    sample = photo(0, 9)
    (answer,) = made().annotate([sample])
    order = [region.id for region in sample.regions if region.id in texts(answer)]
    assert [text.region_id for text in answer.region_texts] == order
    assert all(text.parents == [text.region_id] for text in answer.region_texts)
    assert {text.score_kind for text in answer.region_texts} == {"token_probability"}


@pytest.mark.parametrize(("candidates", "granularity"), [(False, "brief"), (True, "candidate")])
def test_texts_are_brief_or_candidates(made: Made, candidates: bool, granularity: str) -> None:
    (answer,) = made(candidates=candidates).annotate([photo(0, 9)])
    assert {text.granularity for text in answer.region_texts} == {granularity}


def test_texts_that_cannot_be_used_are_counted_for_their_image(made: Made) -> None:
    batch = [photo(number, 9) for number in range(3)]
    counted = set()
    for sample, answer in zip(batch, made(max_new_tokens=4).annotate(batch), strict=True):
        assert len(answer.region_texts) + sum(score.value for score in answer.image_scores) == len(sample.regions)
        counted |= {score.code for score in answer.image_scores}
    assert counted == {"cut", "empty"}


@pytest.mark.parametrize(
    ("fields", "has_text"),
    [
        ({"score": 0.5}, True),
        ({"score": 0.49}, False),
        ({"score": None}, True),
        ({"score": 0.9, "kind": "text"}, False),
        ({"score": 0.9, "x2": 29.0}, False),
        ({"score": None, "x1": 300.0, "x2": 400.0}, False),
    ],
    ids=["at the floor", "below it", "human", "printed text", "too narrow", "outside of the image"],
)
def test_which_regions_get_a_text(made: Made, fields: dict[str, Any], has_text: bool) -> None:
    sample = photo(0, 0)
    sample.regions = [Region(**{"x1": 10.0, "y1": 10.0, "x2": 60.0, "y2": 60.0, "id": "human/0", **fields})]
    (answer,) = made(min_score=0.5, min_side=20.0).annotate([sample])
    assert bool(answer.region_texts or answer.image_scores) == has_text


def test_a_margin_shows_what_is_around_the_box(made: Made) -> None:
    sample = photo(0, 1)
    region = sample.regions[0]
    region.x1, region.y1, region.x2, region.y2 = 50.0, 40.0, 90.0, 60.0
    assert made(margin=0.5)._crop(sample, region).shape == (40, 80, 3)


def test_a_checkpoint_with_a_chat_template_is_asked_for_a_few_words(made: Made) -> None:
    assert made("idefics3").prompt == PROMPT
