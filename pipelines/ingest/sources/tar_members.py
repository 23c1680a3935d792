"""Reads a tar: the names and offsets of its files, where it ends if it is truncated, and the data after its end.

If tars were joined with cat, a second tar follows the zeros that end the first. tarfile and webdataset ignore it, so
its members are returned separately (`Contents.behind`).
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

MAX_TEXT = 1 << 20  # largest member with captions that is read, in bytes
MAX_ZEROS = 1 << 28  # the most zero bytes after the end of a tar that are skipped to look for another tar
_END = bytes(tarfile.BLOCKSIZE)
_PIECE = 1 << 20


@dataclass(slots=True)
class Member:
    """One file of a tar. `data` is filled only if it may hold captions."""

    name: str
    offset: int
    size: int
    data: bytes | None = None
    error: str = ""  # why it cannot be read at its offset, for example because it is a link


@dataclass(slots=True)
class Contents:
    members: list[Member] = field(default_factory=list)
    broken_at: int | None = None
    end: int = 0  # the offset of the zeros that end a complete tar
    behind: list[Member] = field(default_factory=list)  # the files of further tars after the end of the first
    garbage: int = 0  # number of bytes after the end that are not a tar
    long_texts: int = 0
    own: int = 0  # metadata of webdataset itself
    no_files: int = 0  # pipes and devices


def read_contents(file: Any, has_text: Callable[[str], bool]) -> Contents:
    """Reads the members of a tar. `has_text`: whether to read the bytes of a member with this name."""
    found = Contents()
    at, ended = _read_part(file, 0, has_text, found, found.members)
    size = file.seek(0, os.SEEK_END)
    whole = [member for member in found.members if member.offset + member.size <= size]
    if not ended:
        cut = [member.offset for member in found.members if member.offset + member.size > size]
        found.members, found.broken_at = whole, min([at, size, *cut])
        return found
    found.end = at
    while (start := _behind(file, at, size)) >= 0:
        more: list[Member] = []
        at, ended = _read_part(file, start, has_text, Contents(), more)
        found.behind += more  # added even if they are truncated, because their bytes are never read
        if not ended:
            found.garbage = max(size - at, 0)
            break
    return found


def _read_part(
    file: Any, start: int, has_text: Callable[[str], bool], counts: Contents, members: list[Member]
) -> tuple[int, bool]:
    """Appends the members from `start` on. Returns the offset of their end, and whether the tar is complete."""
    at = start
    try:
        file.seek(start)
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", tarinfo=_Header) as tar:
            for info in tar:
                if info.size < 0 or info.offset < at:  # a malicious header may lead in circles
                    return at, False
                at = tar.offset
                if re.match(r"__[^/]*__($|/)", info.name):
                    counts.own += 1
                elif info.isreg() or info.issym() or info.islnk():
                    members.append(_member(info, file, has_text, counts))
                elif not info.isdir():
                    counts.no_files += 1
        file.seek(at)
        return at, file.read(len(_END)) == _END
    except OSError as error:
        if error.errno is not None and not isinstance(error, tarfile.TarError):
            raise
        return at, False
    except Exception:  # noqa: BLE001  # malicious headers make tarfile raise any error; the tar is taken as broken here
        return at, False


def _member(info: tarfile.TarInfo, file: Any, has_text: Callable[[str], bool], counts: Contents) -> Member:
    if not info.isreg():
        return Member(info.name, info.offset_data, 0, error=f"it is a link to '{info.linkname[:200]}', not a file")
    member = Member(info.name, info.offset_data, info.size)
    if info.issparse():
        member.size, member.error = (
            0,
            "it is a sparse member, which cannot be read at its offset: pack it without holes",
        )
    elif has_text(info.name):
        if info.size > MAX_TEXT:
            counts.long_texts += 1
        else:
            file.seek(info.offset_data)
            member.data = file.read(info.size)
    return member


def _behind(file: Any, at: int, size: int) -> int:
    """Skips zeros from `at` on.

    Returns the offset of the block that holds the first other byte, or -1 if there is none.
    """
    file.seek(at)
    stop = min(size, at + MAX_ZEROS)
    while at < stop and (piece := file.read(_PIECE)):
        rest = piece.lstrip(b"\0")
        if rest:
            return int((at + len(piece) - len(rest)) // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE)
        at += len(piece)
    return -1


class _Header(tarfile.TarInfo):
    """A tar header in the common form. Owner, times and modes are not parsed, which makes reading tars faster."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        kind, size = buf[156:157], buf[124:135]
        if (
            len(buf) != tarfile.BLOCKSIZE
            or kind not in (b"0", b"x")
            or not (buf[257:262] == b"ustar" and size.isdigit())
        ):
            return super().frombuf(buf, encoding, errors)
        if int(buf[148:156].strip(b" \0"), 8) != sum(buf) - sum(buf[148:156]) + 256:
            return super().frombuf(buf, encoding, errors)  # raises the right error
        prefix, name = (part.partition(b"\0")[0].decode(encoding, errors) for part in (buf[345:500], buf[:100]))
        header = cls(f"{prefix}/{name}" if prefix else name)
        header.size, header.type = int(size, 8), bytes(kind)
        return header
