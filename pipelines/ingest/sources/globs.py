"""Globs for the options `include` and `exclude` of a folder. They match relative paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Glob:
    """One parsed glob. `*` also matches slashes, and `**/` also matches the empty text.

    A glob that ends with a slash matches only folders. A glob that starts with a slash matches only whole relative
    paths. A glob without a slash inside also matches a name in any folder.
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    folders: tuple[str, ...]  # patterns for a folder, which then match everything in it
    only_folders: bool

    @classmethod
    def parse(cls, text: str) -> Glob:
        body = text.removeprefix("./").strip("/")
        paths = tuple(dict.fromkeys((body, body.removeprefix("**/"), body.replace("/**/", "/"))))
        names = () if "/" in body or text.startswith("/") else (body,)
        folders = tuple(path.rstrip("*").rstrip("/") for path in paths if path.endswith(("/*", "/**")))
        return cls(paths, names, folders, text.endswith("/"))

    def match(self, path: str, name: str, *, is_folder: bool) -> bool:
        if is_folder and any(fnmatchcase(path, glob) for glob in self.folders):
            return True
        if self.only_folders and not is_folder:
            return False
        return any(fnmatchcase(path, glob) for glob in self.paths) or any(
            fnmatchcase(name, glob) for glob in self.names
        )


class Globs:
    """A list of globs. A path matches the list if it matches a glob.

    `unmatched`: globs that have not matched any path yet.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._globs = {text: Glob.parse(text) for text in texts}
        self._all = "*" in self._globs
        self.unmatched = [text for text in self._globs if text != "*"]

    def match(self, path: str, name: str, *, is_folder: bool) -> bool:
        if self._all and not self.unmatched:
            return True
        matched = [text for text, glob in self._globs.items() if glob.match(path, name, is_folder=is_folder)]
        if matched and self.unmatched:
            self.unmatched = [text for text in self.unmatched if text not in matched]
        return bool(matched)
