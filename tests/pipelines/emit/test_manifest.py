"""The manifest of a release."""

from __future__ import annotations

from pipelines.emit.writers.parquet import RELEASE
from tests.pipelines.emit.small_release import manifest_of


def test_the_manifest_lists_the_type_of_every_column() -> None:
    types = {column["name"]: column["type"] for column in manifest_of([])["schema"]}
    assert list(types) == RELEASE.names
    assert types["offset"] == "int64"
