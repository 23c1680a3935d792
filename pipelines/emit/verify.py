"""Open a release with the tools that will read it, and check every promise it makes.

Nothing here trusts the engine: tars are read with webdataset and its own image decoder, tables with pyarrow, both
with `datasets`, and ids are recomputed from bytes. One shard is in memory at a time, and never its pixels.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from engine.errors import ConfigError
from engine.extras import how_to_install
from engine.layout import CARD_FILE, PAIR_FILES, SAMPLE_FILES
from engine.schema import ANNOTATIONS, SCHEMA_VERSION
from engine.storage.files import Storage, sha256_file
from pipelines.emit.shard import CARD, MEMBER, RELEASE, SAMPLE, read_manifest
from pipelines.emit.verify_datasets import ask
from pipelines.emit.verify_pairs import PairReading

_KEY = re.compile(r"[0-9a-f]{32}")
_SLACK = 1.0  # pixels a box may reach beyond its image: what rounding does
_SHOWN = 3  # faults told of a check
_COPIED = 1 << 30  # bytes of tars that `datasets` may copy into a temporary cache; of more, it loads one shard

# What `datasets` loads, and what of it is counted: a row is an image, or a pair.
_KINDS = {"tars": "images", "tables": "images", "pairs": "pairs"}
_KIND_COLUMNS = {"tars": ("images", *ANNOTATIONS, "pairs"), "tables": ("images", *ANNOTATIONS), "pairs": ("pairs",)}

Row = Mapping[str, Any]


@dataclass(slots=True)
class Check:
    """One promise. `faults` are sentences; none means it holds."""

    name: str
    detail: str = ""
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults


def render_checks(checks: Sequence[Check]) -> str:
    lines = []
    for check in checks:
        lines.append(f"{'ok  ' if check.ok else 'FAIL'} {check.name}{': ' + check.detail if check.detail else ''}")
        lines += [f"       {fault}" for fault in check.faults[:_SHOWN]]
        if len(check.faults) > _SHOWN:
            lines.append(f"       ... and {len(check.faults) - _SHOWN} more")
    return "\n".join(lines)


def verify(release: str) -> list[Check]:
    """All checks of a release folder or URL; a remote one is copied first. ConfigError if none is finished there."""
    with tempfile.TemporaryDirectory(prefix="verify-") as scratch:
        folder = _local(release, Path(scratch) / "copy")
        manifest = _manifest(release, folder)
        reading = _Reading(folder, manifest)
        for stem in reading.stems:
            reading.read(stem)
        reading.count()
        loaders = _datasets(folder, manifest, reading.counts, Path(scratch))
        return [_files(folder, manifest), *reading.checks, *loaders]


def _local(release: str, copy: Path) -> Path:
    storage = Storage(release)
    if storage.local:
        return Path(storage.url)
    copy.mkdir()
    for name in storage.names(""):
        storage.fs.get_file(storage.path(name), str(copy / name))
    return copy


def _manifest(release: str, folder: Path) -> dict[str, Any]:
    try:
        manifest = read_manifest(Storage(str(folder)))
    except FileNotFoundError:
        raise ConfigError(
            f"No finished release at '{release}': it has no manifest.json; give a folder under releases/."
        ) from None
    lacking = [name for name in ("counts", "pairs", "recipe", "image_extensions") if name not in manifest]
    lacking += [name for file in manifest["files"] for name in ("bytes", "sha256", "rows") if name not in file]
    if lacking:
        raise ConfigError(f"The manifest of '{release}' has no '{lacking[0]}': it is not one of a release.")
    if (version := manifest.get("schema_version")) != SCHEMA_VERSION:
        raise ConfigError(f"'{release}' has schema version {version}, this engine reads {SCHEMA_VERSION}.")
    return manifest


def _files(folder: Path, manifest: Mapping[str, Any]) -> Check:
    check = Check("files are those of the manifest")
    for file in manifest["files"]:
        path = folder / file["name"]
        if not path.is_file():
            check.faults.append(f"{file['name']} is missing")
        elif path.stat().st_size != file["bytes"]:
            check.faults.append(f"{file['name']} has {path.stat().st_size} bytes, the manifest says {file['bytes']}")
        elif (digest := sha256_file(str(path))) != file["sha256"]:
            check.faults.append(f"{file['name']} has sha256 {digest[:12]}..., not {file['sha256'][:12]}...")
    named = {file["name"] for file in manifest["files"]}
    read_by_loaders = (f"{SAMPLE_FILES}*", f"{PAIR_FILES}*")
    shards = (path for pattern in read_by_loaders for path in folder.glob(pattern))
    check.faults += [f"{path.name} is not in the manifest" for path in shards if path.name not in named]
    if not (folder / CARD_FILE).is_file():
        check.faults.append(f"{CARD_FILE} is missing: `datasets` would guess the features and fail")
    elif CARD in manifest and sha256_file(str(folder / CARD_FILE)) != manifest[CARD]:
        check.faults.append(f"{CARD_FILE} is not the one that was written with the release: `datasets` may read by it")
    check.detail = f"{len(named)} files"
    return check


def _told(check: Check, where: str, work: Callable[[], Any]) -> Any:
    """What it gives, or None: whatever a foreign reader raises is the finding."""
    try:
        return work()
    except ImportError as error:
        check.faults.append(_missing(error.name or str(error)))
    except Exception as error:  # noqa: BLE001  # the border with foreign readers
        check.faults.append(f"{where}: {type(error).__name__}: {_line(error)}")
    return None


def _missing(package: str) -> str:
    return f"{package} is not installed: {how_to_install(package)}"


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300]


class _Reading:
    """What is found shard by shard: the checks, and how much of everything each shard holds."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.stems = sorted(
            {Path(file["name"]).stem for file in manifest["files"] if file["name"].startswith(SAMPLE_FILES)}
        )
        self.tars = Check("webdataset reads every sample and decodes its image")
        self.tables = Check("pyarrow reads the same records, and finds every image")
        self.records = Check("annotations refer to what is there")
        self.pairs = Check("every pair asks what its task asks, and parses back to its annotations")
        self.pair_reading = PairReading(folder, manifest, self.pairs.faults)
        self.checks = [self.tars, self.tables, self.records, self.pairs]
        self.counts: dict[str, Counter[str]] = {}
        self.keys: set[str] = set()
        self.rows = 0
        self.beyond = 0  # people's boxes that leave their image: never changed, so told and not a fault

    def read(self, stem: str) -> None:
        samples = _told(self.tars, f"{stem}.tar", lambda: list(self._samples(f"{stem}.tar")))
        rows = _told(self.tables, f"{stem}.parquet", lambda: self._table(stem, samples))
        records = _told(self.records, stem, lambda: self._references(samples or rows or []))
        pairs = _told(self.pairs, stem, lambda: self.pair_reading.read(stem, samples, rows))
        self.counts[stem] = count_annotations(records or []) | Counter(pairs=pairs or 0)

    def count(self) -> None:
        """After the last shard: the sums, and whether they are the manifest's."""
        self.pair_reading.count()
        total = sum(self.counts.values(), Counter())
        self.pairs.detail = f"{total.pop('pairs', 0)} pairs of {len(self.pair_reading.proven)} tasks"
        said = {k: v for k, v in self.manifest["counts"].items() if k.split(".")[0] in ("images", *ANNOTATIONS)}
        for key in sorted({*total, *said}):
            if total[key] != said.get(key, 0):
                self.records.faults.append(f"{total[key]} {key} found, the manifest says {said.get(key, 0)}")
        self.tars.detail = f"{len(self.keys)} samples"
        self.tables.detail = f"{self.rows} rows"
        self.records.detail = f"{sum(total[name] for name in ANNOTATIONS)} annotations"
        if self.beyond:
            self.records.detail += f"; {self.beyond} boxes that people drew leave their image"

    def _samples(self, name: str) -> Iterator[Row]:
        """The records of one tar, each after its image was decoded and looked at."""
        import webdataset

        def undecodable(error: Exception) -> bool:
            self.tars.faults.append(f"{name}: {type(error).__name__}: {getattr(error, 'key', '')} {_line(error)}")
            return True

        extensions = self.manifest["image_extensions"]
        decoder = webdataset.imagehandler("pil", extensions=extensions)
        # A list, because braces in a string would be expanded.
        tar = webdataset.WebDataset([str(self.folder / name)], shardshuffle=False, empty_check=False)
        for sample in tar.decode(decoder, handler=undecodable):
            key = sample["__key__"]
            parts = sorted(part for part in sample if not part.startswith("__"))
            if not _KEY.fullmatch(key) or len(parts) != 2 or "json" not in parts or {*parts} - {"json", *extensions}:
                self.tars.faults.append(f"{name} holds '{key}' with {' and '.join(parts)}, not one image and its json")
                continue
            if key in self.keys:
                self.tars.faults.append(f"{name}: the key {key} occurs twice")
            self.keys.add(key)
            record = sample["json"]
            image = sample[next(part for part in parts if part != "json")]
            self.tars.faults += [f"{name}: {key} {fault}" for fault in _sample_faults(key, image, record)]
            yield record

    def _table(self, stem: str, samples: list[Row] | None) -> list[Row]:
        table = pq.read_table(self.folder / f"{stem}.parquet", page_checksum_verification=True)
        if not table.schema.equals(RELEASE):
            raise ValueError("its columns are not those of a release")
        rows: list[Row] = table.to_pylist()
        self.rows += len(rows)
        self.tables.faults += _differences(stem, samples, rows) if samples is not None else []
        self.tables.faults += _locator_faults(self.folder, f"{stem}.tar", rows)
        return rows

    def _references(self, records: list[Row]) -> list[Row]:
        for record in records:
            self.records.faults += [f"{record['image_id']}: {fault}" for fault in self._record_faults(record)]
        return records

    def _record_faults(self, record: Row) -> Iterator[str]:
        regions = {region["id"] for region in record["regions"]}
        ids = Counter(item["id"] for name in ANNOTATIONS for item in record[name])
        yield from (f"the annotation id {name} occurs {number} times" for name, number in ids.items() if number > 1)
        for region in record["regions"]:
            if not _inside(region, record["width"], record["height"]):
                if region["score"] is None:
                    self.beyond += 1
                else:
                    yield f"the box of {region['id']} does not lie in the {record['width']}x{record['height']} image"
        for item in record["region_texts"]:
            if item["region_id"] not in regions:
                yield f"{item['id']} is of {item['region_id']}, which is not there"
        texts = {text["id"]: text["text"] for text in record["texts"]}
        for phrase in record["phrases"]:
            yield from _phrase_faults(phrase, texts, regions)


def _upright(image: Any) -> Any:
    """As the card tells its readers to do it."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  # broken EXIF raises anything, and means: upright as stored
        return image


def _sample_faults(key: str, image: Any, record: Row) -> Iterator[str]:
    if list(record) != MEMBER.names:
        yield "has a json with other fields than a release has"
    elif record["image_id"] != key:
        yield f"has the json of {record['image_id']}"
    else:
        width, height = _upright(image).size
        if (width, height) != (record["width"], record["height"]):
            yield f"decodes to {width}x{height} upright, its json says {record['width']}x{record['height']}"


def _differences(stem: str, samples: Sequence[Row], rows: Sequence[Row]) -> Iterator[str]:
    if [row["image_id"] for row in rows] != [sample["image_id"] for sample in samples]:
        yield f"{stem}.parquet has other images than {stem}.tar, or in another order"
        return
    for row, sample in zip(rows, samples, strict=True):
        other = [name for name in SAMPLE.names if row[name] != sample[name]]
        if other:
            yield f"{row['image_id']} has other {', '.join(other)} in {stem}.parquet than in {stem}.tar"


def _locator_faults(folder: Path, tar: str, rows: Sequence[Row]) -> Iterator[str]:
    with (folder / tar).open("rb") as file:
        for row in rows:
            file.seek(row["offset"])
            digest = hashlib.sha256(file.read(row["length"])).hexdigest()
            if row["tar"] != tar or digest[:32] != row["image_id"]:
                yield f"the bytes of {row['image_id']} are not in {row['tar']} at {row['offset']}"


def count_annotations(records: Sequence[Row]) -> Counter[str]:
    """Images, annotations of each column, and of each granularity and kind, as in a manifest."""
    counts = Counter(images=len(records))
    for record in records:
        for column in ANNOTATIONS:
            counts[column] += len(record[column])
            for item in record[column]:
                counts.update(f"{column}.{item[name]}" for name in ("granularity", "kind") if name in item)
    return counts


def _inside(region: Row, width: int, height: int) -> bool:
    across: bool = -_SLACK <= region["x1"] < region["x2"] <= width + _SLACK
    down: bool = -_SLACK <= region["y1"] < region["y2"] <= height + _SLACK
    return across and down


def _phrase_faults(phrase: Row, texts: Mapping[str, str], regions: set[str]) -> Iterator[str]:
    text = texts.get(phrase["text_id"])
    if text is None:
        yield f"{phrase['id']} is of {phrase['text_id']}, which is not there"
    elif not 0 <= phrase["char_start"] < phrase["char_end"] <= len(text):
        yield f"{phrase['id']} spans {phrase['char_start']} to {phrase['char_end']} of {len(text)} characters"
    yield from (
        f"{phrase['id']} names {name}, which is not there" for name in phrase["region_ids"] if name not in regions
    )


# --- datasets --------------------------------------------------------------------------------


def _datasets(folder: Path, manifest: Mapping[str, Any], counts: Mapping[str, Row], scratch: Path) -> list[Check]:
    """Streamed and loaded whole, without a network and without leaving a cache behind."""
    if not manifest["counts"].get("images"):  # `datasets` refuses empty shards and empty folders alike
        return [Check(f"datasets reads the {kind}", "no images, nothing to load") for kind in _KINDS]
    checks = [Check(f"datasets reads the {kind}") for kind in _KINDS]
    stems = sorted(counts)
    size = sum(file["bytes"] for file in manifest["files"] if file["name"].endswith(".tar"))
    part, loaded = (folder, stems) if size <= _COPIED else (_part(folder, stems[0], scratch / "part"), stems[:1])
    answers = ask(folder, part, scratch / "cache")
    for check, (kind, unit) in zip(checks, _KINDS.items(), strict=True):
        if kind == "pairs" and not manifest["pairs"]["proven"]:
            check.detail = "no pairs, nothing to load"
            continue
        for way, seen_stems in (("streamed", stems), ("loaded", loaded)):
            wanted = {name: sum(counts[stem][name] for stem in seen_stems) for name in _KIND_COLUMNS[kind]}
            check.faults += _answer_faults(way, answers.get(f"{kind} {way}", answers), wanted)
        check.detail = f"{sum(counts[stem][unit] for stem in stems)} streamed, "
        check.detail += f"{sum(counts[stem][unit] for stem in loaded)} loaded"
    return checks


def _part(folder: Path, stem: str, part: Path) -> Path:
    """A release of one shard, by links."""
    part.mkdir()
    for name in (CARD_FILE, f"{stem}.tar", f"{stem}.parquet", f"{stem.replace(SAMPLE_FILES, PAIR_FILES, 1)}.parquet"):
        if (folder / name).exists():
            (part / name).symlink_to(folder / name)
    return part


def _answer_faults(way: str, answer: Row, wanted: Mapping[str, int]) -> Iterator[str]:
    if "missing" in answer:
        yield _missing(answer["missing"])
    elif "error" in answer:
        yield f"{way}: {_line(answer['error'])}"
    else:
        for name, number in wanted.items():
            if answer.get(name, 0) != number:
                yield f"{answer.get(name, 0)} {name} {way}, {number} are there"
