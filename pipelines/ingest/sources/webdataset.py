"""WebDataset tars as a source: a sample is an input, its image read by its place in the tar, its captions said of it.

What makes a sample is webdataset's own rule, run by webdataset: neighbours whose names agree up to the first dot. An
image that this rule leaves out is an input with its reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

from engine.errors import StorageError
from engine.extras import require
from engine.images.file_kinds import foreign
from engine.storage.files import storage_errors
from engine.storage.open_uri import check_regular, why_unreadable
from engine.storage.text_files import decode_text
from engine.storage.uris import NO_IMAGE, broken_uri, tar_uri
from engine.storage.web import is_web
from pipelines.ingest.sources.captions import WEB, Captions
from pipelines.ingest.sources.containers import UNOPENED, Reader, find_containers, list_containers
from pipelines.ingest.sources.source import Entry
from pipelines.ingest.sources.source_path import resolve_source
from pipelines.ingest.sources.tar_members import Contents, Member, read_contents

ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jp2", "ppm", "jpe", "jfif")
UNREAD = ("heic", "heif", "jxl", "tga", "psd", "svg", "ico", "dng", "cr2", "cr3", "nef", "arw", "raf", "rw2", "orf")
COMPRESSED = (".tgz", *(f".tar.{kind}" for kind in ("gz", "bz2", "xz", "zst", "lz4")))
CAPTIONS = ("txt", "json.caption", "json.captions")


@dataclass(frozen=True, slots=True)
class Sample:
    """The members of a tar that webdataset takes as one sample, by what follows the first dot of their names."""

    key: str
    members: Mapping[str, Member]


class WebDataset:
    """The samples of tars, local or remote: a path, a folder, a glob, or {00000..00012} in braces. No compressed ones.

    A sample's image is its first member that is called like one; further ones, a second member of the same name, links
    and images behind the end of the tar are quarantined. `captions` names what its texts are: members by
    their extension (`txt`), keys of its json (`json.caption`). `captions_by`: `web` for alt-text, which rules judge,
    `human` for captions of people. What img2dataset writes needs no options.
    """

    LISTS: ClassVar = {"captions": "members such as [txt, json.caption]"}

    def __init__(
        self, path: str, captions: Sequence[str] = CAPTIONS, captions_by: str = WEB, licence: str = ""
    ) -> None:
        self.name, self._fs = resolve_source(path)
        self.captions, self.said, self.licence = tuple(captions), Captions(captions_by), licence
        self.left_out, self.notes = self.said.left_out, list[str]()
        self.found, self.opened = list[str](), dict[str, Reader]()
        self._holding = {"json" if name.startswith("json.") else name for name in self.captions}

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        require("Reading tars", ["webdataset"])
        import webdataset.tariterators  # noqa: F401  # here, so that no two threads import it

        found, lost = find_containers(self, self.name, (".tar",), COMPRESSED)
        yield from lost
        yield from list_containers(self, found, ["tar", self.captions, self.said.by], whole)

    def alone(self) -> Self:
        one = copy(self)
        one.said = Captions(self.said.by)
        one.left_out, one.notes = one.said.left_out, []
        return one

    def read(self, uri: str) -> tuple[int, list[Entry]]:
        """The samples of one tar, then its images that are in none, and one entry more for what is behind a break."""
        try:
            with storage_errors(uri), self._open(uri) as file:
                contents = read_contents(file, lambda name: _extension(name) in self._holding)
                start = b"" if contents.members or contents.end else _start(file)
        except (*UNOPENED, StorageError) as error:
            if not isinstance(error.__cause__ or error, UNOPENED) and not is_web(uri) and not why_unreadable(error):
                raise
            return 0, [Entry(uri, licence=self.licence)]  # the file itself: reading it will say what is wrong
        self.said.left_out["a text of more than a megabyte"] += contents.long_texts
        self.said.left_out["a note of webdataset's own"] += contents.own
        self.said.left_out["a member that is a pipe or a device"] += contents.no_files
        twice: list[Member] = []
        samples = list(_samples([member for member in contents.members if not member.error], uri, twice))
        if contents.broken_at is not None and samples and _image(samples[-1]) is None:
            samples.pop()  # cut off with its image
        entries = [self._entry(sample, uri) for sample in samples]
        entries += self._unused(contents, samples, twice, uri)
        if contents.broken_at is not None:
            entries.append(self._break(uri, contents.broken_at, start))
        elif contents.members and not entries:
            entries.append(Entry(tar_uri(NO_IMAGE, uri), licence=self.licence, length=0))
        self.said.left_out += Counter()  # without zeros
        return len(entries), entries

    def _open(self, uri: str) -> Any:
        if self._fs is None:
            check_regular(uri)
            return open(uri, "rb")
        return self._fs.open(self._fs._strip_protocol(uri), "rb")

    def _break(self, uri: str, at: int, start: bytes) -> Entry:
        broken = Entry(broken_uri("tar", uri), licence=self.licence, offset=at, length=0)
        told = foreign(start, "")[1] if start and not at else ""
        return replace(broken, reason="not_a_tar", error=f"'{uri}' is no uncompressed tar: {told}") if told else broken

    def _unused(
        self, contents: Contents, samples: Sequence[Sample], twice: Sequence[Member], uri: str
    ) -> Iterator[Entry]:
        """A quarantined input for every image that is no sample's. Members that are no images are counted."""
        second = {id(member): "a second member of the same name" for member in twice}
        used = {id(_image(sample)) for sample in samples}
        keys = {id(member): sample.key for sample in samples for member in sample.members.values()}
        for member in contents.members:
            name = _named(member.name)
            if id(member) in used:
                continue
            if not is_image(member.name):
                told = second.get(id(member)) or (member.error and "a member that is no plain file")
                if told := told or self._unread(member):
                    self.said.left_out[told] += 1
            elif _hidden(member):
                self.said.left_out["a hidden member"] += 1
            elif member.error:
                yield self._lost(member, uri, "unsupported", member.error)
            elif id(member) in second:
                yield self._lost(member, uri, "same_name", f"a second member called '{name}': give each its own name")
            elif key := keys.get(id(member)):
                told = f"a second image of the sample '{_named(key)}': rename it without dots"
                yield self._lost(member, uri, "second_image", told)
        if contents.garbage:
            self.notes.append(f"'{uri}' has {contents.garbage} bytes behind its end that are no tar: not read.")
        yield from self._behind(contents, uri)

    def _unread(self, member: Member) -> str:
        """Why nothing asks for it, if it is neither an image nor said to hold captions."""
        if _hidden(member):
            return "a hidden member"
        if _extension(member.name) in self._holding:
            return ""
        ending = member.name.rpartition(".")[2].lower()
        return f"a member that ends in .{ending}" if len(ending) <= 8 and ending.isalnum() else "a member of no kind"

    def _behind(self, contents: Contents, uri: str) -> Iterator[Entry]:
        told = f"behind the end of the tar at byte {contents.end}"
        for member in contents.behind:
            if is_image(member.name):
                yield self._lost(member, uri, "behind_the_end", f"{told}: unpack the tars that were put together")
            else:
                self.said.left_out["a member behind the end of its tar"] += 1
        if contents.behind:
            self.notes.append(f"'{uri}' goes on {told}, where training tools do not look: images there are refused.")

    def _lost(self, member: Member, uri: str, reason: str, error: str) -> Entry:
        place = tar_uri(_named(member.name), uri)
        lost = Entry(place, licence=self.licence, offset=member.offset, length=member.size)
        return replace(lost, reason=reason, error=f"{error}, in '{uri}'")

    def _entry(self, sample: Sample, uri: str) -> Entry:
        labels = self.said.labels(map(partial(self._caption, sample), self.captions))
        image = _image(sample)
        if image is None:
            return Entry(tar_uri(_named(sample.key) + NO_IMAGE, uri), "", self.licence, labels, length=0)
        name = tar_uri(_named(image.name), uri)
        return Entry(name, "", self.licence, labels, offset=image.offset, length=image.size)

    def _caption(self, sample: Sample, name: str) -> Any:
        """What the sample has under a name such as `txt` or `json.caption`."""
        kind, _, key = name.partition(".") if name.startswith("json.") else (name, "", "")
        member = sample.members.get(kind)
        if member is None or member.data is None:
            return None
        try:
            text = decode_text(member.data)
            content: Any = json.loads(text) if key else text
        except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ones
            self._leave_out(member, f"a {kind} that cannot be read")
            return None
        if key and not isinstance(content, dict):
            self._leave_out(member, "a json that is no object")
            return None
        return content.get(key) if key else content

    def _leave_out(self, member: Member, why: str) -> None:
        """Once for each member, whatever is asked of it."""
        self.said.left_out[why] += 1
        member.data = None


def _samples(members: Sequence[Member], uri: str, twice: list[Member]) -> Iterator[Sample]:
    """The samples as webdataset groups them. The second of two members with the same name is added to `twice`."""
    from webdataset.tariterators import group_by_keys

    last: list[Member] = []

    def files() -> Iterator[Mapping[str, Member | str]]:
        for member in members:
            last[:] = [member]
            yield {"fname": member.name, "data": member, "__url__": uri}

    def again(_: Exception) -> bool:
        twice.extend(last)
        return True

    for group in group_by_keys(files(), handler=again):
        yield Sample(group["__key__"], {name: file for name, file in group.items() if isinstance(file, Member)})


def _start(file: Any) -> bytes:
    file.seek(0)
    return bytes(file.read(2048))


def is_image(name: str) -> bool:
    """Whether a member is called like an image, read or not."""
    return name.rsplit(".", 1)[-1].lower() in (*ENDINGS, *UNREAD) and "." in name.rsplit("/", 1)[-1]


def _image(sample: Sample) -> Member | None:
    """The first member whose extension is an image's, or else ends in one, as `seg.png` does, or in one not read."""
    members = sample.members.items()
    plain = (member for name, member in members if name in ENDINGS)
    ending = (member for name, member in members if name.rpartition(".")[2] in ENDINGS)
    unread = (member for name, member in members if name.rpartition(".")[2] in UNREAD)
    return next(plain, None) or next(ending, None) or next(unread, None)


def _hidden(member: Member) -> bool:
    return member.name.rsplit("/", 1)[-1].startswith(".")


def _extension(name: str) -> str:
    return name.rsplit("/", 1)[-1].partition(".")[2].lower()


def _named(name: str) -> str:
    """A name that can be written down: its image is found by its place, not by it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
