"""Reads the bytes of an image, given a row about it. All code that needs an image's bytes gets them here.

A row has a URI, an offset and a length (`Locator`). The URI is a file, a URL, a member of a tar or a row of a Parquet
file (engine.storage.uris). A relative URI is a tar inside the data set or release that the row belongs to. A file may
have changed since it was ingested, so the bytes are checked against the image's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from engine.errors import DamageError, ImageError
from engine.images.decode import Limits, Pixels, decode
from engine.storage.files import Storage
from engine.storage.open_uri import read_input, read_uri

# Why the bytes of an image cannot be read, the least informative reason first.
_LOST = {
    "missing": "the file is gone since ingest",
    "unreadable": "the file cannot be read any more",
    "unreachable": "its host does not send it",
    "changed": "the file is not the one that was ingested",
}


class Locator(NamedTuple):
    """Where an image's encoded bytes are."""

    uri: str
    offset: int = 0
    length: int = -1  # -1: to the end


def locator_of(row: Mapping[str, Any]) -> Locator:
    """The locator in a row of the tables images, inputs or pairs, or of the SQL view `images`."""
    prefix = "byte_" if "byte_offset" in row else ""  # the view's columns: `offset` is a keyword of SQL
    return Locator(row["uri"], row[f"{prefix}offset"], row[f"{prefix}length"])


def is_relative(uri: str) -> bool:
    """Whether the URI is a path inside the data set or release."""
    return "://" not in uri and not uri.startswith("/")


def absolute(uri: str, folder: str) -> str:
    """The URI. A relative one gets `folder`, the data set or release that it is in, in front."""
    return f"{folder}/{uri}" if is_relative(uri) else uri


def image_bytes(storage: Storage, row: Mapping[str, Any]) -> bytes:
    """The encoded bytes of an image, given a row with its id, locator and sources.

    Raises the errors of `read_image`.
    """
    return read_image(storage, row["image_id"], locator_of(row), lambda: [source["uri"] for source in row["sources"]])


def image_pixels(storage: Storage, row: Mapping[str, Any], limits: Limits | None = None) -> Pixels:
    """The decoded upright image.

    Raises the errors of `read_image`, and ImageError if the bytes cannot be decoded.
    """
    return decode(image_bytes(storage, row), limits)


def read_image(
    storage: Storage, image_id: str, locator: Locator, other_sources: Callable[[], Sequence[str]] = tuple
) -> bytes:
    """The bytes with this image id. They are read at the locator or, if they are not there, from another source.

    `other_sources`: returns the URIs of the image's sources. Raises ImageError `missing`, `unreadable`, `unreachable`
    or `changed` if the bytes are in none of them; DamageError instead if the locator is a tar inside the data set.
    """
    data, reason = _bytes_or_reason(storage, image_id, locator)
    for uri in () if data is not None else other_sources():
        if data is None and (uri, 0, -1) != locator:
            data, other = _bytes_or_reason(storage, image_id, Locator(uri))
            reason = max(reason, other, key=list(_LOST).index) if data is None else ""
    if data is not None:
        return data
    if is_relative(locator.uri):
        raise DamageError(
            f"'{locator.uri}' does not hold image {image_id} any more, nor does any of its sources: restore it from a "
            "backup; 'engine check' lists what else is damaged."
        )
    raise ImageError(reason, f"{_LOST[reason]}: {locator.uri}")


def read_exactly(locator: Locator, image_id: str) -> bytes:
    """The bytes at an absolute locator.

    Raises ImageError `changed` if their image id is not `image_id`, and the errors of `read_uri`.
    """
    data = read_uri(*locator)
    if not _has_id(data, image_id):
        raise ImageError(
            "changed", f"the bytes at {locator.offset} of '{locator.uri}' are not those of image {image_id}"
        )
    return data


def _has_id(data: bytes, image_id: str) -> bool:
    return hashlib.sha256(data).hexdigest()[: len(image_id)] == image_id


def _bytes_or_reason(storage: Storage, image_id: str, locator: Locator) -> tuple[bytes | None, str]:
    try:
        data = read_input(absolute(locator.uri, storage.url), locator.offset, locator.length)
    except ImageError as error:
        return None, error.reason if error.reason in _LOST else "changed"
    return (data, "") if _has_id(data, image_id) else (None, "changed")
