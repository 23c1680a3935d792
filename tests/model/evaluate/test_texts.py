from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest

from engine.errors import EngineError
from model.evaluate.resampling import interval, resamples
from model.evaluate.texts import CaptionMeasure, measure_captions
from model.evaluate.tokens import tokens
from tests.shared_data import shared

REFERENCES = {
    "a": ["A brown dog runs on the beach.", "The dog is running by the sea."],
    "b": ["Two cups stand on a wooden table.", "There are two cups on the table."],
    "c": ["A red bus drives through the city.", "The bus is on a street in the city."],
}


def real() -> tuple[dict[str, list[str]], dict[str, str]]:
    """(references, captions) of 300 photos: one human caption of each against the others."""
    texts: dict[str, list[str]] = defaultdict(list)
    for line in (shared("captions/dev") / "coco_val2017.jsonl").read_text().splitlines():
        row = json.loads(line)
        texts[f"{row['image_id']:012}"].append(row["text"])
    names = [name for name in sorted(texts) if len(texts[name]) == 5][:300]
    return {name: texts[name][1:] for name in names}, {name: texts[name][0] for name in names}


def test_a_human_caption_scores_best() -> None:
    captions = {name: texts[0] for name, texts in REFERENCES.items()}
    figures = measure_captions(REFERENCES, captions).figures
    assert figures["BLEU-4"] == pytest.approx(1)
    shuffled = {"a": captions["b"], "b": captions["c"], "c": captions["a"]}
    assert measure_captions(REFERENCES, shuffled).figures["CIDEr-D"] < 0.1 * figures["CIDEr-D"]


def test_case_and_punctuation_change_nothing() -> None:
    captions = {name: texts[0] for name, texts in REFERENCES.items()}
    loud = {name: text.upper().replace(".", " !") for name, text in captions.items()}
    assert measure_captions(REFERENCES, loud).figures == measure_captions(REFERENCES, captions).figures


def test_exact_counts_captions_with_all_the_words_of_a_reference() -> None:
    captions = {"a": "the dog is running by the sea", "b": "Two cups stand on a wooden shelf."}
    measure = measure_captions(REFERENCES, captions)
    assert measure.figures["exact"] == pytest.approx(1 / 3)
    assert measure.resampled(np.array([[3, 0, 0], [1, 2, 0]]))["exact"].tolist() == pytest.approx([1, 1 / 3])


def test_the_figures_equal_those_of_the_scorers() -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    references, captions = real()
    truth = {name: [" ".join(tokens(text)) for text in texts] for name, texts in references.items()}
    candidates = {name: [" ".join(tokens(captions[name]))] for name in references}
    cider, of_each = Cider().compute_score(truth, candidates)
    bleu, _ = Bleu(4).compute_score(truth, candidates, verbose=0)
    measure = measure_captions(references, captions)
    assert (measure.images, measure.answered) == (300, 300)
    assert measure.figures["CIDEr-D"] == pytest.approx(cider)
    assert measure.figures["BLEU-4"] == pytest.approx(bleu[3], abs=1e-9)
    assert sorted(measure.cider) == pytest.approx(sorted(of_each))
    # On all 3,062 photos, the toolkit's tokenizer gives 0.8953 and 0.1954, and ours the same.
    assert 0.7 < measure.figures["CIDEr-D"] < 1.1
    assert 0.15 < measure.figures["BLEU-4"] < 0.25


def test_the_intervals_of_real_captions_contain_their_figures() -> None:
    measure = measure_captions(*real())
    resampled = measure.resampled(resamples(measure.images))
    for name in ("CIDEr-D", "BLEU-4"):
        low, high = interval(resampled[name])
        assert low < measure.figures[name] < high


def test_a_resample_of_bleu_is_the_bleu_of_the_images_drawn() -> None:
    captions = {"a": "A dog runs on the sand.", "b": "Two cups stand on a wooden shelf.", "c": "A bus in a city."}
    measure = measure_captions(REFERENCES, captions)
    names = {"a1": "a", "a2": "a", "c1": "c"}
    drawn = measure_captions({n: REFERENCES[o] for n, o in names.items()}, {n: captions[o] for n, o in names.items()})
    assert bleu(measure, [2, 0, 1]) == pytest.approx(drawn.figures["BLEU-4"])


def bleu(measure: CaptionMeasure, counts: list[int]) -> float:
    return float(measure.resampled(np.array([counts]))["BLEU-4"][0])


def test_an_image_without_a_caption_counts_with_an_empty_one() -> None:
    captions = {"a": REFERENCES["a"][0], "b": REFERENCES["b"][0]}
    measure = measure_captions(REFERENCES, captions)
    assert (measure.images, measure.answered) == (3, 2)
    assert measure.cider[2] == 0
    assert measure.figures["CIDEr-D"] == pytest.approx(measure.cider[:2].sum() / 3)
    assert measure.figures["BLEU-4"] < measure_captions(dict(list(REFERENCES.items())[:2]), captions).figures["BLEU-4"]


def test_without_references_there_is_no_figure() -> None:
    measure = measure_captions({"a": [], "b": ["..."]}, {})
    assert measure.images == 0
    assert np.isnan([measure.figures["CIDEr-D"], measure.figures["BLEU-4"]]).all()


def test_a_caption_of_an_image_without_references_is_refused() -> None:
    with pytest.raises(EngineError, match=r"1 images without truth, such as 'd'"):
        measure_captions(REFERENCES, {"d": "A cat."})


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    measure_captions(REFERENCES, {"a": "A dog."}).resampled(resamples(3, 5))
    assert capsys.readouterr() == ("", "")
