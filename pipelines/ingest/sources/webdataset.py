"""WebDataset tars as a source. Each sample is an input with its captions; its image is read by its offset in the tar.

The library webdataset groups neighbouring members into a sample if their names are the same up to the first dot. An
image that belongs to no sample, or is not the first image of its sample, is listed with a reason.
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
from engine.images.file_kinds import recognise
from engine.storage.files import storage_errors
from engine.storage.open_uri import check_regular, why_unreadable
from engine.storage.text_files import decode_text
from engine.storage.uris import NO_IMAGE, broken_uri, tar_uri
from engine.storage.web import is_web
from pipelines.ingest.sources.captions import CAPTIONS_BY, WEB, Captions
from pipelines.ingest.sources.containers import UNOPENED, Reader, find_containers, list_containers
from pipelines.ingest.sources.source import LICENCE, PATH, Entry
from pipelines.ingest.sources.source_path import resolve_source
from pipelines.ingest.sources.tar_members import Contents, Member, read_contents

ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jp2", "ppm", "jpe", "jfif")
UNREAD = ("heic", "heif", "jxl", "tga", "psd", "svg", "ico", "dng", "cr2", "cr3", "nef", "arw", "raf", "rw2", "orf")
COMPRESSED = (".tgz", *(f".tar.{kind}" for kind in ("gz", "bz2", "xz", "zst", "lz4")))
CAPTIONS = ("txt", "json.caption", "json.captions")


@dataclass(frozen=True, slots=True)
class Sample:
    """The members of a tar that webdataset groups into one sample.

    Their keys are their extensions: what follows the first dot.
    """

    key: str
    members: Mapping[str, Member]


class WebDataset:
    """The samples of uncompressed tars, local or remote, that are named by a path, a folder, a glob, or {00000..00012}.

    The image of a sample is its first member with the extension of an image. These are quarantined: further images, a
    second member with the same name, links, and images after the end of the tar. `captions`: the members that are
    captions, by extension (`txt`), or keys of the json (`json.caption`). `captions_by`: `web` for alt-text, which rules
    judge, or `human`. Tars made by img2dataset need no options.
    """

    OPTIONS: ClassVar = {
        "path": PATH,
        "captions": "the members that are captions, by extension (txt), or keys of the json (json.caption)",
        "captions_by": CAPTIONS_BY,
        "licence": LICENCE,
    }
    LISTS: ClassVar = {"captions": "members such as [txt, json.caption]"}

    def __init__(
        self, path: str, captions: Sequence[str] = CAPTIONS, captions_by: str = WEB, licence: str = ""
    ) -> None:
        self.name, self._fs = resolve_source(path)
        self.captions, self.texts, self.licence = tuple(captions), Captions(captions_by), licence
        self.left_out, self.notes = self.texts.left_out, list[str]()
        self.found, self.opened = list[str](), dict[str, Reader]()
        self._holding = {"json" if name.startswith("json.") else name for name in self.captions}

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        require("Reading tars", ["webdataset"])
        import webdataset.tariterators  # noqa: F401  # imported once, before threads use it

        found, lost = find_containers(self, self.name, (".tar",), COMPRESSED)
        yield from lost
        yield from list_containers(self, found, ["tar", self.captions, self.texts.by], whole)

    def alone(self) -> Self:
        one = copy(self)
        one.texts = Captions(self.texts.by)
        one.left_out, one.notes = one.texts.left_out, []
        return one

    def read(self, uri: str) -> tuple[int, list[Entry]]:
        """Entries for the samples of one tar, then for its other images, then one if the tar is cut off."""
        try:
            with storage_errors(uri), self._open(uri) as file:
                contents = read_contents(file, lambda name: _extension(name) in self._holding)
                start = b"" if contents.members or contents.end else _start(file)
        except (*UNOPENED, StorageError) as error:
            if not isinstance(error.__cause__ or error, UNOPENED) and not is_web(uri) and not why_unreadable(error):
                raise
            # The file itself is listed, so that the probe reports why it cannot be read.
            return 0, [Entry(uri, licence=self.licence)]
        self.texts.left_out["a text of more than a megabyte"] += contents.long_texts
        self.texts.left_out["a note of webdataset's own"] += contents.own
        self.texts.left_out["a member that is a pipe or a device"] += contents.no_files
        twice: list[Member] = []
        samples = list(_samples([member for member in contents.members if not member.error], uri, twice))
        if contents.broken_at is not None and samples and _image(samples[-1]) is None:
            samples.pop()  # because its image is cut off
        entries = [self._entry(sample, uri) for sample in samples]
        entries += self._unused(contents, samples, twice, uri)
        if contents.broken_at is not None:
            entries.append(self._break(uri, contents.broken_at, start))
        elif contents.members and not entries:
            entries.append(Entry(tar_uri(NO_IMAGE, uri), licence=self.licence, length=0))
        self.texts.left_out += Counter()  # removes zeros
        return len(entries), entries

    def _open(self, uri: str) -> Any:
        if self._fs is None:
            check_regular(uri)
            return open(uri, "rb")
        return self._fs.open(self._fs._strip_protocol(uri), "rb")

    def _break(self, uri: str, at: int, start: bytes) -> Entry:
        broken = Entry(broken_uri("tar", uri), licence=self.licence, offset=at, length=0)
        problem = recognise(start, "")[1] if start and not at else ""
        error = f"'{uri}' is not an uncompressed tar: {problem}"
        return replace(broken, reason="not_a_tar", error=error) if problem else broken

    def _unused(
        self, contents: Contents, samples: Sequence[Sample], twice: Sequence[Member], uri: str
    ) -> Iterator[Entry]:
        """Yields an entry with a reason for every image that is not the image of a sample.

        Other members are counted.
        """
        second = {id(member): "a second member of the same name" for member in twice}
        used = {id(_image(sample)) for sample in samples}
        keys = {id(member): sample.key for sample in samples for member in sample.members.values()}
        for member in contents.members:
            name = _named(member.name)
            if id(member) in used:
                continue
            if not is_image(member.name):
                reason = second.get(id(member)) or (member.error and "a member that is no plain file")
                if reason := reason or self._unread(member):
                    self.texts.left_out[reason] += 1
            elif _hidden(member):
                self.texts.left_out["a hidden member"] += 1
            elif member.error:
                yield self._lost(member, uri, "unsupported", member.error)
            elif id(member) in second:
                yield self._lost(member, uri, "same_name", f"a second member called '{name}': give each its own name")
            elif key := keys.get(id(member)):
                error = f"a second image of the sample '{_named(key)}': rename it without dots"
                yield self._lost(member, uri, "second_image", error)
        if contents.garbage:
            self.notes.append(
                f"'{uri}' has {contents.garbage} bytes after its end that are not a tar: they were not read."
            )
        yield from self._behind(contents, uri)

    def _unread(self, member: Member) -> str:
        """The reason why a member is not used. '' if it may hold captions."""
        if _hidden(member):
            return "a hidden member"
        if _extension(member.name) in self._holding:
            return ""
        ending = member.name.rpartition(".")[2].lower()
        return f"a member that ends in .{ending}" if len(ending) <= 8 and ending.isalnum() else "a member of no kind"

    def _behind(self, contents: Contents, uri: str) -> Iterator[Entry]:
        position = f"after the end of the tar at byte {contents.end}"
        for member in contents.behind:
            if is_image(member.name):
                yield self._lost(member, uri, "behind_the_end", f"{position}: unpack the tars that were joined")
            else:
                self.texts.left_out["a member behind the end of its tar"] += 1
        if contents.behind:
            self.notes.append(
                f"'{uri}' has members {position}, which training tools ignore: images among them are refused."
            )

    def _lost(self, member: Member, uri: str, reason: str, error: str) -> Entry:
        lost = Entry(tar_uri(_named(member.name), uri), licence=self.licence, offset=member.offset, length=member.size)
        return replace(lost, reason=reason, error=f"{error}, in '{uri}'")

    def _entry(self, sample: Sample, uri: str) -> Entry:
        labels = self.texts.labels(map(partial(self._caption, sample), self.captions))
        image = _image(sample)
        if image is None:
            return Entry(tar_uri(_named(sample.key) + NO_IMAGE, uri), "", self.licence, labels, length=0)
        name = tar_uri(_named(image.name), uri)
        return Entry(name, "", self.licence, labels, offset=image.offset, length=image.size)

    def _caption(self, sample: Sample, name: str) -> Any:
        """The sample's value for a caption option such as `txt` or `json.caption`.

        None if the sample has no such value.
        """
        kind, _, key = name.partition(".") if name.startswith("json.") else (name, "", "")
        member = sample.members.get(kind)
        if member is None or member.data is None:
            return None
        try:
            text = decode_text(member.data)
            content: Any = json.loads(text) if key else text
        except (ValueError, RecursionError):  # also UnicodeDecodeError and JSONDecodeError
            self._leave_out(member, f"a {kind} that cannot be read")
            return None
        if key and not isinstance(content, dict):
            self._leave_out(member, "a json that is no object")
            return None
        return content.get(key) if key else content

    def _leave_out(self, member: Member, why: str) -> None:
        """Counts a member that is not used, with the reason. Clears its data, so that it is counted only once."""
        self.texts.left_out[why] += 1
        member.data = None


def _samples(members: Sequence[Member], uri: str, twice: list[Member]) -> Iterator[Sample]:
    """Yields the samples that webdataset would make.

    If two members have the same name, the second is added to `twice`.
    """
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
    """Whether the name has the extension of an image. The format may be one that cannot be read."""
    return name.rsplit(".", 1)[-1].lower() in (*ENDINGS, *UNREAD) and "." in name.rsplit("/", 1)[-1]


def _image(sample: Sample) -> Member | None:
    """The image of a sample: the first member with the extension of an image.

    Otherwise the first member whose extension ends in an image extension (`seg.png`), or whose format cannot be read.
    """
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
    """The name as valid Unicode. It may differ from the name in the tar, because images are found by their offset."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
