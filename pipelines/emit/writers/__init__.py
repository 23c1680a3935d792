"""Release formats, one file each, by the name of their files in commit records.

A new format needs a file beside this one and a line here. The tar stays first: its writer sets the place of an image.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.emit.writers.format import Format
from pipelines.emit.writers.pairs import PAIRS_TABLE
from pipelines.emit.writers.parquet import PARQUET_TABLE
from pipelines.emit.writers.webdataset import WEBDATASET

FORMATS: Mapping[str, Format] = {"tar": WEBDATASET, "parquet": PARQUET_TABLE, "pairs": PAIRS_TABLE}
