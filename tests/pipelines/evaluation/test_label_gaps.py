from __future__ import annotations

from model.evaluate.detections import Detection, Truth, TruthImage
from pipelines.evaluation.label_gaps import label_gaps, nearest

BOX = (0.0, 0.0, 5.0, 5.0)


def truth(*labels: str) -> dict[str, TruthImage]:
    return {"a": TruthImage(9, 9, [Truth(label, BOX) for label in labels])}


def given(*labels: str) -> list[dict[str, list[Detection]]]:
    return [{"a": [Detection(label, BOX, 0.5) for label in labels], "b": [Detection("of another image", BOX, 0.5)]}]


def test_labels_that_one_side_alone_has_are_told_with_the_nearest_of_the_other() -> None:
    true, said = truth("tv", "tv", "dining_table", "Dog", "rug"), given("television", "dining table", "dog", "cup")
    missed, strange = label_gaps(true, said)
    assert missed == (
        "No node gave 3 labels of the truth on these images; they count as missed: 'tv' (2, nearest 'television'), "
        "'dining_table' (1, nearest 'dining table'), 'rug' (1)."
    )
    assert strange == (
        "The truth does not have 3 labels that nodes gave; they are not measured: 'cup' (1), 'dining table' (1), "
        "'television' (1)."
    )


def test_where_labels_agree_there_is_nothing_to_tell() -> None:
    assert label_gaps(truth("cat"), given("Cat")) == []
    assert label_gaps(truth(), given("cat")) == []
    assert label_gaps(truth("cat"), []) == []


def test_long_lists_are_cut() -> None:
    (found,) = label_gaps(truth("cat", *map(str, range(9))), given("cat"))
    assert "9 labels" in found
    assert found.endswith("and 4 more.")


def test_the_nearest_name_means_the_same_or_is_written_nearly_so() -> None:
    assert nearest("tv", ["cup", "television"]) == "television"
    assert nearest("sofa", ["couch"]) == "couch"
    assert nearest("traffic ligth", ["traffic light", "bench"]) == "traffic light"
    assert nearest("giraffe", ["bench"]) == ""
