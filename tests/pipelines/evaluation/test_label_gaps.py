from __future__ import annotations

from model.evaluate.detections import Detection, Truth, TruthImage
from pipelines.evaluation.label_gaps import label_gaps, nearest

BOX = (0.0, 0.0, 5.0, 5.0)


def truth(*labels: str) -> dict[str, TruthImage]:
    return {"a": TruthImage(9, 9, [Truth(label, BOX) for label in labels])}


def predictions(*labels: str) -> list[dict[str, list[Detection]]]:
    return [{"a": [Detection(label, BOX, 0.5) for label in labels], "b": [Detection("of another image", BOX, 0.5)]}]


def test_labels_of_one_side_are_listed_with_the_nearest_of_the_other() -> None:
    true, predicted = (
        truth("tv", "tv", "dining_table", "Dog", "rug"),
        predictions("television", "dining table", "dog", "cup"),
    )
    missed, extra = label_gaps(true, predicted)
    assert missed == (
        "No node predicted 3 labels of the truth; their boxes count as missed: 'tv' (2, nearest 'television'), "
        "'dining_table' (1, nearest 'dining table'), 'rug' (1)."
    )
    assert extra == (
        "The truth lacks 3 labels that nodes predicted; they are not measured: 'cup' (1), 'dining table' (1), "
        "'television' (1)."
    )


def test_matching_labels_give_no_notes() -> None:
    assert label_gaps(truth("cat"), predictions("Cat")) == []
    assert label_gaps(truth(), predictions("cat")) == []
    assert label_gaps(truth("cat"), []) == []


def test_long_lists_are_shortened() -> None:
    (found,) = label_gaps(truth("cat", *map(str, range(9))), predictions("cat"))
    assert "9 labels" in found
    assert found.endswith("and 4 more.")


def test_the_nearest_label_is_a_synonym_or_spelled_nearly_the_same() -> None:
    assert nearest("tv", ["cup", "television"]) == "television"
    assert nearest("sofa", ["couch"]) == "couch"
    assert nearest("traffic ligth", ["traffic light", "bench"]) == "traffic light"
    assert nearest("giraffe", ["bench"]) == ""
