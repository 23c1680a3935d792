"""The formats of a release, by the name that their files have in commit records. Each format is a file in this folder.

A new format needs a file in this folder, a line here, and a verifier in pipelines/emit/verifiers. The tar stays first:
its writer determines where an image is, and its verifier reads the records that other verifiers compare with.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.emit.writers.embeddings import EMBEDDING_TABLE
from pipelines.emit.writers.format import Format
from pipelines.emit.writers.pairs import PAIRS_TABLE
from pipelines.emit.writers.parquet import PARQUET_TABLE
from pipelines.emit.writers.webdataset import WEBDATASET

FORMATS: Mapping[str, Format] = {
    "tar": WEBDATASET,
    "parquet": PARQUET_TABLE,
    "pairs": PAIRS_TABLE,
    "embeddings": EMBEDDING_TABLE,
}


def is_of_a_format(name: str) -> bool:
    """Whether the name of a file begins like the files of a format. Loaders would read such a file."""
    return name.startswith(tuple(form.prefix for form in FORMATS.values()))
