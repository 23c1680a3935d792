"""Finds the nearest better image of each image, by embeddings: an exact search within one cluster of images.

An image is better if it has more pixels, or as many and more bytes, or as many of both and is listed earlier. An audit
image is compared with audit images only. A training image is compared with training images, and separately with all
audit images. The distance is 1 - cosine, from 0 to 2.

Embeddings are float16. The dot product of two of them is exact in float64 in any order of summation, so the same
embeddings give the same distance on every machine.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Records = npt.NDArray[np.void]  # of the type that `record_type` returns
Vectors = npt.NDArray[np.float16]

OWN, AUDIT = 0, 1  # columns of Nearest: OWN, the nearest better image of the same kind; AUDIT, the nearest audit image
_QUERIES, _CHUNK = 2048, 4096  # numbers of rows compared at once: 32 MB of similarities


def record_type(dimensions: int) -> np.dtype[np.void]:
    """The type of one image's record on disk.

    row: the image's number in the whole set, in the order of the shards. draw: a random number made from its id. audit:
    1 for an audit image, 0 for a training image.
    """
    numbers = [("row", "<i8"), ("draw", "<u8"), ("pixels", "<i8"), ("bytes", "<i8"), ("audit", "<i8")]
    return np.dtype([*numbers, ("vector", "<f2", (dimensions,))])


@dataclass(frozen=True, slots=True)
class Nearest:
    """The best neighbours found so far, in files.

    Both arrays have the shape (images, 2); the columns are OWN and AUDIT.

    distance: infinite if no neighbour was found. better: the row of the neighbour in the whole set; -1 if none was
    found.
    """

    distance: Floats
    better: Ints

    @classmethod
    def create(cls, images: int, folder: str) -> Nearest:
        shape = (max(images, 1), 2)
        distance = np.memmap(os.path.join(folder, "distance"), np.float64, "w+", shape=shape)
        better = np.memmap(os.path.join(folder, "better"), np.int64, "w+", shape=shape)
        distance[:], better[:] = np.inf, -1
        return cls(distance, better)

    def add(self, kind: int, rows: Ints, distance: Floats, better: Ints) -> None:
        nearer = distance < self.distance[rows, kind]
        self.distance[rows[nearer], kind] = distance[nearer]
        self.better[rows[nearer], kind] = better[nearer]


def search_cluster(records: Records, nearest: Nearest) -> None:
    """Compares all images of one cluster with each other."""
    order = np.lexsort((records["row"], -records["bytes"], -records["pixels"], -records["audit"]))
    first, copies, leaders = _exact_copies(records, order)
    vectors, rows = records["vector"][order[first]], records["row"][order[first]]
    n = len(rows)
    audit = int(records["audit"][order[first]].sum())  # audit images come first
    found = {OWN: np.full(n, -1, np.int64), AUDIT: np.full(n, -1, np.int64)}
    found[OWN][:audit] = _nearest_before(vectors, range(audit), range(audit))
    found[OWN][audit:] = _nearest_before(vectors, range(audit, n), range(audit, n))
    found[AUDIT][audit:] = _nearest_before(vectors, range(audit, n), range(audit))
    for kind, other in found.items():
        has = np.flatnonzero(other >= 0)
        apart = distances(vectors[has], vectors[other[has]])
        nearest.add(kind, rows[has], apart, rows[other[has]])
        if kind == AUDIT:  # copies have the same nearest audit image as the image they copy
            apart_of, better_of = np.full(n, np.inf), np.full(n, -1, np.int64)
            apart_of[has], better_of[has] = apart, rows[other[has]]
            nearest.add(kind, records["row"][order[copies]], apart_of[leaders], better_of[leaders])
    nearest.add(OWN, records["row"][order[copies]], np.zeros(len(copies)), rows[leaders])


def distances(a: Vectors, b: Vectors) -> Floats:
    """1 - cosine of each row of `a` with the same row of `b`."""
    answer = np.empty(len(a))
    for start in range(0, len(a), _QUERIES):
        x, y = (side[start : start + _QUERIES].astype(np.float64) for side in (a, b))
        dots, xx, yy = (np.einsum("ij,ij->i", *pair) for pair in ((x, y), (x, x), (y, y)))
        answer[start : start + _QUERIES] = 1 - dots / np.sqrt(xx * yy)
    return np.maximum(answer, 0)


def _exact_copies(records: Records, order: Ints) -> tuple[Ints, Ints, Ints]:
    """Separates copies, which have the same embedding: (firsts, copies, index of each copy's first in `firsts`).

    All three are arrays. `firsts` and `copies` are positions in `order`. Without this, ten thousand copies would make
    fifty million pairs.
    """
    names = [name for start in range(0, len(order), _CHUNK) for name in _names(records, order[start : start + _CHUNK])]
    _, first, inverse = np.unique(np.array(names, "S16"), return_index=True, return_inverse=True)
    in_order = np.argsort(first)
    place = np.empty(len(first), np.int64)
    place[in_order] = np.arange(len(first))
    copies = np.setdiff1d(np.arange(len(order)), first)
    return first[in_order], copies, place[inverse[copies]]


def _names(records: Records, rows: Ints) -> list[bytes]:
    """For each row a digest of its embedding and of its kind (audit or training)."""
    vectors, kinds = records["vector"][rows], records["audit"][rows].tolist()
    salts = (b"train", b"audit")
    return [
        hashlib.blake2b(vector.tobytes(), digest_size=16, salt=salts[kind]).digest()
        for vector, kind in zip(vectors, kinds, strict=True)
    ]


def _nearest_before(vectors: Vectors, rows: range, others: range) -> Ints:
    """For each of `rows` the most similar of those `others` that come before it; -1 if none does."""
    answer = np.full(len(rows), -1, np.int64)
    for start in range(rows.start, rows.stop, _QUERIES):
        stop = min(start + _QUERIES, rows.stop)
        queries = _unit(vectors[start:stop])
        best = np.full(stop - start, -2, np.float32)
        mine = answer[start - rows.start : stop - rows.start]
        last = min(others.stop, stop)
        for low in range(others.start, last, _CHUNK):
            high = min(low + _CHUNK, last)
            similar = queries @ _unit(vectors[low:high]).T
            if high > start:
                similar[np.arange(low, high) >= np.arange(start, stop)[:, None]] = -2
            at = similar.argmax(axis=1)
            value = similar[np.arange(len(at)), at]
            nearer = value > best
            best[nearer], mine[nearer] = value[nearer], at[nearer] + low
    return answer


def _unit(vectors: Vectors) -> npt.NDArray[np.float32]:
    wide = vectors.astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide
