"""Checks that .nv-meta/ describes the tars, and that Megatron Energon makes its index of them and reads every sample.

Without Energon, only the first is checked: the tars of each part of split.yaml are those of the split, .info.json has
the number of their samples, and dataset.yaml names the class (docs/source/basic/data_prep.md of Energon 7.4).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from engine.extras import missing
from engine.reading.release_manifest import Manifest, shard_file
from pipelines.emit.verifiers import energon_program
from pipelines.emit.verifiers.check import Check, ShardContent, not_installed
from pipelines.emit.writers.energon import DATASET, FOLDER, INFO, PARTS, SPLIT


class EnergonVerifier:
    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.check = Check("the metadata for Energon describes the tars")
        self._samples: Counter[str] = Counter()  # by tar
        self._parts: dict[str, list[str]] = {}  # {part: its tars}
        self._digests: Counter[str] = Counter()  # of the keys, by part

    def read(self, shard: ShardContent) -> None:
        """Counts the samples of one tar by its records."""
        part, tar = PARTS[shard.split], f"{shard.name}.tar"
        self._samples[tar] = len(shard.records)
        self._parts.setdefault(part, []).append(tar)
        self._digests[part] += energon_program.digest([record["image_id"] for record in shard.records])

    def finish(self) -> None:
        """Compares the files with the tars, then asks Energon. Without images there is nothing to check."""
        self.check.detail = f"{sum(self._samples.values())} samples"
        if not self._samples:
            self.check.detail = "no images, nothing to read"
            return
        for name, compare in ((SPLIT, self._splits), (INFO, self._info), (DATASET, self._dataset)):
            fault = self.check.attempt(name, lambda compare=compare: compare())  # type: ignore[misc]
            self.check.faults += [f"{name} {fault}"] if fault else []
        rows = {SPLIT: 1, INFO: len(self._samples), DATASET: 1}
        stated = {file["name"]: file["rows"] for file in self.manifest["files"]}
        self.check.faults += [
            f"{name} has {rows[name]} rows, the manifest has {stated[name]}"
            for name in rows
            if stated.get(name, rows[name]) != rows[name]
        ]
        if missing(["megatron.energon"]):
            self.check.skipped.append(f"Energon did not read the tars: {not_installed('megatron')}")
        else:
            self.check.attempt(FOLDER, self._energon)

    def _splits(self) -> str:
        """What is wrong with split.yaml; '' if nothing is."""
        from braceexpand import braceexpand

        found = yaml.safe_load((self.folder / SPLIT).read_text(encoding="utf-8"))
        parts = {
            part: [tar for name in names for tar in braceexpand(name)] for part, names in found["split_parts"].items()
        }
        stated = [match[0] for file in self.manifest["files"] if (match := shard_file(file["name"]))]
        tars = {name for name in stated if name.endswith(".tar")}
        if parts != self._parts or set(self._samples) != tars:
            return f"has the tars {_some(parts)}, the release has {_some(self._parts)}"
        return "" if found["exclude"] == [] else f"excludes {found['exclude']}, the release excludes no sample"

    def _info(self) -> str:
        """What is wrong with .info.json; '' if nothing is."""
        counts = json.loads((self.folder / INFO).read_text(encoding="utf-8"))["shard_counts"]
        other = [tar for tar in sorted({*counts, *self._samples}) if counts.get(tar) != self._samples.get(tar)]
        if not other:
            return ""
        return f"has {counts.get(other[0])} samples of {other[0]}, which has {self._samples.get(other[0])}"

    def _dataset(self) -> str:
        """What is wrong with dataset.yaml; '' if nothing is."""
        found = yaml.safe_load((self.folder / DATASET).read_text(encoding="utf-8"))
        expected = {"__module__": "megatron.energon", "__class__": "CrudeWebdataset"}
        return "" if found == expected else f"is {found}, not {expected}"

    def _energon(self) -> None:
        """Lets Energon read a folder of links to the tars. It writes its index there, not into the release."""
        with tempfile.TemporaryDirectory(prefix="energon-") as scratch:
            copy = Path(scratch) / "release"
            shutil.copytree(self.folder / FOLDER, copy / FOLDER)
            for name in self._samples:
                (copy / name).symlink_to((self.folder / name).resolve())
            answer = energon_program.ask(copy, list(self._parts))
        self.check.detail += ", read with Energon"
        if answer["error"]:
            self.check.faults.append(f"Energon cannot read the release: {answer['error']}")
            return
        for part, tars in self._parts.items():
            found, samples = answer["parts"][part], sum(self._samples[tar] for tar in tars)
            self.check.faults += [f"part {part}: {fault}" for fault in found["faults"]]
            if found["samples"] != samples:
                self.check.faults.append(f"Energon reads {found['samples']} samples of {part}, {samples} are there")
            elif found["digest"] != self._digests[part] % (1 << 256):
                self.check.faults.append(f"Energon reads other samples of {part} than the records are of")


def _some(parts: Mapping[str, Any]) -> str:
    return str({part: [*tars[:2], *(["..."] if len(tars) > 2 else [])] for part, tars in parts.items()})
