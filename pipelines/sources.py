"""Where images come from: a folder, a COCO json, the synthetic world. Every file is an entry, image or not.

Labels come with the frame they were made in: `stored` (as the pixels lie in the file), `upright` (after EXIF), or
`auto`: whichever of the two has the size the labels name. Ingest turns them upright once it has seen the file.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from engine.answers import HUMAN
from engine.errors import ConfigError, EngineError, ImageError, StorageError, unknown
from engine.images import Header, orient_box, orient_quad, orient_rle
from engine.schema import ANNOTATIONS, Answer, Region, Text

Frame = Literal["stored", "upright", "auto"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One input, unopened."""

    uri: str
    fingerprint: str = ""  # size and time or etag; '' if the store does not tell
    licence: str = ""
    labels: Answer | None = None  # human annotations, without scores
    frame: Frame = "upright"
    width: int = 0  # of the frame the labels were made in; 0 if it is not known
    height: int = 0


class Source(Protocol):
    """`name` is stable: inputs are known again by it."""

    @property
    def name(self) -> str: ...

    def entries(self) -> Iterator[Entry]: ...


def open_source(spec: Mapping[str, Any] | str) -> Source:
    """A folder or world:// URL, or {folder: ...}, {world: ...}, {coco: {instances: ..., images: ...}}."""
    if isinstance(spec, str):
        return World(spec) if spec.startswith("world:") else Folder(spec)
    kinds = [key for key in spec if key in ("folder", "coco", "world")]
    if len(kinds) != 1:
        strange = next(iter(spec), "")
        if strange and not kinds:
            raise unknown("source", str(strange), ("folder", "coco", "world"))
        raise ConfigError(
            f"A source is one of folder:, coco: or world:, found {', '.join(map(str, spec)) or 'nothing'}."
        )
    kind = kinds[0]
    options = dict(spec[kind]) if isinstance(spec[kind], Mapping) else {_FIRST[kind]: spec[kind]}
    options |= {key: value for key, value in spec.items() if key != kind}
    for key, value in options.items():
        if key not in _OPTIONS[kind]:
            raise unknown(f"option of the source '{kind}'", key, _OPTIONS[kind])
        if not isinstance(value, str):
            raise ConfigError(f"The source '{kind}' has {key}: {value!r}, expected a text.")
    missing = [key for key in _REQUIRED[kind] if not options.get(key)]
    if missing:
        raise ConfigError(f"The source '{kind}' lacks {' and '.join(missing)}.")
    made: dict[str, type[Any]] = {"folder": Folder, "coco": CocoJson, "world": World}
    source: Source = made[kind](**options)
    return source


_FIRST = {"folder": "path", "coco": "instances", "world": "url"}
_REQUIRED = {"folder": ("path",), "coco": ("instances", "images"), "world": ("url",)}
_OPTIONS = {
    "folder": ("path", "licence"),
    "coco": ("instances", "images", "captions", "licence", "frame"),
    "world": ("url",),
}


# --- labels to the upright frame ----------------------------------------------------------------


def upright_labels(row: Mapping[str, Any], header: Header) -> dict[str, list[dict[str, Any]]]:
    """The annotation columns of a listed input, turned upright. ImageError if they are of another picture."""
    orientation = _turn(row, header)
    labels = {name: [dict(item) for item in row[name]] for name in ANNOTATIONS}
    if orientation != 1:
        width, height = header.stored_size
        for region in labels["regions"]:
            box = orient_box((region["x1"], region["y1"], region["x2"], region["y2"]), width, height, orientation)
            region.update(zip(("x1", "y1", "x2", "y2"), box, strict=True))
            region["quad"] = orient_quad(region["quad"], width, height, orientation)
            region["rle"] = orient_rle(region["rle"], width, height, orientation)
    return labels


def _turn(row: Mapping[str, Any], header: Header) -> int:
    """The orientation that is still to be applied to the labels."""
    size, upright = (row["frame_width"], row["frame_height"]), (header.width, header.height)
    stored_fits, upright_fits = (size in ((0, 0), frame) for frame in (header.stored_size, upright))
    if row["frame"] in ("stored", "auto") and stored_fits and not (row["frame"] == "auto" and size == (0, 0)):
        return header.orientation
    if row["frame"] in ("upright", "auto") and upright_fits:
        return 1
    raise ImageError(
        "labels_of_another_size",
        f"its labels were made on {size[0]} x {size[1]} pixels, the file has {upright[0]} x {upright[1]}",
    )


# --- a folder -----------------------------------------------------------------------------------


class Folder:
    """Every file below a folder of any file system fsspec knows, folder by folder, names sorted.

    Left out: hidden files and folders (leading dot), and what is no file (pipes, sockets). Links are followed,
    except round in circles. A broken link is an entry, so that ingest can say it is missing.
    """

    def __init__(self, path: str, licence: str = "") -> None:
        self.name, self._fs = _normalised(path)
        self.licence = licence

    def entries(self) -> Iterator[Entry]:
        if self._fs is None:
            _check_folder(self.name, os.path.exists(self.name), os.path.isdir(self.name))
            found = _walk_local(self.name, (os.path.realpath(self.name),))
        else:
            root = self._fs._strip_protocol(self.name)
            _check_folder(self.name, self._fs.exists(root), self._fs.isdir(root))
            found = _walk_remote(self._fs, root)
        for uri, fingerprint in found:
            yield Entry(_sayable(uri), fingerprint, self.licence)


def _check_folder(name: str, exists: bool, is_folder: bool) -> None:  # noqa: FBT001
    if not exists:
        raise ConfigError(f"No folder '{name}': check the path of the source.")
    if not is_folder:
        raise ConfigError(f"'{name}' is a file: give the folder it lies in.")


def _normalised(path: str) -> tuple[str, Any]:
    """An absolute local path and None, or a URL and its file system."""
    if urlsplit(path).scheme in ("", "file", "local") or "://" not in path:
        local = path.split("://", 1)[1] if "://" in path else path
        return os.path.abspath(Path(local).expanduser()), None
    import fsspec

    try:
        # Listings are read once; keeping them would hold every name of a bucket in memory.
        fs, root = fsspec.core.url_to_fs(path, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"Cannot open the source '{path}': {error}") from error
    return str(fs.unstrip_protocol(root)).rstrip("/"), fs


def _walk_local(folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(folder) as found:
            items = sorted((item for item in found if not item.name.startswith(".")), key=lambda item: item.name)
    except PermissionError as error:
        raise StorageError(f"No permission to list the folder '{folder}'.") from error
    for item in items:
        if item.is_dir():
            real = os.path.realpath(item.path) if item.is_symlink() else item.path
            if real not in above:
                yield from _walk_local(item.path, (*above, real))
            continue
        fingerprint = _local_fingerprint(item)
        if fingerprint is not None:
            yield item.path, fingerprint


def _local_fingerprint(item: os.DirEntry[str] | Path) -> str | None:
    """None for what is no file; '' for what is not there."""
    try:
        status = item.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None


def _walk_remote(fs: Any, folder: str) -> Iterator[tuple[str, str]]:
    folder = folder.rstrip("/")
    for info in sorted(fs.ls(folder, detail=True), key=lambda info: str(info["name"])):
        path = str(info["name"]).rstrip("/")
        name = path.rsplit("/", 1)[-1]
        if path == folder or name.startswith("."):  # some stores list the folder itself, as an empty object
            continue
        if info["type"] == "directory":
            yield from _walk_remote(fs, path)
        elif not str(info["name"]).endswith("/"):
            yield str(fs.unstrip_protocol(path)), _remote_fingerprint(info)


def _remote_fingerprint(info: Mapping[str, Any]) -> str:
    """Size and whatever the store tells of the version, as far as it is stable from one listing to the next."""
    version = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created") if info.get(key)), ""
    )
    version = version.isoformat() if hasattr(version, "isoformat") else version
    return f"{info['size']}-{version}".replace('"', "") if version and info.get("size") is not None else ""


def _sayable(uri: str) -> str:
    try:
        uri.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"The file name {uri!r} is not UTF-8: rename the file.") from None
    return uri


# --- COCO ---------------------------------------------------------------------------------------


class CocoJson:
    """The images a COCO json names, with its boxes, masks and category names, and the captions of a second json.

    A crowd keeps its label and has the score kind "crowd": it stands for many objects, so it is no truth for one.
    Boxes are clipped to the image. `left_out` counts what could not be told: boxes without area, masks whose
    size is not their image's (the box stays).
    """

    def __init__(
        self, instances: str, images: str, captions: str = "", licence: str = "", frame: Frame = "auto"
    ) -> None:
        if frame not in ("stored", "upright", "auto"):
            raise unknown("frame", frame, ("stored", "upright", "auto"))
        self.name = _normalised(instances)[0]
        self.folder, self._fs = _normalised(images)
        self.captions, self.licence, self.frame = captions and _normalised(captions)[0], licence, frame
        self.left_out: Counter[str] = Counter()
        self._listed: dict[str, dict[str, str]] = {}

    def entries(self) -> Iterator[Entry]:
        """In the order of the json."""
        content = _read_coco(self.name, ("images", "annotations", "categories"))
        boxes = _by_image(content["annotations"], self.name, ("image_id", "bbox", "category_id"))
        texts: dict[Any, list[Any]] = {}
        if self.captions:
            texts = _by_image(
                _read_coco(self.captions, ("annotations",))["annotations"], self.captions, ("image_id", "caption")
            )
        categories = {item["id"]: str(item["name"]) for item in content["categories"]}
        licences = {item.get("id"): str(item.get("name", "")) for item in content.get("licenses") or []}
        for image in content["images"]:
            _check_keys(image, ("id", "file_name"), f"an image of '{self.name}'")
            width, height = int(image.get("width") or 0), int(image.get("height") or 0)
            labels = self._regions(boxes.get(image["id"], []), categories, width, height)
            _add_captions(labels, texts.get(image["id"], []))
            uri = self._uri(str(image["file_name"]))
            licence = licences.get(image.get("license"), "") or self.licence
            yield Entry(uri, self._fingerprint(uri), licence, labels, self.frame, width, height)

    def _uri(self, name: str) -> str:
        if name.startswith("/") or "://" in name or ".." in name.split("/"):
            raise ConfigError(f"'{self.name}' names '{name}', which is not below the folder of its images.")
        return _sayable(f"{self.folder}/{name}")

    def _fingerprint(self, uri: str) -> str:
        if self._fs is None:
            return _local_fingerprint(Path(uri)) or ""
        folder = uri.rsplit("/", 1)[0]
        if folder not in self._listed:  # one listing a folder: asking for each file would be a request each
            try:
                self._listed[folder] = dict(_files_of(self._fs, folder))
            except (FileNotFoundError, NotADirectoryError):
                self._listed[folder] = {}
        return self._listed[folder].get(uri, "")

    def _regions(self, items: Sequence[Any], categories: Mapping[Any, str], width: int, height: int) -> Answer:
        answer = Answer()
        for item in items:
            if item["category_id"] not in categories:
                raise ConfigError(
                    f"Annotation {item.get('id')} in '{self.name}' has category {item['category_id']}, which categories does not list."
                )
            box = _corners(item["bbox"], width, height)
            if box is None:
                self.left_out["a box without area"] += 1
                continue
            region = Region(*box, categories[item["category_id"]], id=_id(answer), producer=HUMAN)
            region.score_kind = "crowd" if item.get("iscrowd") else ""
            region.rle = self._rle(item.get("segmentation"), width, height)
            answer.regions.append(region)
        return answer

    def _rle(self, segmentation: Any, width: int, height: int) -> str:
        from engine import masks

        if not segmentation or not width or not height:
            return ""
        try:
            if not isinstance(segmentation, Mapping):
                return masks.from_polygons(segmentation, width=width, height=height)
            counts = segmentation["counts"]
            if isinstance(counts, str):
                masks.area(counts, width=width, height=height)
                return counts
            return masks.from_counts(counts, width=width, height=height)
        except (EngineError, KeyError, TypeError, ValueError):
            self.left_out["a mask that is not of its image"] += 1
            return ""


def _files_of(fs: Any, folder: str) -> Iterator[tuple[str, str]]:
    for info in fs.ls(fs._strip_protocol(folder), detail=True):
        if info["type"] != "directory":
            yield str(fs.unstrip_protocol(str(info["name"]))), _remote_fingerprint(info)


def _read_coco(uri: str, keys: Sequence[str]) -> dict[str, Any]:
    """The json, checked as far as every reader of it relies on."""
    from engine.storage import read_source

    try:
        content = json.loads(read_source(uri))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ConfigError(f"No file '{uri}': give the COCO json.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{uri}' is not JSON: {error}.") from None
    missing = [key for key in keys if not (isinstance(content, dict) and isinstance(content.get(key), list))]
    if missing:
        raise ConfigError(f"'{uri}' is not a COCO json: it has no list {' and no list '.join(missing)}.")
    answer: dict[str, Any] = content
    return answer


def _by_image(items: Sequence[Any], uri: str, keys: Sequence[str]) -> dict[Any, list[Any]]:
    answer: dict[Any, list[Any]] = {}
    for item in items:
        _check_keys(item, keys, f"an annotation of '{uri}'")
        answer.setdefault(item["image_id"], []).append(item)
    return answer


def _check_keys(item: Any, keys: Sequence[str], what: str) -> None:
    missing = [key for key in keys if not isinstance(item, Mapping) or key not in item]
    if missing:
        raise ConfigError(f"Not COCO: {what} has no {' and no '.join(missing)}.")


def _corners(bbox: Sequence[float], width: int, height: int) -> tuple[float, float, float, float] | None:
    """COCO's x, y, width, height as corners inside the image; None without area."""
    x1, y1 = max(float(bbox[0]), 0.0), max(float(bbox[1]), 0.0)
    x2, y2 = float(bbox[0]) + float(bbox[2]), float(bbox[1]) + float(bbox[3])
    x2, y2 = min(x2, width or x2), min(y2, height or y2)
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None  # NaN has no area either


def _add_captions(answer: Answer, items: Sequence[Any]) -> None:
    for item in items:
        text = str(item["caption"]).strip()
        if text:
            answer.texts.append(Text(text, "brief", id=_id(answer), producer=HUMAN))


def _id(answer: Answer) -> str:
    return f"{HUMAN}/{len(answer.regions) + len(answer.texts)}"


# --- the synthetic world ------------------------------------------------------------------------


class World:
    """The drawn scenes of a world:// URL, with everything that is true of them. More images extend the same world."""

    def __init__(self, url: str) -> None:
        from specialists.synthetic import WorldOptions
        from specialists.synthetic_files import register

        register()
        self.options = WorldOptions.parse(url)
        self.name = self.options.name

    def entries(self) -> Iterator[Entry]:
        from specialists.synthetic import scene, scene_uri

        for index in range(self.options.images):
            size = self.options.size
            labels = scene(index, self.options).truth
            yield Entry(scene_uri(index, self.options), "1", "CC0-1.0", labels, "upright", size, size)
