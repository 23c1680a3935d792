"""pairs-*.parquet: the training pairs of a shard, each with the place of its image in the release.

A shard without pairs has no such file, because `datasets` refuses a table without rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.layout import PAIR_FILES
from engine.reading.release_manifest import Manifest
from engine.storage.parquet_writing import PARQUET
from model.pairs.pair import PAIRS, pair_row
from pipelines.emit.markdown import table
from pipelines.emit.sections.loading import first_split
from pipelines.emit.writers.format import Format, Sample, Shard

_BATCH = 5000  # rows in a row group, and the most rows in memory


class PairWriter:
    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file = file
        self._rows: list[Mapping[str, Any]] = []
        self._count = 0
        self._table: pq.ParquetWriter | None = None

    def add(self, sample: Sample) -> None:
        image = {**sample.row, "uri": sample.uri, "offset": sample.offset, "length": sample.length}
        self._rows += [pair_row(pair, image) for pair in sample.pairs]
        while len(self._rows) >= _BATCH:
            self._write(_BATCH)

    def finish(self) -> int:
        if self._rows:
            self._write(len(self._rows))
        if self._table:
            self._table.close()
        return self._count

    def _write(self, count: int) -> None:
        if self._table is None:
            self._table = pq.ParquetWriter(self._file, PAIRS, **PARQUET)
        rows = pa.Table.from_pylist(self._rows[:count], schema=PAIRS)
        self._table.write_table(rows, row_group_size=_BATCH)
        self._count += count
        del self._rows[:count]


def card_section(manifest: Manifest) -> str:
    """The section of the data card about pairs, with a table of their number in each task."""
    proven = manifest["pairs"]["proven"]
    if not proven:
        return "### Pairs to train on\n\nNo pair of a prompt and a target can be made from these records."
    rows = [(f"`{task}`", f"{number:,}") for task, number in proven.items()]
    return _SECTION.format(name=manifest["name"], split=first_split(manifest), pairs=table(("task", "pairs"), rows))


_SECTION = """\
### Pairs to train on

`pairs-*.parquet` holds prompts for Florence-2 (`prompt`) and the right answers (`target`). Each pair names the
annotations it was made from, and its target was checked to parse back to them. `uri`, `offset` and `length` are the
place of the image. The json of a sample holds its own pairs, under `pairs`. A location is a thousandth of the upright
image's width or height. `manifest.json` counts what was left out, by reason.

{pairs}

```python
from datasets import load_dataset

pairs = load_dataset("parquet", data_files="{name}/pairs-{split}-*.parquet", split="train")
print(pairs[0]["task"], pairs[0]["prompt"], pairs[0]["target"])
```"""

PAIRS_TABLE = Format(
    PairWriter,
    suffix="parquet",
    stem=PAIR_FILES,
    verifier="pipelines.emit.verifiers.pairs:PairVerifier",
    card=card_section,
)
