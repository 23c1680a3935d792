"""Where images come from. Every file is an entry, image or not: a folder and the synthetic world are here, the other
kinds have chapters of their own: coco_json, tar_source, parquet_source, uri_source.

Labels come with the frame they were made in: `stored` (as the pixels lie in the file), `upright` (after EXIF), or
`auto`: whichever of the two has the size the labels name. Ingest turns them upright once it has seen the file.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from engine.containers import split_uri
from engine.errors import ConfigError, ImageError, StorageError, unknown
from engine.images import Header, orient_box, orient_quad, orient_rle
from engine.schema import ANNOTATIONS, Answer
from engine.storage import storage_errors
from engine.web import is_web

Frame = Literal["stored", "upright", "auto"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One input, unopened."""

    uri: str
    fingerprint: str = ""  # size and time or etag, see also pipelines.containers; '' if the store does not tell
    licence: str = ""
    labels: Answer | None = None  # what the source says of it; people's annotations have no score
    frame: Frame = "upright"
    width: int = 0  # of the frame the labels were made in; 0 if it is not known
    height: int = 0
    offset: int = 0  # inside a container, such as a tar
    length: int = -1  # -1: the whole file
    reason: str = ""  # an input that the listing knows to be no image: a short fixed word, and the sentence in `error`
    error: str = ""


class Source(Protocol):
    """`name` is stable: inputs are known again by it. `whole`: containers that need not be opened again.

    After `entries` is exhausted, `left_out` counts by reason what the source holds and no entry gives (a mask that is
    not of its image), and `notes` are sentences a person should read (which frame was taken where both fit).
    """

    left_out: Counter[str]
    notes: list[str]

    @property
    def name(self) -> str: ...

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]: ...


def open_source(spec: Mapping[str, Any] | str) -> Source:
    """A folder or world:// URL, or {folder: ...}, {webdataset: ...} and so on, with options beside or below it."""
    if isinstance(spec, str):
        return World(spec) if spec.startswith("world:") else Folder(spec)
    kinds = [key for key in spec if key in KINDS]
    if len(kinds) != 1:
        strange = next(iter(spec), "")
        if strange and not kinds:
            raise unknown("source", str(strange), KINDS)
        *others, last = (f"{kind}:" for kind in KINDS)
        found = ", ".join(map(str, spec)) or "nothing"
        raise ConfigError(f"A source is one of {', '.join(others)} or {last}, found {found}.")
    kind = kinds[0]
    options = dict(spec[kind]) if isinstance(spec[kind], Mapping) else {KINDS[kind].needs[0]: spec[kind]}
    options |= {key: value for key, value in spec.items() if key != kind}
    options = {key: _checked(kind, key, value) for key, value in options.items()}
    missing = [key for key in KINDS[kind].needs if not options.get(key)]
    if missing:
        raise ConfigError(f"The source '{kind}' lacks {' and '.join(missing)}.")
    module, _, name = KINDS[kind].target.partition(":")
    source: Source = getattr(import_module(module), name)(**options)
    return source


@dataclass(frozen=True, slots=True)
class Kind:
    """What a recipe may say of a source of this kind. The first of `needs` is what stands behind its name."""

    target: str
    needs: tuple[str, ...]
    options: tuple[str, ...]


KINDS = {
    "folder": Kind("pipelines.sources:Folder", ("path",), ("path", "licence", "include", "exclude")),
    "coco": Kind(
        "pipelines.coco_json:CocoJson",
        ("instances", "images"),
        ("instances", "images", "captions", "licence", "frame"),
    ),
    "webdataset": Kind("pipelines.tar_source:WebDataset", ("path",), ("path", "captions", "captions_by", "licence")),
    "parquet": Kind(
        "pipelines.parquet_source:ParquetRows",
        ("path",),
        ("path", "image", "uri", "captions", "captions_by", "licence"),
    ),
    "uris": Kind("pipelines.uri_source:UriList", ("path",), ("path", "base", "captions_by", "licence")),
    "world": Kind("pipelines.sources:World", ("url",), ("url",)),
}
_LISTS = {  # options that may be one text or several
    ("folder", "include"): "globs such as ['*.jpg']",
    ("folder", "exclude"): "globs such as ['*.jpg']",
    ("webdataset", "captions"): "members such as [txt, json.caption]",
    ("parquet", "captions"): "columns such as [caption]",
}


def _checked(kind: str, key: str, value: Any) -> Any:
    if key not in KINDS[kind].options:
        raise unknown(f"option of the source '{kind}'", str(key), KINDS[kind].options)
    if expected := _LISTS.get((kind, key)):
        several = [value] if isinstance(value, str) else value
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            raise ConfigError(f"The source '{kind}' has {key}: {value!r}, expected a list of {expected}.")
        return several
    if not isinstance(value, str):
        raise ConfigError(f"The source '{kind}' has {key}: {value!r}, expected a text.")
    return value


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
    except round in circles. A broken link is an entry, so that ingest can say it is missing. `include` and
    `exclude` are globs over the path below the folder; what they leave out is no input.
    """

    def __init__(
        self, path: str, licence: str = "", include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
    ) -> None:
        self.name, self._fs = normalised(path)
        self.licence, self.include, self.exclude = licence, include, exclude
        self._all = list(include) == ["*"] and not exclude
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []

    def _wanted(self, uri: str) -> bool:
        path = uri.removeprefix(self.name).lstrip("/")
        included, excluded = (any(fnmatchcase(path, glob) for glob in globs) for globs in (self.include, self.exclude))
        return included and not excluded

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        if self._fs is None:
            _check_folder(self.name, exists=os.path.exists(self.name), is_folder=os.path.isdir(self.name))
            found = _walk_local(self.name, (os.path.realpath(self.name),))
        else:
            root = self._fs._strip_protocol(self.name)
            _check_folder(self.name, exists=self._fs.exists(root), is_folder=self._fs.isdir(root))
            found = _walk_remote(self._fs, root)
        for uri, fingerprint in found:
            if self._all or self._wanted(uri):
                yield Entry(sayable(uri), fingerprint, self.licence)


def _check_folder(name: str, *, exists: bool, is_folder: bool) -> None:
    if not exists:
        raise ConfigError(f"No folder '{name}': check the path of the source.")
    if not is_folder:
        raise ConfigError(f"'{name}' is a file: give the folder it lies in.")


def normalised(path: str) -> tuple[str, Any]:
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
        if _is_folder(item):
            real = os.path.realpath(item.path) if item.is_symlink() else item.path
            if real not in above:
                yield from _walk_local(item.path, (*above, real))
            continue
        fingerprint = local_fingerprint(item)
        if fingerprint is not None:
            yield item.path, fingerprint


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # links that lead round in circles
        return False


def local_fingerprint(item: os.DirEntry[str] | Path) -> str | None:
    """None for what is no file; '' for what is not there."""
    try:
        status = item.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None


def _walk_remote(fs: Any, folder: str) -> Iterator[tuple[str, str]]:
    folder = folder.rstrip("/")
    try:
        listed = sorted(fs.ls(folder, detail=True), key=lambda info: str(info["name"]))
    except PermissionError as error:
        raise StorageError(f"No permission to list the folder '{folder}'.") from error
    for info in listed:
        path = str(info["name"]).rstrip("/")
        name = path.rsplit("/", 1)[-1]
        if path == folder or name.startswith("."):  # some stores list the folder itself, as an empty object
            continue
        if info["type"] == "directory":
            yield from _walk_remote(fs, path)
        elif not str(info["name"]).endswith("/"):
            yield str(fs.unstrip_protocol(path)), remote_fingerprint(info)


def remote_fingerprint(info: Mapping[str, Any]) -> str:
    """Size and whatever the store tells of the version, as far as it is stable from one listing to the next."""
    version = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created") if info.get(key)), ""
    )
    version = version.isoformat() if hasattr(version, "isoformat") else version
    return f"{info['size']}-{version}".replace('"', "") if version and info.get("size") is not None else ""


def absolute(name: str, folder: str) -> str:
    """A URI, or the path of a file, given as it is or below a folder."""
    return sayable(name if "://" in name or name.startswith("/") else f"{folder}/{name}")


class Fingerprints:
    """Of files that are named one by one: a remote folder is listed once, not asked for each of its files."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, str]] = {}

    def of(self, uri: str) -> str:
        """'' for what is not there, or not told."""
        _, _, uri = split_uri(uri)
        if "://" not in uri:
            return local_fingerprint(Path(uri)) or ""
        if is_web(uri):
            return ""  # asking costs as much as reading it
        folder = uri.rsplit("/", 1)[0] if uri.count("/") > 2 else uri  # scheme://name has none
        if folder not in self._listed:
            self._listed[folder] = dict(_files_of(folder))
        return self._listed[folder].get(uri, "")


def _files_of(folder: str) -> list[tuple[str, str]]:
    """Nothing where a folder is not there or must not be listed: what is wrong is told when a file is read."""
    try:
        _, fs = normalised(folder)
        with storage_errors(folder):
            listed = fs.ls(fs._strip_protocol(folder), detail=True)
    except (FileNotFoundError, NotADirectoryError, NotImplementedError, ConfigError):
        return []
    except StorageError as error:
        if isinstance(error.__cause__, PermissionError):
            return []
        raise
    files = (info for info in listed if info["type"] != "directory")
    return [(str(fs.unstrip_protocol(str(info["name"]))), remote_fingerprint(info)) for info in files]


def sayable(uri: str) -> str:
    try:
        uri.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"The file name {uri!r} is not UTF-8: rename the file.") from None
    return uri


# --- the synthetic world ------------------------------------------------------------------------


class World:
    """The drawn scenes of a world:// URL, with everything that is true of them. More images extend the same world."""

    def __init__(self, url: str) -> None:
        from specialists.synthetic import WorldOptions
        from specialists.synthetic_files import register

        register()
        self.options = WorldOptions.parse(url)
        self.name = self.options.name
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        from specialists.synthetic import scene, scene_uri

        for index in range(self.options.images):
            size = self.options.size
            labels = scene(index, self.options).truth
            yield Entry(scene_uri(index, self.options), "1", "CC0-1.0", labels, "upright", size, size)
