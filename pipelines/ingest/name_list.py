"""A list of images that a person wrote. Each line is an image id, a URI, a path or the end of a path.

A line matches each image that has this id, or whose URI or path ends with the line. Only whole names match: `1.jpg`
does not match `11.jpg`.
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

SHOWN = 5  # how many lines an error quotes
_COMPARED = 20_000  # how many names are searched for the most similar one


def read_name_list(path: str, what: str) -> list[str]:
    """The distinct lines that are not blank. Raises ConfigError if the file cannot be read or has no such line."""
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
    """The lines of a list and the images that they match. Call `match` for every image first."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.images: dict[str, dict[str, str]] = {line: {} for line in lines}  # {line: {image id: one of its URIs}}
        self._lines: dict[str, list[str]] = {}
        for line in self.images:
            for spelling in spellings(line):
                self._lines.setdefault(spelling, []).append(line)

    def match(self, image_id: str, uri: str) -> bool:
        """Whether a line matches this image.

        `image_id` is '' for an input that is not an image; its URI may still match.
        """
        found = [line for name in (image_id, *ends_of(uri)) if name for line in self._lines.get(name, ())]
        for line in found:
            self.images[line].setdefault(image_id or uri, uri)
        return bool(found)

    def unmatched(self) -> list[str]:
        return [line for line, images in self.images.items() if not images]

    def ambiguous(self) -> list[str]:
        """Lines that match several images."""
        return [line for line, images in self.images.items() if len(images) > 1]


def unmatched_error(path: str, what: str, lines: Collection[str], of: int, uris: Iterable[str]) -> ConfigError:
    """The error for `lines` that match no image. It quotes some of them, each with the most similar of the file names.

    `what`: the kind of list, in words. `of`: the number of lines in the whole list.
    """
    names = sorted({short_name(uri) for uri in islice(uris, _COMPARED)})
    shown = []
    for line in islice(lines, SHOWN):
        nearest = get_close_matches(plain_path(line).rsplit("/", 1)[-1], names, 1, 0.6)
        shown.append(f"'{line[:200]}'" + (f" (is it '{nearest[0]}'?)" if nearest else ""))
    more = ", ..." if len(lines) > SHOWN else ""
    match = "matches" if len(lines) == 1 else "match"
    return ConfigError(
        f"{len(lines)} of the {of} lines of the {what} '{path}' {match} no listed image: {', '.join(shown)}{more}; "
        "no image was put into a shard: correct these lines or take them out."
    )


def spellings(line: str) -> set[str]:
    """The line, and other spellings of it that mean the same image."""
    return {line, *_other_spellings(line)}


def _other_spellings(line: str) -> Iterator[str]:
    """Yields other spellings of the line: without quotes, backslashes, file:// or ./, with a lower-case host."""
    bare = line.strip("\"'")
    yield bare
    yield plain_path(bare)
    located = resolve_file(bare, "/").uri
    if scheme_of(located) or located.removeprefix("/") != bare:
        yield located if scheme_of(located) or bare.startswith(("/", "file:", "local:")) else located.removeprefix("/")


def ends_of(uri: str) -> Iterator[str]:
    """Yields the URI and every end of its path, both inside and outside of its container."""
    kind, member, container = split_uri(uri)
    yield uri
    for path in (member, f"{container}/{member}", container) if kind else (uri,):
        if path != uri:
            yield path
        at = path.find("/")
        while at >= 0:
            yield path[at + 1 :]
            at = path.find("/", at + 1)
