"""Release formats, one file each, by the name of their files in commit records.

A new format needs a file beside this one, a line here, and a verifier in pipelines/emit/verifiers. The tar stays first:
its writer sets the place of an image, and its verifier reads the records that other verifiers compare with.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.emit.writers.format import Format
from pipelines.emit.writers.pairs import PAIRS_TABLE
from pipelines.emit.writers.parquet import PARQUET_TABLE
from pipelines.emit.writers.webdataset import WEBDATASET

FORMATS: Mapping[str, Format] = {"tar": WEBDATASET, "parquet": PARQUET_TABLE, "pairs": PAIRS_TABLE}


def is_of_a_format(name: str) -> bool:
    """Whether a file of a release belongs to a format, by the start of its name: loaders would read it."""
    return name.startswith(tuple(form.prefix for form in FORMATS.values()))
