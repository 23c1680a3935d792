"""embeddings-*.parquet: the vectors of the nodes in emit.embeddings, one row for each image and node that has one.

The rows are in the order of the images in the tar, and for one image in the order of emit.embeddings. Nodes may have
vectors of different lengths, so the column is a list without a fixed length. A shard without vectors has no such file,
because `datasets` refuses a table without rows.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from engine.layout import EMBEDDING_FILES
from engine.reading.release_manifest import Manifest
from engine.records.embeddings import EMBEDDING
from engine.schema import required
from engine.storage.parquet_writing import PARQUET, ROW_GROUP
from pipelines.emit.writers.format import Format, Sample, Shard

_VECTOR = pa.list_(required("element", pa.float16()))
RELEASED_EMBEDDINGS = pa.schema(
    [required("image_id", pa.string()), required("node", pa.string()), required(EMBEDDING, _VECTOR)]
)


class EmbeddingWriter:
    """Takes the vectors from the shard; of a sample it needs only its number."""

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file, self._shard = file, shard
        self._numbers: list[int] = []

    def add(self, sample: Sample) -> None:
        if self._shard.embeddings:
            self._numbers.append(sample.number)

    def finish(self) -> int:
        """Writes nothing if there are no vectors."""
        if not self._numbers:
            return 0
        parts = [self._rows(node, column) for node, column in self._shard.embeddings.items()]
        table = pa.concat_tables(rows for rows, _ in parts)
        if table.num_rows:
            order = np.argsort(np.concatenate([places for _, places in parts]), kind="stable")
            pq.write_table(table.take(pa.array(order)), self._file, row_group_size=ROW_GROUP, **PARQUET)
        return int(table.num_rows)

    def _rows(self, node: str, column: pa.ChunkedArray) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """The rows of one node, and the numbers of their samples."""
        wanted = np.array(self._numbers)
        numbers = wanted[column.is_valid().to_numpy()[wanted]]
        vectors = column.combine_chunks().take(pa.array(numbers))
        size = column.type.list_size
        offsets = np.arange(0, len(numbers) * size + 1, size, dtype=np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offsets), vectors.flatten(), type=_VECTOR)
        ids = self._shard.rows["image_id"].take(pa.array(numbers))
        columns = [ids, pa.array([node] * len(numbers), pa.string()), lists]
        return pa.table(columns, schema=RELEASED_EMBEDDINGS), numbers


def card_section(manifest: Manifest) -> str:
    """What the data card says about embeddings; '' if the release has none."""
    rows = sum(file["rows"] for file in manifest["files"] if file["name"].startswith(EMBEDDING_FILES))
    if not rows:
        return ""
    nodes = ", ".join(f"`{name}`" for name in manifest["recipe"]["emit"]["embeddings"])
    return _SECTION.format(name=manifest["name"], rows=f"{rows:,}", nodes=nodes)


_SECTION = """\
## Embeddings

`embeddings-*.parquet` holds {rows} vectors, one for each image and node (of {nodes}) that has one: `image_id`, `node`
and `embedding`, as float16 and of length 1. The table at the end names the component of each node. Compare only vectors
of the same node: their dot product is the cosine of their angle. The rows are in the order of the images.

```python
import numpy
from datasets import load_dataset

embeddings = load_dataset("parquet", data_files="{name}/embeddings-*.parquet", split="train")
first = embeddings.filter(lambda row: row["node"] == embeddings[0]["node"])
vectors = numpy.array(first["embedding"], dtype="float32")
print(vectors.shape, (vectors @ vectors[0]).max())
```"""

EMBEDDING_TABLE = Format(
    EmbeddingWriter,
    suffix="parquet",
    stem=EMBEDDING_FILES,
    verifier="pipelines.emit.verifiers.embeddings:EmbeddingVerifier",
    card=card_section,
)
