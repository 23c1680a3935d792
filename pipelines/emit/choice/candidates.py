"""The images that a release can hold: the kept training images of the data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.layout import IMAGES
from engine.records.shard import one_array
from engine.running.graph import Node
from engine.storage.commits import Commits, Record, TableReader
from engine.storage.files import Storage
from pipelines.emit.source_names import released_source

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Images, one in each row, in the order of the data set. About 60 bytes for each.

    `shard`, `row`: their places in the data set. `source`: the number of each image's first source in `sources`, which
    has the names of sources as a release has them.
    """

    ids: pa.Array
    shard: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    source: npt.NDArray[np.int32]
    sources: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Ints) -> Candidates:
        chosen = self.ids.take(pa.array(rows))
        return Candidates(chosen, self.shard[rows], self.row[rows], self.source[rows], self.sources)

    def draws(self, seed: int) -> npt.NDArray[np.uint64]:
        """A random number for each image. It depends only on the seed and the image id."""
        digits = "".join(name[:16] for name in self.ids.to_pylist())
        return _mixed(np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64), seed)


def _mixed(numbers: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Other random numbers for each seed, by the steps of SplitMix64 (Steele, Lea, Flood 2014)."""
    with np.errstate(over="ignore"):
        mixed = numbers + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % (1 << 64))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    answer: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return answer


def candidates_of(storage: Storage, judge: Node, verdicts: Sequence[Record]) -> Candidates:
    """The kept training images. `verdicts`: the commit records of the judge, of all shards."""
    images = Commits(storage, IMAGES).data_files()
    ids, shards, rows, sources = list[pa.Array](), list[Ints](), list[Ints](), list[Ints]()
    names: dict[str, int] = {}
    for number, record in enumerate(verdicts):
        table = TableReader(storage, images[number], ["image_id", "split", "sources"]).read()
        verdict = TableReader(storage, record.files["data"].path, ["image"]).read()
        kept = one_array(verdict["image"]).field("kept").to_numpy(zero_copy_only=False)
        found = np.flatnonzero(kept & np.array([split == "train" for split in table["split"].to_pylist()]))
        ids.append(one_array(table["image_id"]).take(pa.array(found)))
        shards.append(np.full(len(found), number))
        rows.append(found)
        own = table["sources"].take(pa.array(found)).to_pylist()
        sources.append(
            np.array([names.setdefault(released_source(of[0])["source"], len(names)) for of in own], np.int64)
        )
    shard, row, source = (
        np.concatenate([np.zeros(0, np.int64), *part]).astype(np.int32) for part in (shards, rows, sources)
    )
    return Candidates(pa.concat_arrays([pa.array([], pa.string()), *ids]), shard, row, source, list(names))
