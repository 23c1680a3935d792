"""Finds the nearest better image of each image, as SemDeDup does, in a data set that does not fit in memory.

"Better" is defined in semantic_neighbours.py. Images are split into clusters around centroids (spherical k-means on a
sample). The clusters are written to a folder on the local disk, and each is searched exactly. A cluster that is still
large is split again. Memory does not grow with the number of images.

An image near a border is written to up to COPIES clusters, because its duplicates may be in any of them. A few
duplicates are still missed: docs/benchmarks.md has the recall.

The answer depends only on the images and their order: their ids decide which images are in the sample, and centroids
are rounded to float16, so that similarities to them, computed in float64, are exact.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.errors import StorageError
from engine.images.semantic_neighbours import Floats, Ints, Nearest, Records, search_cluster

CLUSTER = 8192  # images in a cluster, on average, copies included
LARGEST = 2  # a cluster with more than LARGEST x CLUSTER images is split again
FANOUT = 256  # most clusters that one split makes: each is an open file
DEPTH = 4  # most splits, one inside the other
COPIES = 3  # most clusters that one image is written to
MARGIN = 0.05  # an image is also written to clusters whose similarity is at most so much below that of the nearest
SAMPLE = 64  # images of the sample for each centroid
STEPS = 8  # of k-means
_BATCH = 4096


class Pile(Protocol):
    """Records of many images, read in pieces. They can be read several times."""

    def __len__(self) -> int:
        """The number of records, or an upper bound of it."""
        ...

    def __iter__(self) -> Iterator[Records]: ...

    def drawn(self, below: int) -> Records:
        """The records whose `draw`, a random number, is below this one."""
        ...


class FilePile:
    """Records of images in one local file."""

    def __init__(self, path: str, kind: np.dtype[np.void]) -> None:
        self.path = path
        self.records: Records = np.asarray(np.memmap(path, kind, "r")) if os.path.getsize(path) else np.empty(0, kind)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Records]:
        for start in range(0, len(self), _BATCH):
            yield self.records[start : start + _BATCH]

    def drawn(self, below: int) -> Records:
        return self.records[self.records["draw"] < np.uint64(below)]

    def remove(self) -> None:
        os.unlink(self.path)


def nearest_better(pile: Pile, images: int, kind: np.dtype[np.void], folder: str) -> Nearest:
    """The nearest better image of each image.

    `pile`: the images that have an embedding. `images`: the number of rows in the whole set, with or without one.
    `kind`:
    see `record_type`. `folder`: a folder on a local disk. Raises StorageError if the disk has too little room.
    """
    needed = COPIES * len(pile) * kind.itemsize if len(pile) > LARGEST * CLUSTER else 0
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"Comparing {len(pile):,} embeddings needs up to {needed / 1e9:.0f} GB in '{folder}', which has "
            f"{free / 1e9:.0f} GB: set TMPDIR to a folder on a larger disk."
        )
    nearest = Nearest.create(images, folder)
    _search(pile, nearest, kind, folder, 0)
    return nearest


def _search(pile: Pile, nearest: Nearest, kind: np.dtype[np.void], folder: str, depth: int) -> None:
    if len(pile) <= LARGEST * CLUSTER or depth == DEPTH:
        records = pile.records if isinstance(pile, FilePile) else np.concatenate([np.empty(0, kind), *pile])
        if len(records):
            search_cluster(records, nearest)
        return
    number = min(FANOUT, -(-2 * len(pile) // CLUSTER))
    share = min(1.0, SAMPLE * number / len(pile))
    centroids = train(pile.drawn(min(round(share * 2**64), 2**64 - 1)), number)
    inside = os.path.join(folder, "clusters")
    os.mkdir(inside)
    for path in _split(pile, centroids, inside):
        part = FilePile(path, kind)
        stuck = len(part) > 0.9 * len(pile)  # copies of one image: another split would not make it smaller
        _search(part, nearest, kind, inside, DEPTH if stuck else depth + 1)
        part.remove()
    os.rmdir(inside)


def train(sample: Records, number: int) -> npt.NDArray[np.float16]:
    """Centroids of spherical k-means, at most `number`. There are fewer if the sample has few distinct embeddings."""
    sample = sample[np.lexsort((sample["row"], sample["draw"]))]
    vectors = sample["vector"].astype(np.float64)
    _, first = np.unique(sample["vector"][: 4 * number], axis=0, return_index=True)
    centroids = _rounded(vectors[np.sort(first)[:number]])
    for _ in range(STEPS):
        label = np.argmax(vectors @ centroids.astype(np.float64).T, axis=1)
        order = np.argsort(label, kind="stable")
        filled, starts = np.unique(label[order], return_index=True)
        centroids[filled] = _rounded(np.add.reduceat(vectors[order], starts))  # float64 sums of float16 are exact
    return centroids


def _rounded(vectors: Floats) -> npt.NDArray[np.float16]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[np.float16] = (vectors / np.maximum(length, 1e-12)).astype(np.float16)
    return unit


def _split(pile: Pile, centroids: npt.NDArray[np.float16], folder: str) -> list[str]:
    """Write each record to the files of its nearest centroids. Returns the paths of all files."""
    paths = [os.path.join(folder, str(number)) for number in range(len(centroids))]
    wide = centroids.astype(np.float64)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "wb")) for path in paths]
        for records in pile:
            rows, labels = _assign(records["vector"].astype(np.float64) @ wide.T)
            order = np.argsort(labels, kind="stable")
            rows, labels = rows[order], labels[order]
            for part in np.split(np.arange(len(labels)), np.flatnonzero(np.diff(labels)) + 1):
                if len(part):
                    files[labels[part[0]]].write(records[rows[part]].tobytes())
    return paths


def _assign(similar: Floats) -> tuple[Ints, Ints]:
    """(row, centroid) for the nearest centroids of each row: the nearest one, and those within MARGIN of it.

    `similar`: rows x centroids. It is overwritten.
    """
    rows, labels = np.arange(len(similar)), list[Ints]()
    found = []
    for _ in range(min(COPIES, similar.shape[1])):
        at = similar.argmax(axis=1)
        value = similar[rows, at]
        labels.append(at)
        found.append(value)
        similar[rows, at] = -np.inf
    near = [value >= found[0] - MARGIN for value in found]
    return (
        np.concatenate([rows[mask] for mask in near]),
        np.concatenate([label[mask] for label, mask in zip(labels, near, strict=True)]),
    )
