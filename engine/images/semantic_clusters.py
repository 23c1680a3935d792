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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

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
SAMPLE = 64  # images in the sample for each centroid
STEPS = 8  # of k-means
_BATCH = 4096

OnProgress = Callable[[float], None]


class FilePile:
    """Records of images in one local file, read in pieces so that they need little memory."""

    def __init__(self, path: str, kind: np.dtype[np.void]) -> None:
        self.path, self.kind = path, kind
        self.rows = os.path.getsize(path) // kind.itemsize

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Records]:
        with open(self.path, "rb") as file:
            while len(records := np.fromfile(file, self.kind, _BATCH)):
                yield records

    def all(self) -> Records:
        """All records. If they are too many for memory, they are read from the file when they are used."""
        if self.rows <= LARGEST * CLUSTER:
            return np.fromfile(self.path, self.kind)
        return np.asarray(np.memmap(self.path, self.kind, "r"))

    def sample(self, size: int) -> Records:
        """About `size` records, those with the smallest `draw`."""
        below = np.uint64(min(1.0, size / self.rows) * (2**64 - 2**11))
        return np.concatenate([records[records["draw"] <= below] for records in self])

    def remove(self) -> None:
        os.unlink(self.path)


def nearest_better(
    batches: Iterable[Records],
    images: int,
    kind: np.dtype[np.void],
    folder: str,
    on_progress: OnProgress | None = None,
) -> Nearest:
    """The nearest better image of each image.

    `batches`: the images that have an embedding. `images`: the number of rows in the whole set, with or without one.
    `kind`: see `record_type`. `folder`: a folder on a local disk. `on_progress` gets the share of the work that is
    done. Raises StorageError if the disk has too little room.
    """
    _require_room(folder, images * kind.itemsize, images)
    nearest = Nearest.create(images, folder)
    path = os.path.join(folder, "records")
    with open(path, "wb") as file:
        for records in batches:
            file.write(records.tobytes())
    pile = FilePile(path, kind)
    if len(pile) > LARGEST * CLUSTER:
        _require_room(folder, COPIES * len(pile) * kind.itemsize, len(pile))
    _Search(nearest, on_progress or _ignore).search(pile, folder)
    return nearest


def _require_room(folder: str, needed: int, images: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"Comparing {images:,} embeddings needs up to {needed / 1e9:.3g} GB in '{folder}', which has "
            f"{free / 1e9:.3g} GB: set TMPDIR to a folder on a larger disk."
        )


def _ignore(share: float) -> None:
    return None


@dataclass(slots=True)
class _Search:
    nearest: Nearest
    on_progress: OnProgress
    done: float = 0.0  # the share of the work

    def search(self, pile: FilePile, folder: str, depth: int = 0, share: float = 1.0) -> None:
        """Split a pile until its parts are small, search each part, and remove the pile's file.

        `share`: how much of the whole work this pile is, from 0 to 1.
        """
        if len(pile) <= LARGEST * CLUSTER or depth == DEPTH:
            if len(pile):
                search_cluster(pile.all(), self.nearest)
            pile.remove()
            self.done += share
            self.on_progress(self.done)
            return
        number = min(FANOUT, -(-2 * len(pile) // CLUSTER))
        inside = os.path.join(folder, "clusters")
        os.mkdir(inside)
        parts = _split(pile, train(pile.sample(SAMPLE * number), number), inside)
        pile.remove()
        size = sum(map(len, parts))
        for part in parts:
            stuck = len(part) > 0.9 * len(pile)  # copies of one image: another split would not make it smaller
            self.search(part, inside, DEPTH if stuck else depth + 1, share * len(part) / size)
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


def _split(pile: FilePile, centroids: npt.NDArray[np.float16], folder: str) -> list[FilePile]:
    """Write each record to the files of its nearest centroids. Returns all these files."""
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
    return [FilePile(path, pile.kind) for path in paths]


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
