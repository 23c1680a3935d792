"""A COCO json as a source: images, boxes, masks and category names, with captions from a second json.

COCO's boxes are x, y, width, height; ours are corners. COCO does not define whether boxes are in the stored or the
upright frame. By default the frame is the one that has the image size given in the json. If an annotation has a
`caption`, as in dense captions, it becomes a human description of its region, which is used only for measuring.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import ClassVar
from urllib.parse import unquote

from engine.errors import ConfigError, ImageError, unknown
from engine.keys import stable_hash
from engine.schema import Answer, as_row
from pipelines.ingest.labels import Frame
from pipelines.ingest.sources.coco_rows import CocoRows, Photo, file_name
from pipelines.ingest.sources.coco_values import short
from pipelines.ingest.sources.fingerprints import Fingerprints
from pipelines.ingest.sources.source import LICENCE, Entry
from pipelines.ingest.sources.source_path import resolve_source


class CocoJson:
    """The images of a COCO json with their labels.

    A crowd keeps its label and gets the score kind "crowd", because it is not the truth for a single object. Boxes are
    clipped to the image. Rows that cannot be used are counted in `left_out`. If an image has no usable file name, or
    one that leads out of the folder, it is listed with a reason.
    """

    OPTIONS: ClassVar = {
        "instances": "the json with images, annotations and categories",
        "images": "the folder that file names are relative to",
        "captions": "a json of captions",
        "licence": LICENCE,
        "frame": (
            "what boxes and masks were drawn on. upright: the photo after its EXIF rotation, as browsers show it; "
            "stored: the pixels as they are in the file; auto (default): the one that has the width and height in the "
            "json, and upright if both have (square photos, rotations by 180 degrees, mirrors), which the run reports"
        ),
    }

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
        """Yields all images in the order of the json."""
        self.left_out.clear()
        rows = CocoRows(self.name, self.captions, self.left_out)
        uris = [self._uri(number, file_name(image)) for number, image in rows.images]
        wrong = [uri for uri in uris if isinstance(uri, ImageError)]
        if wrong and len(wrong) == len(uris):
            raise ConfigError(f"No image of '{self.name}' can be found: {wrong[0]}.")
        for photo, uri in zip(rows.photos(), uris, strict=True):
            yield self._without_file(photo, uri) if isinstance(uri, ImageError) else self._entry(photo, uri)
        self.notes[:] = rows.notes()

    def _entry(self, photo: Photo, uri: str) -> Entry:
        licence = photo.licence or self.licence
        return Entry(
            uri, self._fingerprint(uri, photo.labels), licence, photo.labels, self.frame, photo.width, photo.height
        )

    def _without_file(self, photo: Photo, error: ImageError) -> Entry:
        fingerprint = stable_hash([photo.name.encode("utf-8", "backslashreplace").decode()])[:8]
        return Entry(f"{self.name}#images/{photo.number}", fingerprint, reason=error.reason, error=str(error))

    def _fingerprint(self, uri: str, labels: Answer) -> str:
        """A hash of the image file's version, its labels and the option `frame`.

        If labels change, it is a new input.
        """
        rows = [as_row(item) for item in (*labels.regions, *labels.texts, *labels.region_texts)]
        frame = [self.frame] if self.frame != "auto" and labels.regions else []
        return "-".join([self._versions.of(uri), *([stable_hash([*rows, *frame])[:8]] if rows else [])])

    def _uri(self, number: int, name: str) -> str | ImageError:
        """The path or URL of an image, or why it has none. A file outside of the folder is never returned."""
        if not name:
            return ImageError("no_file_name", f"image number {number} of '{self.name}' has no file_name")
        if "\0" in name or name != name.encode("utf-8", "replace").decode():
            return ImageError("no_file_name", f"no file can have the file_name {short(name)} of image number {number}")
        for relative in self._relative_paths(name):
            path = posixpath.normpath(relative)
            if path != "." and path.split("/")[0] != "..":
                return f"{self.folder}/{path}"
        return ImageError("outside_folder", f"the file_name {short(name)} is not below the folder '{self.folder}'")

    def _relative_paths(self, name: str) -> Iterator[str]:
        """Yields the paths, relative to the folder, where an image with this name may be."""
        if self._local and name.startswith("file://"):
            path = re.sub("^file://(localhost(?=/))?", "", name)
            name = path if os.path.lexists(path) else unquote(path)
        if "\\" in name and not (self._local and os.path.lexists(f"{self.folder}/{name}")):
            name = name.replace("\\", "/")  # a path from Windows
        if not (name.startswith("/") or "://" in name or re.match("[A-Za-z]:/", name)):
            yield name
        for folder in self._folders:
            if name.startswith(f"{folder}/"):
                yield name[len(folder) + 1 :]
