"""Open a release with the tools that will read it, and check every promise it makes.

Nothing here trusts the engine: tars are read with webdataset, tables with pyarrow, both with `datasets`, images
with Pillow, and ids are recomputed from bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.schema import ANNOTATIONS

_KEY = re.compile(r"[0-9a-f]{32}")
_SLACK = 1.0  # pixels
_SHOWN = 3  # faults told of a check


@dataclass(slots=True)
class Check:
    """One promise. `faults` are sentences; none means it holds."""

    name: str
    detail: str = ""
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults


def verify(release: str) -> list[Check]:
    """All checks of a release folder or URL. ConfigError if there is no finished release."""
    folder = _local(release)
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        raise ConfigError(f"No finished release at '{release}': it has no manifest.json.") from None
    except ValueError as error:
        raise ConfigError(f"The manifest of '{release}' is not json: {error}.") from error
    samples: dict[str, dict[str, Any]] = {}
    checks: list[tuple[str, Callable[[Check], None]]] = [
        ("files are those of the manifest", lambda check: _files(check, folder, manifest)),
        ("webdataset reads every sample", lambda check: _tars(check, folder, manifest, samples)),
        ("annotations refer to what is there", lambda check: _references(check, samples)),
        ("pyarrow reads the same records", lambda check: _tables(check, folder, manifest, samples)),
        ("datasets reads the tars", lambda check: _datasets(check, folder, manifest, "tar")),
        ("datasets reads the tables", lambda check: _datasets(check, folder, manifest, "parquet")),
    ]
    return [_checked(name, work) for name, work in checks]


def _checked(name: str, work: Callable[[Check], None]) -> Check:
    check = Check(name)
    try:
        work(check)
    except ImportError as error:
        check.faults.append(f"{error.name} is not installed: install the project with its 'loaders' extra")
    except Exception as error:  # noqa: BLE001  # whatever a loader raises is the finding
        check.faults.append(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return check


def render_checks(checks: list[Check]) -> str:
    lines = []
    for check in checks:
        lines.append(f"{'ok  ' if check.ok else 'FAIL'} {check.name}{': ' + check.detail if check.detail else ''}")
        lines += [f"       {fault}" for fault in check.faults[:_SHOWN]]
        if len(check.faults) > _SHOWN:
            lines.append(f"       ... and {len(check.faults) - _SHOWN} more")
    return "\n".join(lines)


def _local(release: str) -> Path:
    """The release as a local folder; a remote one is copied to a temporary folder first."""
    if "://" not in release:
        return Path(release)
    import fsspec

    fs, path = fsspec.core.url_to_fs(release)
    copy = Path(tempfile.mkdtemp(prefix="release-"))
    for name in fs.ls(path, detail=False):
        fs.get_file(name, str(copy / str(name).rsplit("/", 1)[-1]))
    return copy


def _files(check: Check, folder: Path, manifest: Mapping[str, Any]) -> None:
    for file in manifest["files"]:
        path = folder / file["name"]
        if not path.exists():
            check.faults.append(f"{file['name']} is missing")
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != file["sha256"]:
            check.faults.append(
                f"{file['name']} has sha256 {digest[:12]}..., the manifest says {file['sha256'][:12]}..."
            )
    named = {file["name"] for file in manifest["files"]}
    check.faults += [f"{path.name} is not in the manifest" for path in folder.glob("train-*") if path.name not in named]
    check.detail = f"{len(named)} files"


def _tar_paths(folder: Path, manifest: Mapping[str, Any]) -> list[Path]:
    return [folder / file["name"] for file in manifest["files"] if file["name"].endswith(".tar")]


def _tars(check: Check, folder: Path, manifest: Mapping[str, Any], samples: dict[str, dict[str, Any]]) -> None:
    for path in _tar_paths(folder, manifest):
        for sample in _webdataset(path):
            key = sample["__key__"]
            if key in samples:
                check.faults.append(f"the key {key} occurs twice")
            extension = next((name for name in manifest["image_extensions"] if name in sample), "")
            if not _KEY.fullmatch(key) or not extension or "json" not in sample:
                check.faults.append(f"{path.name} holds '{key}' with {', '.join(sample)}")
                continue
            record = json.loads(sample["json"])
            samples[key] = record | {"_tar": path.name, "_bytes": len(sample[extension])}
            check.faults += [f"{key}: {fault}" for fault in _image_faults(key, sample[extension], record)]
    check.detail = f"{len(samples)} samples"
    if len(samples) != manifest["counts"]["images"]:
        check.faults.append(f"{len(samples)} samples, the manifest says {manifest['counts']['images']}")


def _webdataset(path: Path) -> Iterator[dict[str, Any]]:
    import webdataset

    yield from webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False)


def _image_faults(key: str, data: bytes, record: Mapping[str, Any]) -> Iterator[str]:
    from engine.images import decode

    if hashlib.sha256(data).hexdigest()[:32] != key or record["image_id"] != key:
        yield "its bytes or its record are not those of its id"
        return
    height, width = decode(data).shape[:2]
    if (width, height) != (record["width"], record["height"]):
        yield f"decodes to {width}x{height}, its record says {record['width']}x{record['height']}"


def _references(check: Check, samples: Mapping[str, Mapping[str, Any]]) -> None:
    number = 0
    for key, record in samples.items():
        number += sum(len(record[name]) for name in ANNOTATIONS)
        check.faults += [f"{key}: {fault}" for fault in _record_faults(record)]
    check.detail = f"{number} annotations"


def _record_faults(record: Mapping[str, Any]) -> Iterator[str]:
    regions = {region["id"]: region for region in record["regions"]}
    texts = {text["id"]: text["text"] for text in record["texts"]}
    ids = [item["id"] for name in ANNOTATIONS for item in record[name]]
    if len(ids) != len(set(ids)):
        yield "an annotation id occurs twice"
    for region in regions.values():
        inside = -_SLACK <= region["x1"] <= region["x2"] <= record["width"] + _SLACK
        if not inside or not -_SLACK <= region["y1"] <= region["y2"] <= record["height"] + _SLACK:
            yield f"the box of {region['id']} is not in the image"
    for item in record["region_texts"]:
        if item["region_id"] not in regions:
            yield f"{item['id']} is of {item['region_id']}, which is not there"
    for phrase in record["phrases"]:
        text = texts.get(phrase["text_id"])
        if text is None:
            yield f"{phrase['id']} is of {phrase['text_id']}, which is not there"
        elif not 0 <= phrase["char_start"] < phrase["char_end"] <= len(text):
            yield f"{phrase['id']} spans {phrase['char_start']}-{phrase['char_end']} of {len(text)} characters"
        if missing := [name for name in phrase["region_ids"] if name not in regions]:
            yield f"{phrase['id']} names {missing[0]}, which is not there"


def _tables(check: Check, folder: Path, manifest: Mapping[str, Any], samples: Mapping[str, Mapping[str, Any]]) -> None:
    import pyarrow.parquet as pq

    rows = 0
    for file in manifest["files"]:
        if not file["name"].endswith(".parquet"):
            continue
        for row in pq.read_table(folder / file["name"]).to_pylist():
            rows += 1
            sample = samples.get(row["image_id"])
            if sample is None:
                check.faults.append(f"{row['image_id']} is in {file['name']} and in no tar")
            elif any(not _same(row[name], sample[name]) for name in ANNOTATIONS):
                check.faults.append(f"{row['image_id']} has other annotations in {file['name']} than in its tar")
            else:
                check.faults += _locator_faults(folder, row)
    check.detail = f"{rows} rows"
    if rows != len(samples):
        check.faults.append(f"{rows} rows, {len(samples)} samples in the tars")


def _same(left: Any, right: Any) -> bool:
    """Equal but for what json does to a float32."""
    return bool(json.loads(json.dumps(left)) == right)


def _locator_faults(folder: Path, row: Mapping[str, Any]) -> list[str]:
    with (folder / row["tar"]).open("rb") as file:
        file.seek(row["offset"])
        data = file.read(row["length"])
    right = hashlib.sha256(data).hexdigest()[:32] == row["image_id"]
    return [] if right else [f"{row['image_id']} does not lie at {row['tar']}:{row['offset']}"]


def _datasets(check: Check, folder: Path, manifest: Mapping[str, Any], kind: str) -> None:
    """Loaded whole and streamed, without a network and without leaving a cache behind."""
    expected = manifest["counts"]["images"]
    if not expected:
        check.detail = "no images, nothing to load"
        return
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="datasets-") as cache:
        place: dict[str, Any] = {"path": str(folder)}
        if kind == "parquet":
            place = {"path": "parquet", "data_files": str(folder / "train-*.parquet")}
        whole = datasets.load_dataset(**place, split="train", cache_dir=cache)
        streamed = datasets.load_dataset(**place, split="train", streaming=True, cache_dir=cache)
        counts = (len(whole), sum(1 for _ in streamed))
        if counts != (expected, expected):
            check.faults.append(f"{counts[0]} samples loaded and {counts[1]} streamed, the manifest says {expected}")
        wanted = sum(manifest["counts"][name] for name in ANNOTATIONS)
        found = sum(_annotations(sample.get("json", sample)) for sample in _without_pixels(whole))
        if found != wanted:
            check.faults.append(f"{found} annotations loaded, the manifest says {wanted}")
        if kind == "tar":
            first = whole[0]
            image = next(first[name] for name in manifest["image_extensions"] if first[name] is not None)
            check.detail = f"{expected} samples, the first {image.size[0]}x{image.size[1]} with "
            check.detail += f"{len(first['json']['regions'])} regions"
        else:
            check.detail = f"{expected} rows"
        del whole


def _without_pixels(samples: Any) -> Any:
    return samples.select_columns(["json"]) if "json" in samples.column_names else samples


def _annotations(record: Mapping[str, Any]) -> int:
    return sum(len(record[name]) for name in ANNOTATIONS)
