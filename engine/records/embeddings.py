"""The column `embedding` of nodes that give embeddings: one vector of unit length for each image, as float16.

Only the node's own table has it, after the columns of the record. It is null for images on which the node failed and
for images that its `where` did not select. All vectors of a node have the same length, the `embedding_size` of its
component.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.schema import RECORD, required

EMBEDDING = "embedding"
EMBEDDINGS = "embeddings"  # the resource
UNIT = 1e-3  # how far the length of a vector may be from 1


def record_with_embedding(size: int) -> pa.Schema:
    return RECORD.append(pa.field(EMBEDDING, pa.list_(required("element", pa.float16()), size)))


def embedding_column(vectors: Sequence[Any], size: int) -> pa.Array:
    """An Arrow column of the vectors. None becomes null. `size`: the length of each vector."""
    values = np.zeros((len(vectors), size), np.float16)
    for row, vector in enumerate(vectors):
        if vector is not None:
            values[row] = vector
    lacking = pa.array([vector is None for vector in vectors], pa.bool_())
    kind = record_with_embedding(size).field(EMBEDDING).type
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind, mask=lacking)


def vectors_of(column: pa.ChunkedArray) -> list[npt.NDArray[np.float32] | None]:
    """The vectors in a column, as float32. Null becomes None."""
    found: list[npt.NDArray[np.float32] | None] = []
    for chunk in column.chunks:
        size = chunk.type.list_size
        values = chunk.values.slice(chunk.offset * size, len(chunk) * size).to_numpy(zero_copy_only=False)
        rows = values.astype(np.float32).reshape(len(chunk), size)
        found += [row if valid else None for row, valid in zip(rows, chunk.is_valid().to_pylist(), strict=True)]
    return found


def embedding_error(vector: Any, size: int) -> str:
    """What is wrong with an answer's embedding, in a few words; '' if nothing is.

    `size`: the length that it must have; 0: any length.
    """
    if vector is None:
        return "no embedding, although it declares `embeddings` in `gives`"
    if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.dtype.kind != "f":
        shape = f" of shape {vector.shape} and type {vector.dtype}" if isinstance(vector, np.ndarray) else ""
        return f"an embedding that is a {type(vector).__name__}{shape}, expected a NumPy array of floats with one axis"
    if size and len(vector) != size:
        return f"an embedding of {len(vector)} numbers, expected {size}, the `embedding_size` of the component"
    if not np.isfinite(vector).all():
        return "an embedding with a number that is not finite"
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(length - 1) > UNIT:
        return f"an embedding of length {length:.4g}, expected 1: divide it by its length"
    return ""
