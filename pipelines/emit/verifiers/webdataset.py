"""Checks that webdataset reads every sample of the tars and decodes its image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.reading.release_manifest import Manifest, formats_of
from pipelines.emit.verifiers.check import Check, Row, ShardContent, one_line
from pipelines.emit.verifiers.pairs import PairProof
from pipelines.emit.writers.webdataset import MEMBER

_KEY = re.compile(r"[0-9a-f]{32}")


class WebdatasetVerifier:
    """Reads each tar with webdataset and its own image decoder. Without tables of pairs, proves those in the json."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.extensions = folder, manifest["image_extensions"]
        self.check = Check("webdataset reads every sample and decodes its image")
        self._proof = None if "pairs" in formats_of(manifest) else PairProof(manifest)
        self._keys: set[str] = set()

    def read(self, shard: ShardContent) -> None:
        """Reads one tar. Sets `shard.samples` to the json of each whole sample, or to None if webdataset fails."""
        name = f"{shard.name}.tar"
        shard.samples = self.check.attempt(name, lambda: list(self._samples(name)))

    def finish(self) -> None:
        self.check.detail = f"{len(self._keys)} samples"
        if self._proof is not None:
            self.check.faults += self._proof.wrong_counts()
            self.check.detail += f", whose {self._proof.proven.total()} pairs parse back to their annotations"

    def _samples(self, name: str) -> Iterator[Row]:
        import webdataset

        faults = self.check.faults

        def undecodable(error: Exception) -> bool:
            faults.append(f"{name}: {type(error).__name__}: {getattr(error, 'key', '')} {one_line(error)}")
            return True

        decoder = webdataset.imagehandler("pil", extensions=self.extensions)
        # A list, because webdataset would expand braces in a string.
        tar = webdataset.WebDataset([str(self.folder / name)], shardshuffle=False, empty_check=False)
        for sample in tar.decode(decoder, handler=undecodable):
            key = sample["__key__"]
            parts = sorted(part for part in sample if not part.startswith("__"))
            if not self._is_whole(key, parts):
                faults.append(f"{name} holds '{key}' with {' and '.join(parts)}, not one image and its json")
                continue
            if key in self._keys:
                faults.append(f"{name}: the key {key} occurs twice")
            self._keys.add(key)
            image = sample[next(part for part in parts if part != "json")]
            faults += [f"{name}: {key} {fault}" for fault in self._sample_faults(key, image, sample["json"])]
            yield sample["json"]

    def _sample_faults(self, key: str, image: Any, record: Row) -> Iterator[str]:
        if list(record) != MEMBER.names:
            yield "has a json with other fields than a release has"
            return
        if record["image_id"] != key:
            yield f"has the json of {record['image_id']}"
            return
        width, height = _upright(image).size
        if (width, height) != (record["width"], record["height"]):
            yield f"decodes to {width}x{height} upright, its json has {record['width']}x{record['height']}"
        if self._proof is not None:
            for pair, fault in self._proof.faults_in_json(record):
                if fault:
                    yield f"{pair['task']} {fault}"

    def _is_whole(self, key: str, parts: Sequence[str]) -> bool:
        """Whether a sample has an image id as its key, one image and one json."""
        known = set(parts) <= {"json", *self.extensions}
        return bool(_KEY.fullmatch(key)) and len(parts) == 2 and "json" in parts and known


def _upright(image: Any) -> Any:
    """The image after its EXIF rotation, with the same code as on the data card."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  # broken EXIF raises anything, and counts as no EXIF
        return image
