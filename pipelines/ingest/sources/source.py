"""Where images come from. Every file is an entry, image or not: the synthetic world is here, the other kinds have
files of their own beside this one.

Labels come with the frame they were made in; pipelines/ingest/labels.py turns them upright once ingest has read the
file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from engine.errors import ConfigError, unknown
from engine.schema import Answer
from pipelines.ingest.labels import Frame


@dataclass(frozen=True, slots=True)
class Entry:
    """One input, unopened."""

    uri: str
    fingerprint: str = ""  # size and time or etag; '' if the store does not tell (see also sources/containers.py)
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
    "folder": Kind("pipelines.ingest.sources.folder:Folder", ("path",), ("path", "licence", "include", "exclude")),
    "coco": Kind(
        "pipelines.ingest.sources.coco:CocoJson",
        ("instances", "images"),
        ("instances", "images", "captions", "licence", "frame"),
    ),
    "webdataset": Kind(
        "pipelines.ingest.sources.webdataset:WebDataset", ("path",), ("path", "captions", "captions_by", "licence")
    ),
    "parquet": Kind(
        "pipelines.ingest.sources.parquet:ParquetRows",
        ("path",),
        ("path", "image", "uri", "captions", "captions_by", "licence"),
    ),
    "uris": Kind("pipelines.ingest.sources.uris:UriList", ("path",), ("path", "base", "captions_by", "licence")),
    "world": Kind("pipelines.ingest.sources.source:World", ("url",), ("url",)),
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


# --- the synthetic world ------------------------------------------------------------------------


class World:
    """The drawn scenes of a world:// URL, with everything that is true of them. More images extend the same world."""

    def __init__(self, url: str) -> None:
        from specialists.synthetic.world import WorldOptions
        from specialists.synthetic.world_files import register

        register()
        self.options = WorldOptions.parse(url)
        self.name = self.options.name
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        from specialists.synthetic.world import scene, scene_uri

        for index in range(self.options.images):
            size = self.options.size
            labels = scene(index, self.options).truth
            yield Entry(scene_uri(index, self.options), "1", "CC0-1.0", labels, "upright", size, size)
