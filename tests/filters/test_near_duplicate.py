"""near_duplicate: drops images that another image represents, by the result of the whole-set pass."""

from __future__ import annotations

import pyarrow as pa

from filters.near_duplicate import near_duplicate
from tests.builders import images, reasons, record, row, tag


def test_a_near_duplicate_is_dropped_with_all_its_annotations() -> None:
    shard = record(row("a"), row("b", tags=[tag(id="t")]))
    surveyed = images(shard)
    at = surveyed.schema.get_field_index("same_distance")
    surveyed = surveyed.set_column(at, "same_distance", pa.array([None, 12.0]))
    found = reasons(shard, near_duplicate, sizes=surveyed)
    assert (found["a"], found["b"], found["t"]) == ("", "near_duplicate", "image_dropped")
