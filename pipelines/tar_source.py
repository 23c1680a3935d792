"""WebDataset tars as a source: a sample is an input, its image read by its place in the tar, its captions said of it.

What makes a sample is webdataset's own rule, run by webdataset: neighbours whose names agree up to the first dot.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from engine.containers import NO_IMAGE, broken_uri, tar_uri
from engine.errors import ConfigError, StorageError
from engine.storage import storage_errors
from engine.web import is_web
from pipelines.captions import WEB, Captions
from pipelines.containers import UNOPENED, Reader, find_containers, list_containers
from pipelines.names import normalised
from pipelines.sources import Entry

ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jp2", "ppm")
COMPRESSED = (".tgz", *(f".tar.{kind}" for kind in ("gz", "bz2", "xz", "zst", "lz4")))
CAPTIONS = ("txt", "json.caption", "json.captions")
MAX_TEXT = 1 << 20  # bytes of a member with captions
_END = bytes(tarfile.BLOCKSIZE)


@dataclass(slots=True)
class Member:
    """One file of a tar; `data` only where it may hold captions."""

    name: str
    offset: int
    size: int
    data: bytes | None = None


class WebDataset:
    """The samples of tars, local or remote: a path, a folder, a glob, or {00000..00012} in braces. No compressed ones.

    A sample's image is its first member that is called like one. `captions` names what its texts are: members by
    their extension (`txt`), keys of its json (`json.caption`). `captions_by`: `web` for alt-text, which rules judge,
    `human` for captions of people. What img2dataset writes needs no options.
    """

    def __init__(
        self, path: str, captions: Sequence[str] = CAPTIONS, captions_by: str = WEB, licence: str = ""
    ) -> None:
        self.name, self._fs = normalised(path)
        self.captions, self.said, self.licence = tuple(captions), Captions(captions_by), licence
        self.left_out, self.notes = self.said.left_out, list[str]()
        self.found, self.opened = list[str](), dict[str, Reader]()
        self._holding = {"json" if name.startswith("json.") else name for name in self.captions}

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        try:
            import webdataset.tariterators  # noqa: F401  # here, so that no two threads import it
        except ImportError as error:
            told = "Reading tars needs the package webdataset: pip install 'fld5b-engine[loaders]'."
            raise ConfigError(told) from error
        found, lost = find_containers(self, self.name, (".tar",), COMPRESSED)
        yield from lost
        yield from list_containers(self, found, ["tar", self.captions, self.said.by], whole)

    def alone(self) -> Self:
        one = copy(self)
        one.said = Captions(self.said.by)
        one.left_out, one.notes = one.said.left_out, []
        return one

    def read(self, uri: str) -> tuple[int, list[Entry]]:
        """The samples of one tar, and one entry more for what is behind a break."""
        try:
            members, broken_at = self._members(uri)
        except (*UNOPENED, StorageError) as error:
            if not isinstance(error.__cause__ or error, UNOPENED) and not is_web(uri):
                raise
            return 0, [Entry(uri, licence=self.licence)]  # the file itself: reading it will say what is wrong
        samples = list(self._samples(members, uri))
        if broken_at is not None and samples and _image(samples[-1]) is None:
            samples.pop()  # cut off with its image
        entries = [self._entry(sample, uri) for sample in samples]
        if broken_at is not None:
            entries.append(Entry(broken_uri("tar", uri), licence=self.licence, offset=broken_at, length=0))
        elif members and not samples:
            entries.append(Entry(tar_uri(NO_IMAGE, uri), licence=self.licence, length=0))
        return len(entries), entries

    def _members(self, uri: str) -> tuple[list[Member], int | None]:
        """The files of a tar, and where it breaks off, if it does."""
        members: list[Member] = []
        with storage_errors(uri), self._open(uri) as file:
            at, ended = 0, False
            try:
                with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", tarinfo=_Header) as tar:
                    for info in tar:
                        if info.size < 0 or info.offset < at:  # a hostile header leads round in circles
                            break
                        at = tar.offset
                        if info.isreg() and not re.match(r"__[^/]*__($|/)", info.name):  # webdataset's own notes
                            members.append(self._member(info, file))
                    file.seek(at)
                    ended = file.read(len(_END)) == _END
            except (tarfile.TarError, ValueError, OverflowError):
                pass
            if ended:
                return members, None
            size = file.seek(0, os.SEEK_END)
            cut = [member.offset for member in members if member.offset + member.size > size]
            return [member for member in members if member.offset + member.size <= size], min([at, size, *cut])

    def _open(self, uri: str) -> Any:
        return open(uri, "rb") if self._fs is None else self._fs.open(self._fs._strip_protocol(uri), "rb")

    def _member(self, info: tarfile.TarInfo, file: Any) -> Member:
        member = Member(info.name, info.offset_data, info.size)
        if _extension(info.name) in self._holding:
            if info.size > MAX_TEXT:
                self.said.left_out["a text of more than a megabyte"] += 1
            else:
                file.seek(info.offset_data)
                member.data = file.read(info.size)
        return member

    def _samples(self, members: Sequence[Member], uri: str) -> Iterator[dict[str, Any]]:
        """{extension: member} and webdataset's __key__. The second of two members of one name is left out."""
        from webdataset.tariterators import group_by_keys

        def twice(_: Exception) -> bool:
            self.said.left_out["a second member of the same name"] += 1
            return True

        files = ({"fname": member.name, "data": member, "__url__": uri} for member in members)
        yield from group_by_keys(files, handler=twice)

    def _entry(self, sample: Mapping[str, Any], uri: str) -> Entry:
        labels = self.said.labels(map(partial(self._caption, sample), self.captions))
        image = _image(sample)
        if image is None:
            return Entry(tar_uri(_named(sample["__key__"]) + NO_IMAGE, uri), "", self.licence, labels, length=0)
        name = tar_uri(_named(image.name), uri)
        return Entry(name, "", self.licence, labels, offset=image.offset, length=image.size)

    def _caption(self, sample: Mapping[str, Any], name: str) -> Any:
        """What the sample has under a name such as `txt` or `json.caption`."""
        kind, _, key = name.partition(".") if name.startswith("json.") else (name, "", "")
        member = sample.get(kind)
        if member is None or member.data is None:
            return None
        try:
            return _value(member.data, key) if key else member.data.decode("utf-8-sig")
        except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ones
            self.said.left_out[f"a {kind} that cannot be read"] += 1
            return None


class _Header(tarfile.TarInfo):
    """The common headers read without owner, times and modes, which takes a quarter of the time of reading a tar."""

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
            return super().frombuf(buf, encoding, errors)  # it says what is wrong
        prefix, name = (part.partition(b"\0")[0].decode(encoding, errors) for part in (buf[345:500], buf[:100]))
        header = cls(f"{prefix}/{name}" if prefix else name)
        header.size, header.type = int(size, 8), bytes(kind)
        return header


def _value(data: bytes, key: str) -> Any:
    content = json.loads(data)
    return content.get(key) if isinstance(content, dict) else None


def _image(sample: Mapping[str, Any]) -> Member | None:
    """The first member whose extension is an image's, or else ends in one, as `seg.png` does."""
    members = [(name, member) for name, member in sample.items() if isinstance(member, Member)]
    plain = (member for name, member in members if name in ENDINGS)
    ending = (member for name, member in members if name.rpartition(".")[2] in ENDINGS)
    return next(plain, None) or next(ending, None)


def _extension(name: str) -> str:
    return name.rsplit("/", 1)[-1].partition(".")[2].lower()


def _named(name: str) -> str:
    """A name that can be written down: its image is found by its place, not by it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
