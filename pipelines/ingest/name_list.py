"""A list of images that a person wrote: image ids, URIs, paths or ends of paths, one a line.

A line means every image whose id it is, or whose URI or path ends so: whole names only, so that `1.jpg` is not
`11.jpg`. A line that means none is never passed over: `unmatched` names it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from itertools import islice

from engine.errors import ConfigError
from engine.storage.open_uri import read_uri
from engine.storage.text_files import text_lines
from engine.storage.uris import short_name, split_uri
from engine.storage.urls import scheme_of
from pipelines.ingest.sources.file_uris import plain_path, resolve_file

TOLD = 5  # lines an error names
_COMPARED = 20_000  # names that are searched for the nearest one


def read_name_list(path: str, what: str) -> list[str]:
    """The lines that hold something. ConfigError if the file cannot be read, or has none."""
    try:
        lines = text_lines(read_uri(path))
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"The {what} '{path}' cannot be read: give a text file, one image id, URI or file name a line."
        ) from None
    if not lines:
        raise ConfigError(f"The {what} '{path}' is empty: give one image id, URI or file name a line.")
    return list(dict.fromkeys(lines))


class NameList:
    """Lines, and which images they mean: `take` is asked for every image, then the rest can be."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.images: dict[str, dict[str, str]] = {line: {} for line in lines}  # of each line: {image: a URI of it}
        self._lines: dict[str, list[str]] = {}
        for line in self.images:
            for spelling in {line, *_spellings(line)}:
                self._lines.setdefault(spelling, []).append(line)

    def take(self, image_id: str, uri: str) -> bool:
        """Whether a line means this image. An input that is no image has no id, and may be meant all the same."""
        found = [line for name in (image_id, *_ends(uri)) if name for line in self._lines.get(name, ())]
        for line in found:
            self.images[line].setdefault(image_id or uri, uri)
        return bool(found)

    def unmatched(self) -> list[str]:
        return [line for line, images in self.images.items() if not images]

    def ambiguous(self) -> list[str]:
        """Lines that mean several images."""
        return [line for line, images in self.images.items() if len(images) > 1]


def unmatched_error(path: str, what: str, lines: Collection[str], of: int, uris: Iterable[str]) -> ConfigError:
    """Names some of the lines that mean no image, and the nearest name of each."""
    names = sorted({short_name(uri) for uri in islice(uris, _COMPARED)})
    told = []
    for line in islice(lines, TOLD):
        nearest = get_close_matches(plain_path(line).rsplit("/", 1)[-1], names, 1, 0.6)
        told.append(f"'{line[:200]}'" + (f" (is it '{nearest[0]}'?)" if nearest else ""))
    more = ", ..." if len(lines) > TOLD else ""
    mean = "means" if len(lines) == 1 else "mean"
    return ConfigError(
        f"{len(lines)} of the {of} lines of the {what} '{path}' {mean} no listed image: {', '.join(told)}{more}; "
        "nothing was placed: correct these lines or take them out."
    )


def _spellings(line: str) -> Iterator[str]:
    """A line as it may be written otherwise: with backslashes, file://, ./, quotes, or a host in capitals."""
    bare = line.strip("\"'")
    yield bare
    yield plain_path(bare)
    located = resolve_file(bare, "/").uri
    if scheme_of(located) or located.removeprefix("/") != bare:
        yield located if scheme_of(located) or bare.startswith(("/", "file:", "local:")) else located.removeprefix("/")


def _ends(uri: str) -> Iterator[str]:
    """A URI and every end of its path, inside a container and outside: what a person may call the file."""
    kind, member, container = split_uri(uri)
    yield uri
    for path in (member, f"{container}/{member}", container) if kind else (uri,):
        if path != uri:
            yield path
        at = path.find("/")
        while at >= 0:
            yield path[at + 1 :]
            at = path.find("/", at + 1)
