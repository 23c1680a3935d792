"""semantic_duplicate: images near a better image are dropped, and training images near an audit image."""

from __future__ import annotations

import pyarrow as pa
import pytest

from engine.errors import ConfigError
from filters.judging.needs import Given, need_of
from filters.semantic_duplicate import semantic_duplicate
from tests.builders import images, judge, reasons, record, row, tag

_SHARD = record(row("a"), row("b", tags=[tag(id="t")]), row("c"), row("d"))


def measured(**distances: list[float | None]) -> pa.Table:
    table = images(_SHARD)
    for name, values in distances.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pa.array(values, pa.float64()))
    return table


def test_an_image_near_a_better_one_is_dropped_with_its_annotations() -> None:
    sizes = measured(semantic_distance=[None, 0.05, 0.0501, 0.0])
    found = reasons(_SHARD, semantic_duplicate, sizes=sizes)
    assert found == {"a": "", "b": "semantic_duplicate", "t": "image_dropped", "c": "", "d": "semantic_duplicate"}


def test_a_training_image_near_an_audit_image_is_dropped_for_that_reason() -> None:
    sizes = measured(semantic_distance=[None, 0.01, None, None], audit_distance=[0.2, 0.04, None, 0.3])
    found = reasons(_SHARD, (semantic_duplicate, {"eps": 0.02, "audit_eps": 0.25}), sizes=sizes)
    assert [found[image] for image in "abcd"] == ["semantic_duplicate.audit", "semantic_duplicate.audit", "", ""]


def test_the_verdict_has_the_distance_and_the_limit() -> None:
    sizes = measured(semantic_distance=[None, 0.01, None, None])
    verdicts = judge(_SHARD, sizes, None, [("semantic_duplicate", semantic_duplicate, {"eps": 0.02})])
    assert verdicts["image"].to_pylist()[1] | {"id": ""} == {
        "id": "",
        "kept": False,
        "rule": "semantic_duplicate",
        "value": 0.01,
        "threshold": 0.02,
    }


def test_embeddings_of_one_node_are_needed() -> None:
    need = need_of(semantic_duplicate)
    assert need is not None
    assert need(Given({}), {"producer": ""}).startswith("compares embeddings, which no node gives: add 'embed: ")
    assert need(Given({}, embedders=("embed",)), {"producer": ""}) == ""
    assert need(Given({}, embedders=("embed", "clip")), {"producer": "clip"}) == ""
    with pytest.raises(ConfigError, match=r"of one node, but embed and clip give them: .* 'producer: embed'"):
        need(Given({}, embedders=("embed", "clip")), {"producer": ""})
    with pytest.raises(ConfigError, match=r"'embde'.*'embed'"):
        need(Given({}, embedders=("embed",)), {"producer": "embde"})
