"""Charts of two data sets: bars stand beside each other, and both sets have their first values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import altair as alt
import pytest

from pipelines.analyse.charts import bars, columns, first_of_each, heat, shortened
from pipelines.analyse.figure import Row

TITLES = {"bin": "bin", "share": "share", "type": "type", "label": "label"}


def rows(*sets: str) -> list[Row]:
    return [{"set": name, "bin": n, "type": kind, "share": 0.5} for name in sets for n in (0, 1) for kind in "pq"]


def spec(chart: alt.TopLevelMixin | None) -> dict[str, Any]:
    assert chart is not None
    drawn: dict[str, Any] = chart.to_dict()
    return drawn


@pytest.mark.parametrize(("chart", "offset"), [(bars, "yOffset"), (columns, "xOffset")])
def test_groups_of_two_data_sets_do_not_add_up(chart: Callable[..., alt.Chart], offset: str) -> None:
    both = [row for row in rows("a", "b") if (row["set"], row["type"], row["bin"]) != ("a", "p", 0)]
    drawn = spec(chart(both, of="bin", by="share", group="type", titles=TITLES, description=""))
    beside = drawn["encoding"][offset]
    assert beside["sort"] == ["q (a)", "q (b)", "p (a)", "p (b)"]
    (values,) = drawn["datasets"].values()
    assert [row[beside["field"]] for row in values if row["bin"] == 0] == ["q (a)", "p (b)", "q (b)"]
    assert drawn["encoding"]["color"]["field"] == beside["field"]


def test_stacked_groups_of_two_data_sets_are_two_stacks() -> None:
    drawn = columns(rows("a", "b"), of="bin", by="share", group="type", titles=TITLES, description="", stacked=True)
    encoding = spec(drawn)["encoding"]
    assert (encoding["xOffset"]["field"], encoding["color"]["field"]) == ("set", "type")


def test_each_data_set_has_its_first_values() -> None:
    both = [{"set": name, "label": label} for name, labels in (("a", "xyz"), ("b", "zyx")) for label in labels]
    assert [row["label"] for row in first_of_each(both, "label", 1)] == ["x", "z", "z", "x"]


def test_a_matrix_has_the_same_labels_on_both_axes() -> None:
    cells = [{"set": "a", "label": "cat", "bin": "dog", "share": 1.0}]
    labels = ["cat", "cow", "dog"]
    drawn = heat(cells, x="bin", y="label", value="share", titles=TITLES, description="", values=labels)
    assert [spec(drawn)["encoding"][axis]["scale"]["domain"] for axis in "xy"] == [labels] * 2


def test_a_label_that_javascript_has_as_a_property_is_another_string_in_a_chart() -> None:
    assert shortened("constructor") != "constructor"
    assert str(shortened("__proto__")).strip("\u2060") == "__proto__"
    assert shortened("dog") == "dog"
