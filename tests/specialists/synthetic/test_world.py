from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.images.decode import decode
from engine.records import masks
from engine.records.answers import check_answer
from engine.schema import Answer, Region, Sample
from specialists.synthetic.noisy_annotator import NoisyAnnotator
from specialists.synthetic.shapes import CLASSES
from specialists.synthetic.world import Scene, WorldOptions, scene, scene_at, scene_uri, scenes


def samples(count: int, options: str = "") -> list[Sample]:
    return [
        Sample(hashlib.sha256(made.data).hexdigest()[:32], 96, 96, regions=made.truth.regions)
        for made in scenes(f"world://?images={count}&words=0{options}")
    ]


def iou(a: Region, b: Region) -> float:
    shared = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    return shared / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - shared)


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    return list(scenes("world://?images=60&seed=1&max_objects=4&words=2"))


def test_a_scene_depends_only_on_its_number() -> None:
    few, many = list(scenes("world://?images=3")), list(scenes("world://?images=5"))
    assert [made.data for made in few] == [made.data for made in many[:3]]
    assert few[1].truth == many[1].truth
    assert len({made.data for made in many}) == 5
    options = WorldOptions()
    assert scene_at(scene_uri(4, options)).data == many[4].data
    assert scene(4, WorldOptions(seed=1)).data != many[4].data


def test_every_box_is_tight_around_its_mask(drawn: list[Scene]) -> None:
    for made in drawn:
        for region in made.truth.regions:
            if region.kind == "object":
                rows, columns = np.nonzero(masks.decode(region.rle, width=96, height=96))
                assert (region.x1, region.x2) == (columns.min(), columns.max() + 1)
                assert (region.y1, region.y2) == (rows.min(), rows.max() + 1)


def test_objects_are_of_the_stated_size_and_hardly_touch(drawn: list[Scene]) -> None:
    for made in drawn:
        objects = [region for region in made.truth.regions if region.kind == "object"]
        assert 1 <= len(objects) <= 4
        for number, region in enumerate(objects):
            assert 0.1 * 96 <= max(region.x2 - region.x1, region.y2 - region.y1) <= 0.4 * 96
            assert all(iou(region, other) < 0.08 for other in objects[:number])


def test_all_classes_occur_and_look_like_themselves() -> None:
    """A pixel inside the mask is nearer to its class's mean colour than to any other's."""
    seen: dict[str, list[np.ndarray]] = {}
    for made in scenes("world://?images=150&words=0"):
        pixels = decode(made.data)
        for region in made.truth.regions:
            inside = pixels[masks.decode(region.rle, width=96, height=96)]
            seen.setdefault(region.label, []).append(inside.mean(axis=0))
    assert sorted(seen) == sorted(CLASSES)
    centres = {label: np.mean(colours, axis=0) for label, colours in seen.items()}
    for label, colours in seen.items():
        for colour in colours:
            assert min(centres, key=lambda name: float(np.linalg.norm(centres[name] - colour))) == label


def test_a_phrase_names_its_regions_in_the_text(drawn: list[Scene]) -> None:
    for made in drawn:
        regions = {region.id: region for region in made.truth.regions}
        texts = {text.id: text for text in made.truth.texts}
        written = {item.region_id: item.text for item in made.truth.region_texts}
        assert [text.granularity for text in made.truth.texts] == ["brief", "detailed", "more_detailed"]
        for phrase in made.truth.phrases:
            words = texts[phrase.text_id].text[phrase.char_start : phrase.char_end]
            for name in phrase.region_ids:
                region = regions[name]
                assert (region.label if region.kind == "object" else written[name]) in words


def test_ids_are_unique_and_nothing_has_a_score(drawn: list[Scene]) -> None:
    for made in drawn:
        truth = made.truth
        items = [*truth.texts, *truth.regions, *truth.region_texts, *truth.phrases]
        assert len({item.id for item in items}) == len(items)
        assert {(item.score, item.producer) for item in items} == {(None, "human")}


def test_words_lie_on_no_object(drawn: list[Scene]) -> None:
    words = [(made, region) for made in drawn for region in made.truth.regions if region.kind == "text"]
    assert len(words) > 20
    for made, word in words:
        assert all(iou(word, other) == 0 for other in made.truth.regions if other is not word)


def test_a_world_may_be_empty_and_larger() -> None:
    made = scene(0, WorldOptions(size=200, min_objects=0, max_objects=0, words=0))
    assert decode(made.data).shape == (200, 200, 3)
    assert (made.truth.regions, made.truth.texts[0].text) == ([], "An empty ground.")


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_objects=1: expected 2 to 12"):
        WorldOptions.parse("world://?min_objects=2&max_objects=1")


# --- the noisy annotator --------------------------------------------------------------------------


def test_an_annotator_without_noise_gives_the_true_labels() -> None:
    given_samples = samples(20)
    answers = NoisyAnnotator(miss=0, flip=0, jitter=0, false_positive=0, duplicate=0).annotate(given_samples)
    for sample, answer in zip(given_samples, answers, strict=True):
        assert [(r.label, r.x1, r.y1, r.x2, r.y2) for r in answer.regions] == [
            (r.label, r.x1, r.y1, r.x2, r.y2) for r in sample.regions
        ]


def test_errors_have_the_rates_of_the_options() -> None:
    given_samples = samples(400)
    objects = sum(len(sample.regions) for sample in given_samples)
    answers = NoisyAnnotator(jitter=0.0, duplicate=0.0).annotate(given_samples)
    pairs = [
        (region, min(sample.regions, key=lambda true: abs(true.x1 - region.x1) + abs(true.y1 - region.y1)))
        for sample, answer in zip(given_samples, answers, strict=True)
        for region in answer.regions
    ]
    real = [(region, true) for region, true in pairs if (region.x1, region.y1) == (true.x1, true.y1)]
    false = [region for region, true in pairs if (region.x1, region.y1) != (true.x1, true.y1)]
    assert abs(len(real) / objects - 0.75) < 0.05
    assert abs(sum(region.label != true.label for region, true in real) / len(real) - 0.18) < 0.04
    assert abs(len(false) / len(given_samples) - 0.15) < 0.05
    better = np.mean([[float(a.score or 0) > float(b.score or 0) for b in false] for a, _ in real])
    assert abs(float(better) - 0.72) < 0.08


def test_systematic_errors_follow_their_options() -> None:
    given_samples = samples(300)
    quiet = {"miss": 0.0, "flip": 0.0, "jitter": 0.0, "false_positive": 0.0, "duplicate": 0.0}
    answers = NoisyAnnotator(confuse={"ball": "ring"}, confuse_share=1.0, miss_small=1.0, **quiet).annotate(
        given_samples
    )  # type: ignore[arg-type]
    labels = Counter(region.label for answer in answers for region in answer.regions)
    assert labels["ball"] == 0
    assert labels["ring"] > labels["star"]
    sides = [max(r.x2 - r.x1, r.y2 - r.y1) for answer in answers for r in answer.regions]
    assert min(sides) >= 0.25 * 96


def test_errors_depend_on_seed_and_image_not_on_the_batch() -> None:
    given_samples = samples(12)
    together = NoisyAnnotator().annotate(given_samples)
    assert together == [answer for sample in given_samples for answer in NoisyAnnotator().annotate([sample])]
    assert together != NoisyAnnotator(seed=1).annotate(given_samples)


def test_answers_of_the_annotator_are_valid() -> None:
    given_samples = samples(100)
    for sample, answer in zip(given_samples, NoisyAnnotator(jitter=0.5).annotate(given_samples), strict=True):
        assert check_answer(answer, sample, NoisyAnnotator.gives) == ""


def test_printed_words_are_not_annotated_as_objects() -> None:
    word = Region(1, 1, 9, 9, kind="text", id="human/0")
    assert NoisyAnnotator(miss=0, false_positive=0).annotate([Sample("a", 96, 96, regions=[word])]) == [Answer()]


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="miss=25"):
        NoisyAnnotator(miss=25)
