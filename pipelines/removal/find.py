"""Finds the images that the lines of a list name, and everything that a removal of them has to reach."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice

from engine.errors import ImageError
from engine.images.locate import image_bytes
from engine.layout import IMAGES, MANIFEST, PROBE, PROOF, RELEASES
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from engine.storage.listings import Key
from engine.storage.removals import PLACEHOLDER, read_removed
from engine.storage.uris import short_name
from pipelines.ingest.name_list import NameList, spellings
from pipelines.ingest.rows import ImageRow
from pipelines.removal.intention import Intention, next_number
from pipelines.removal.models import models_that_saw
from pipelines.removal.pieces import Needles, decoded, encoded, pieces_of, search

_ID = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")  # an image id, or the whole sha256 that it begins
_COMPARED = 20_000  # how many names are searched for the most similar one
_NAMES = ["source", "uri", "fingerprint", "image_id"]


@dataclass(slots=True)
class Found:
    """What lines of a list name.

    lines: those that name images, or inputs that could not be read. images, inputs, uris, shards, chunks: as in an
    Intention. before: lines of images that were removed before. unknown: {line: a hint or ''}.
    several: {line: number of images}, lines that are the end of the names of several images.
    """

    lines: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    inputs: list[Key] = field(default_factory=list)
    uris: list[str] = field(default_factory=list)
    shards: list[int] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    several: dict[str, int] = field(default_factory=dict)


def find(storage: Storage, lines: Sequence[str]) -> Found:
    """What these lines name. A line is an image id, a sha256, a URI, or the end of one that no other image has."""
    spelled = {_spelled(line): line for line in lines}
    names = NameList(spelled)
    for image, uri in _images_and_uris(storage):
        names.match(image, uri)
    found, removed = Found(), read_removed(storage)
    wanted = set[str]()  # ids, and URIs of inputs that are no image
    for line, given in spelled.items():
        images = names.images[line]
        if len(images) > 1 and any(uri != line for uri in images.values()):
            found.several[given] = len(images)
        elif images:
            found.lines.append(given)
            wanted |= set(images)
        elif any(removed.has_name(one) for one in spellings(line)):
            found.before.append(given)
        else:
            found.unknown[given] = ""
    if found.unknown:
        found.unknown = _hints(found.unknown, _images_and_uris(storage))
    if wanted:
        _find_rows(storage, wanted, found)
    return found


def _spelled(line: str) -> str:
    """The line, with a sha256 cut to the image id that it begins with."""
    plain = line.strip().strip("\"'").lower()
    return plain[:32] if _ID.fullmatch(plain) else line


def _images_and_uris(storage: Storage) -> Iterator[tuple[str, str]]:
    """(image id, URI) of every image and every input. The id is '' for an input that is no image."""
    for path in Commits(storage, IMAGES).data_files().values():
        table = TableReader(storage, path, ["image_id", "sources"]).read()
        for image, sources in zip(table["image_id"].to_pylist(), table["sources"].to_pylist(), strict=True):
            yield from ((image, source["uri"]) for source in sources)
    for _, (_, uri, _), image in _probed(storage):
        if not uri.startswith(PLACEHOLDER):
            yield image, uri


def _probed(storage: Storage) -> Iterator[tuple[int, Key, str]]:
    """(chunk, key, image id) of every probed input."""
    for folder in (f"{PROBE}/{key}" for key in storage.names(PROBE) if "." not in key):
        for chunk, path in Commits(storage, folder).data_files().items():
            table = TableReader(storage, path, _NAMES).read()
            rows = zip(*(table[name].to_pylist() for name in _NAMES), strict=True)
            yield from ((chunk, (source, uri, print_), image) for source, uri, print_, image in rows)


def _hints(lines: Iterable[str], given: Iterable[tuple[str, str]]) -> dict[str, str]:
    """{line: the most similar id or file name, or ''}."""
    pairs = list(islice(given, _COMPARED))
    ids, files = sorted({image for image, _ in pairs if image}), sorted({short_name(uri) for _, uri in pairs})
    hints = {}
    for line in lines:
        last = line.rstrip("/").rpartition("/")[2]
        begins = [image for image in ids if len(line) >= 6 and image.startswith(line.lower())]
        nearest = begins[:1] or get_close_matches(last, files, 1, 0.6) or get_close_matches(last, ids, 1, 0.8)
        hints[line] = nearest[0] if nearest else ""
    return hints


def _find_rows(storage: Storage, wanted: set[str], found: Found) -> None:
    """Fills in the images, inputs, URIs, shards and chunks."""
    images, uris, others = set[str](), set[str](), set[str]()
    shards, chunks, inputs = set[int](), set[int](), set[Key]()
    for shard, path in Commits(storage, IMAGES).data_files().items():
        table = TableReader(storage, path, ["image_id", "sources"]).read()
        for image, sources in zip(table["image_id"].to_pylist(), table["sources"].to_pylist(), strict=True):
            named = {source["uri"] for source in sources}
            if image in wanted:
                images.add(image)
                uris |= named
                shards.add(shard)
            else:
                others |= named
    for chunk, key, image in _probed(storage):
        if (image or key[1]) in wanted:
            images |= {image} if image else set()
            inputs.add(key)
            uris.add(key[1])
            chunks.add(chunk)
        else:
            others.add(key[1])
    found.images, found.uris = sorted(images), sorted(uris - others)
    found.inputs, found.shards, found.chunks = sorted(inputs), sorted(shards), sorted(chunks)


# --- the intention ---------------------------------------------------------------------------------


def intention_of(storage: Storage, found: Found, *, delete_releases: bool) -> Intention:
    """Everything that the removal has to do. Reads the images, and searches the releases for them."""
    pieces, unread = dict[str, list[bytes]](), []
    for image, read in _readers(storage, found):
        try:
            pieces[image] = pieces_of(read())
        except (ImageError, OSError):
            unread.append(image)
    coded = encoded(pieces)
    needles = Needles(found.images, decoded(coded))
    releases = {}
    for folder in finished_releases(storage):
        paths = [f"{folder}/{name}" for name in storage.tree(folder)] if found.images else []
        if files := search(storage, paths, needles):
            releases[folder] = [path.removeprefix(f"{folder}/") for path in files]
    return Intention(
        number=next_number(storage),
        images=found.images,
        inputs=found.inputs,
        uris=found.uris,
        shards=found.shards,
        chunks=found.chunks,
        pieces=coded,
        unread=unread,
        releases=releases,
        models=models_that_saw(storage, found.images, releases) if found.shards else {},
        delete_releases=delete_releases,
    )


def finished_releases(storage: Storage) -> list[str]:
    folders = (f"{RELEASES}/{name}" for name in storage.names(RELEASES) if not name.endswith(PROOF))
    return [folder for folder in folders if storage.exists(f"{folder}/{MANIFEST}")]


def _readers(storage: Storage, found: Found) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(image id, a function that reads its bytes) of each image that is in a shard."""
    files = Commits(storage, IMAGES).data_files()
    for shard in found.shards:
        rows: list[ImageRow] = TableReader(storage, files[shard]).read().to_pylist()
        for row in rows:
            if row["image_id"] in found.images:
                yield row["image_id"], _reader(storage, row)


def _reader(storage: Storage, row: Mapping[str, object]) -> Callable[[], bytes]:
    return lambda: image_bytes(storage, row)
