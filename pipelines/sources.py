"""Where images come from. Every file is an entry, image or not: the synthetic world is here, the other kinds have
chapters of their own: folder_source, coco_json, tar_source, parquet_source, uri_source.

Labels come with the frame they were made in: `stored` (as the pixels lie in the file), `upright` (after EXIF), or
`auto`: whichever of the two has the size the labels name. Ingest turns them upright once it has seen the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol

from engine.errors import ConfigError, ImageError, unknown
from engine.images import Header, orient_box, orient_quad, orient_rle
from engine.schema import ANNOTATIONS, Answer

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
        spec = {"world" if spec.startswith("world:") else "folder": spec}
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
    "folder": Kind("pipelines.folder_source:Folder", ("path",), ("path", "licence", "include", "exclude")),
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
