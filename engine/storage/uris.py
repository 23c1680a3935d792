"""URIs of images inside a tar or a Parquet file.

`tar://00012.jpg::/photos/x.tar` is fsspec's notation for a member of a tar. Its offset and length are in columns beside
the URI. `parquet://image/17::/photos/x.parquet` is the engine's own notation: row 17 of the column `image`.

Some URIs stand for something that cannot be read but must be counted as an input. `tar://00012.*::...` is a sample
without an image. `tar://*::...` and `parquet://*::...` are damaged containers. Reading such a URI raises an ImageError
with the reason (`check_member`).
"""

from __future__ import annotations

import functools
import re
from urllib.parse import quote, unquote

from engine.errors import ImageError
from engine.storage.urls import CHAINED

BROKEN = "*"  # the member that stands for a damaged container
_SEPARATOR = re.compile(rf"::(?=/|[A-Za-z][A-Za-z0-9+.-]*://|(?:{'|'.join(CHAINED)})::)")
NO_IMAGE = ".*"  # the end of the member that stands for a sample without an image


def tar_uri(member: str, tar: str) -> str:
    return f"tar://{member}::{tar}"


def parquet_uri(column: str, row: int, file: str) -> str:
    return f"parquet://{_quoted(column)}/{row}::{file}"


@functools.lru_cache(maxsize=64)  # the same for all rows of a file
def _quoted(column: str) -> str:
    return quote(column, safe="")


def broken_uri(kind: str, container: str) -> str:
    return f"{kind}://{BROKEN}::{container}"


def split_uri(uri: str) -> tuple[str, str, str]:
    """(kind, member, container) of a URI. The kind is "tar" or "parquet"; ('', '', uri) for a file in no container."""
    if not uri.startswith(("tar://", "parquet://")) or "::" not in uri:
        return "", "", uri
    kind, _, rest = uri.partition("://")
    if rest.count("::") == 1:
        member, _, container = rest.partition("::")
        return kind, member, container
    # A member's name may contain '::' too. The right '::' is the one before a path or a URL.
    at = next((found.start() for found in _SEPARATOR.finditer(rest)), rest.rfind("::"))
    return kind, rest[:at], rest[at + 2 :]


def column_and_row(member: str) -> tuple[str, int]:
    column, _, row = member.rpartition("/")
    return unquote(column), int(row)


def short_name(uri: str) -> str:
    """The name of the file or member, for messages and tables. For a row, "x.parquet/17"."""
    kind, member, container = split_uri(uri)
    file = container.rsplit("/", 1)[-1]
    if kind == "parquet" or member == BROKEN:
        return f"{file}/{member.rpartition('/')[2]}"
    return member.rsplit("/", 1)[-1] or file


def check_member(uri: str, offset: int) -> None:
    """Raise ImageError if the URI stands for a damaged container or for a sample without an image."""
    kind, member, container = split_uri(uri)
    if kind == "tar" and member == BROKEN:
        if offset:
            raise ImageError("truncated", f"the tar ends or breaks off at byte {offset}, in '{container}'")
        raise ImageError("not_a_tar", f"'{container}' does not begin like an uncompressed tar")
    if kind == "tar" and member == NO_IMAGE:
        raise ImageError("no_image", f"no name has an extension, so no member is an image, in '{container}'")
    if kind == "tar" and member.endswith(NO_IMAGE):
        raise ImageError("no_image", f"the sample '{member.removesuffix(NO_IMAGE)}' has no image, in '{container}'")
    if kind == "parquet" and member == BROKEN:
        raise ImageError("not_parquet", f"'{container}' cannot be read as Parquet: it is cut off, or another format")
