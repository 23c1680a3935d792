"""Labels that a release renames or leaves out."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.emit.choice.labels import relabelled
from tests.builders import Row, phrase, record, region, region_text, row, tag, text

LABELS = st.sampled_from(["bike", "bicycle", "thing", "cat"])


@st.composite
def rows(draw: Any) -> list[Row]:
    found = []
    for number in range(draw(st.integers(0, 3))):
        labels = draw(st.lists(LABELS, max_size=4))
        regions = [region(id=f"m/{n}", label=label) for n, label in enumerate(labels)]
        ids = [item["id"] for item in regions]
        subset = st.lists(st.sampled_from(ids), max_size=2, unique=True) if ids else st.just([])
        found.append(
            row(
                f"{number:032x}",
                texts=[text(id="t/0")],
                regions=regions,
                region_texts=[region_text(name, id=f"r/{n}") for n, name in enumerate(draw(subset))],
                phrases=[phrase("t/0", region_ids=draw(subset), id="p/0")],
                tags=[tag(label, id=f"g/{n}") for n, label in enumerate(draw(st.lists(LABELS, max_size=2)))],
            )
        )
    return found


@given(rows())
@settings(max_examples=80, deadline=None)
def test_counts_add_up_and_no_reference_dangles(given_rows: list[Row]) -> None:
    kept = record(*given_rows)
    found, counts = relabelled(kept, {"bike": "bicycle"}, ["thing"])
    before = [item["label"] for image in kept.to_pylist() for name in ("regions", "tags") for item in image[name]]
    after = [item["label"] for image in found.to_pylist() for name in ("regions", "tags") for item in image[name]]
    assert sum(counts["dropped"].values()) == before.count("thing")
    assert sum(counts["renamed"].values()) == before.count("bike")
    assert len(after) == len(before) - before.count("thing")
    assert after.count("bicycle") == before.count("bike") + before.count("bicycle")
    assert not {"bike", "thing"} & set(after)
    assert found.schema == kept.schema
    for image, old in zip(found.to_pylist(), kept.to_pylist(), strict=True):
        regions = {item["id"] for item in image["regions"]}
        assert {item["region_id"] for item in image["region_texts"]} <= regions
        assert {name for item in image["phrases"] for name in item["region_ids"]} <= regions
        labels = {item["id"]: item["label"] for item in old["regions"]}
        gone = [item for item in old["region_texts"] if labels[item["region_id"]] == "thing"]
        assert len(image["region_texts"]) == len(old["region_texts"]) - len(gone)


def test_ids_of_regions_count_in_their_own_image_only() -> None:
    one = row("a" * 32, regions=[region(id="m/0", label="thing")])
    other = row("b" * 32, regions=[region(id="m/0", label="cat")], region_texts=[region_text("m/0", id="r/0")])
    found, counts = relabelled(record(one, other), {}, ["thing"])
    assert [len(image["region_texts"]) for image in found.to_pylist()] == [0, 1]
    assert counts == {"renamed": {}, "dropped": {"thing": 1}}


def test_a_record_without_these_labels_is_unchanged() -> None:
    kept = record(row("a" * 32, regions=[region(id="m/0", label="cat")]))
    found, counts = relabelled(kept, {"bike": "bicycle"}, ["thing"])
    assert found.equals(kept)
    assert counts == {"renamed": {}, "dropped": {}}
