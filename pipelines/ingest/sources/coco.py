"""A COCO json as a source: its images, boxes, masks, category names, and the captions of a second json.

An annotation may have a `caption` too, as jsons of dense captions have: it is kept as what people said of this region,
to be measured by; no specialist hands it on.

COCO's boxes are x, y, width, height; ours are corners. Which frame they are in, stored or upright, COCO does not
say: by default the size the json gives decides, once the file has been seen.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterator
from urllib.parse import unquote

from engine.errors import ConfigError, ImageError, unknown
from engine.keys import stable_hash
from engine.schema import Answer, as_row
from pipelines.ingest.labels import Frame
from pipelines.ingest.sources.coco_rows import CocoRows, Photo, file_name
from pipelines.ingest.sources.coco_values import short
from pipelines.ingest.sources.fingerprints import Fingerprints
from pipelines.ingest.sources.source import Entry
from pipelines.ingest.sources.source_path import resolve_source


class CocoJson:
    """The images a COCO json names, with its boxes, masks and category names, and the captions of a second json.

    A crowd keeps its label and has the score kind "crowd": it stands for many objects, so it is no truth for one.
    Boxes are clipped to the image. What cannot be used costs its row and is counted in `left_out`; an image whose
    file name is none, or not below the folder, is an input with a reason.
    """

    def __init__(
        self, instances: str, images: str, captions: str = "", licence: str = "", frame: Frame = "auto"
    ) -> None:
        if frame not in ("stored", "upright", "auto"):
            raise unknown("frame", frame, ("stored", "upright", "auto"))
        self.name = resolve_source(instances)[0]
        self.folder, fs = resolve_source(images)
        self.captions, self.licence, self.frame = captions and resolve_source(captions)[0], licence, frame
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self._local = fs is None
        self._folders = (self.folder, os.path.realpath(self.folder)) if self._local else (self.folder,)
        self._versions = Fingerprints()

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        """In the order of the json."""
        self.left_out.clear()
        rows = CocoRows(self.name, self.captions, self.left_out)
        places = [self._place(number, file_name(image)) for number, image in rows.images]
        wrong = [place for place in places if isinstance(place, ImageError)]
        if wrong and len(wrong) == len(places):
            raise ConfigError(f"No image of '{self.name}' can be found: {wrong[0]}.")
        for photo, place in zip(rows.photos(), places, strict=True):
            yield self._nameless(photo, place) if isinstance(place, ImageError) else self._entry(photo, place)
        self.notes[:] = rows.notes()

    def _entry(self, photo: Photo, uri: str) -> Entry:
        licence = photo.licence or self.licence
        return Entry(
            uri, self._fingerprint(uri, photo.labels), licence, photo.labels, self.frame, photo.width, photo.height
        )

    def _nameless(self, photo: Photo, error: ImageError) -> Entry:
        """An input that no file can be found for."""
        fingerprint = stable_hash([photo.name.encode("utf-8", "backslashreplace").decode()])[:8]
        return Entry(f"{self.name}#images/{photo.number}", fingerprint, reason=error.reason, error=str(error))

    def _fingerprint(self, uri: str, labels: Answer) -> str:
        """Of the file, of what is said of it and of the frame: other labels make it a new input."""
        said = [as_row(item) for item in (*labels.regions, *labels.texts, *labels.region_texts)]
        frame = [self.frame] if self.frame != "auto" and labels.regions else []
        return "-".join([self._versions.of(uri), *([stable_hash([*said, *frame])[:8]] if said else [])])

    def _place(self, number: int, name: str) -> str | ImageError:
        """The path or URL of its file, or why there is none. Nothing outside of the folder is ever opened."""
        if not name:
            return ImageError("no_file_name", f"image number {number} of '{self.name}' has no file_name")
        if "\0" in name or name != name.encode("utf-8", "replace").decode():
            return ImageError("no_file_name", f"no file has the file_name {short(name)} of image number {number}")
        for below in self._readings(name):
            path = posixpath.normpath(below)
            if path != "." and path.split("/")[0] != "..":
                return f"{self.folder}/{path}"
        return ImageError("outside_folder", f"the file_name {short(name)} is not below the folder '{self.folder}'")

    def _readings(self, name: str) -> Iterator[str]:
        """The name relative to the folder, for each way to read it that makes it so."""
        if self._local and name.startswith("file://"):
            path = re.sub("^file://(localhost(?=/))?", "", name)
            name = path if os.path.lexists(path) else unquote(path)
        if "\\" in name and not (self._local and os.path.lexists(f"{self.folder}/{name}")):
            name = name.replace("\\", "/")  # as Windows writes it
        if not (name.startswith("/") or "://" in name or re.match("[A-Za-z]:/", name)):
            yield name
        for folder in self._folders:
            if name.startswith(f"{folder}/"):
                yield name[len(folder) + 1 :]
