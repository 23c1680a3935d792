"""Checks the training pairs: each fits its task, and its target parses back to the annotations of its record.

The pairs in the json of the samples, in pairs-*.parquet and in the manifest's counts must be the same. In a release
without these tables, the verifier of webdataset proves the pairs in the json of the samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

from engine.layout import PAIR_FILES
from engine.reading.release_manifest import Manifest
from model.pairs.pair import PAIRS, estimated_tokens
from pipelines.emit.verifiers.check import Check, Row, ShardContent
from pipelines.emit.verifiers.one_pair import RecordProof
from pipelines.emit.writers.webdataset import PAIR


class PairProof:
    """Proves pairs one by one, counts those that hold, and compares their numbers with the manifest."""

    def __init__(self, manifest: Manifest) -> None:
        self.proven: Counter[str] = Counter()  # by task
        self._stated = manifest["pairs"]
        self._max_points = manifest["recipe"].get("emit", {}).get("pairs", {}).get("max_points", 50)
        self._may_be_truncated = bool(self._stated["truncated"])

    def faults(self, record: Row, pairs: Iterable[Row]) -> Iterator[tuple[Row, str]]:
        """Each pair of a record, and what is wrong with it as the end of a sentence: '' if it holds."""
        proof = RecordProof(record, self._max_points)
        for pair in pairs:
            fault = proof.fault(pair)
            self.proven[pair["task"]] += not fault
            yield pair, fault

    def faults_in_json(self, record: Row) -> Iterator[tuple[Row, str]]:
        """The same for the pairs in the json of a sample, which do not state their tokens and if they are truncated."""
        truncated = self._may_be_truncated
        pairs = ({**one, "tokens": estimated_tokens(one["target"]), "truncated": truncated} for one in record["pairs"])
        return self.faults(record, pairs)

    def wrong_counts(self) -> Iterator[str]:
        stated = self._stated["proven"]
        for task in sorted({*self.proven, *stated}):
            if self.proven[task] != stated.get(task, 0):
                yield f"{self.proven[task]} pairs of {task} hold, the manifest has {stated.get(task, 0)}"


class PairVerifier:
    """Checks pairs-*.parquet, shard by shard."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.check = Check("every pair asks what its task asks, and parses back to its annotations")
        self._files = {file["name"] for file in manifest["files"]}
        self._proof = PairProof(manifest)
        self._truncated = self._pairs = 0

    def read(self, shard: ShardContent) -> None:
        """Reads the pairs of one shard and sets `shard.pairs`, their number."""
        shard.pairs = self.check.attempt(shard.name, lambda: self._read(shard)) or 0
        self._pairs += shard.pairs

    def finish(self) -> None:
        """Compares the counts of all shards with those of the manifest."""
        stated, faults = self.manifest["pairs"], self.check.faults
        faults += self._proof.wrong_counts()
        if self._truncated != stated["truncated"]:
            faults.append(f"{self._truncated} pairs are truncated, the manifest has {stated['truncated']}")
        self.check.detail = f"{self._pairs} pairs of {len(+self._proof.proven)} tasks"

    def _read(self, shard: ShardContent) -> int:
        name = shard.table(PAIR_FILES)
        pairs = self._table(name)
        count = sum(map(len, pairs.values()))
        for sample in shard.samples or ():
            own = [{name: pair[name] for name in PAIR.names} for pair in pairs.get(sample["image_id"], ())]
            if own != sample["pairs"]:
                self.check.faults.append(f"{sample['image_id']} has other pairs in its json than in {name}")
        located = {row["image_id"]: row for row in shard.rows or ()}
        for record in shard.records:
            self._check_pairs(record, pairs.pop(record["image_id"], ()), located.get(record["image_id"]))
        self.check.faults += [f"{name} has pairs of {image}, which is not in {shard.name}" for image in pairs]
        return count

    def _table(self, name: str) -> dict[str, list[Row]]:
        """{image id: pairs} of a file. Empty if the manifest does not list the file."""
        if name not in self._files:
            return {}
        table = pq.read_table(self.folder / name, page_checksum_verification=True)
        if not table.schema.equals(PAIRS):
            raise ValueError("its columns are not those of pairs")
        pairs: dict[str, list[Row]] = {}
        for pair in table.to_pylist():
            pairs.setdefault(pair["image_id"], []).append(pair)
        return pairs

    def _check_pairs(self, record: Row, pairs: Iterable[Row], located: Row | None) -> None:
        for pair, wrong in self._proof.faults(record, pairs):
            if fault := wrong or _locator_fault(pair, located):
                self.check.faults.append(f"{record['image_id']}: {pair['task']} {fault}")
            else:
                self._truncated += pair["truncated"]


def _locator_fault(pair: Row, located: Row | None) -> str:
    """Which fields of a pair differ from its image's row in the table of images. '' if none, or if there is no row."""
    if located is None:
        return ""
    expected = {"uri": located["tar"]}
    expected |= {name: located[name] for name in ("offset", "length", "width", "height", "split")}
    other = [name for name, value in expected.items() if pair[name] != value]
    return f"has another {', '.join(other)} than its record" if other else ""
