"""Where images come from: a folder, a COCO json, the synthetic world. Every file is an entry, image or not.

Labels come with the frame they were made in: `stored` (as the pixels lie in the file), `upright` (after EXIF), or
`auto`: whichever of the two has the size the labels name. Ingest turns them upright once it has seen the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from engine.errors import ConfigError, ImageError, StorageError, unknown
from engine.images import Header, orient_box, orient_quad, orient_rle
from engine.schema import ANNOTATIONS, Answer

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
    for key, value in list(options.items()):
        if key not in _OPTIONS[kind]:
            raise unknown(f"option of the source '{kind}'", key, _OPTIONS[kind])
        if key in ("include", "exclude"):
            options[key] = _globs(kind, key, value)
        elif not isinstance(value, str):
            raise ConfigError(f"The source '{kind}' has {key}: {value!r}, expected a text.")
    missing = [key for key in _REQUIRED[kind] if not options.get(key)]
    if missing:
        raise ConfigError(f"The source '{kind}' lacks {' and '.join(missing)}.")
    from pipelines.coco_json import CocoJson

    made: dict[str, type[Any]] = {"folder": Folder, "coco": CocoJson, "world": World}
    source: Source = made[kind](**options)
    return source


def _globs(kind: str, key: str, value: Any) -> list[str]:
    globs = [value] if isinstance(value, str) else value
    if not isinstance(globs, list) or not all(isinstance(glob, str) for glob in globs):
        raise ConfigError(f"The source '{kind}' has {key}: {value!r}, expected a list of globs such as ['*.jpg'].")
    return globs


_FIRST = {"folder": "path", "coco": "instances", "world": "url"}
_REQUIRED = {"folder": ("path",), "coco": ("instances", "images"), "world": ("url",)}
_OPTIONS = {
    "folder": ("path", "licence", "include", "exclude"),
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
    except round in circles. A broken link is an entry, so that ingest can say it is missing. `include` and
    `exclude` are globs over the path below the folder; what they leave out is no input.
    """

    def __init__(
        self, path: str, licence: str = "", include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
    ) -> None:
        self.name, self._fs = normalised(path)
        self.licence, self.include, self.exclude = licence, include, exclude

    def _wanted(self, uri: str) -> bool:
        path = uri.removeprefix(self.name).lstrip("/")
        included, excluded = (any(fnmatchcase(path, glob) for glob in globs) for globs in (self.include, self.exclude))
        return included and not excluded

    def entries(self) -> Iterator[Entry]:
        if self._fs is None:
            _check_folder(self.name, exists=os.path.exists(self.name), is_folder=os.path.isdir(self.name))
            found = _walk_local(self.name, (os.path.realpath(self.name),))
        else:
            root = self._fs._strip_protocol(self.name)
            _check_folder(self.name, exists=self._fs.exists(root), is_folder=self._fs.isdir(root))
            found = _walk_remote(self._fs, root)
        for uri, fingerprint in found:
            if self._wanted(uri):
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

    def entries(self) -> Iterator[Entry]:
        from specialists.synthetic import scene, scene_uri

        for index in range(self.options.images):
            size = self.options.size
            labels = scene(index, self.options).truth
            yield Entry(scene_uri(index, self.options), "1", "CC0-1.0", labels, "upright", size, size)
