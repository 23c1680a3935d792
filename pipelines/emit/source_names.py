"""Names of sources and images in a release, without the folders of this machine, because other people will read them.

A local path is shortened to the name of the source and the path below it. URLs of the web and of object stores stay,
without a user name and password.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from engine.storage.uris import split_uri

_LOCAL = re.compile(r"^(?:(?:file|local)://)?(?=[/~])")
_GLOB = re.compile(r"[*?\[]")
# Paths inside a longer text, such as SQL: in quotes, where they may have spaces, or between spaces.
_QUOTED = re.compile(r"""(?P<quote>['"])(?P<path>(?:(?:file|local)://)?[/~][^'"]*/[^'"]*)(?P=quote)""")
_BARE = re.compile(r"(?<![\w.:/~'\"-])(?:(?:file|local)://)?~?[\w-]*(?:/[^\s/'\",;()]+){2,}/?")
_PASSWORD = re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]*@")
_LABELS = ("label_list", "labels")  # in the section emit: a label may look like a path, such as /m/01g317


def released_sources(sources: pa.ChunkedArray, field: pa.Field) -> pa.Array:
    """The column `sources` of images, with shortened names."""
    return pa.array([[released_source(one) for one in image] for image in sources.to_pylist()], field.type)


def released_source(given: Mapping[str, str]) -> dict[str, str]:
    """The source /data/photos and the uri /data/photos/cats/1.jpg become photos and cats/1.jpg."""
    return {"source": without_folders(given["source"]), "uri": _below(given["uri"], given["source"])}


def without_folders(name: str) -> str:
    """The last part of a local absolute path. In "tar://FILE::path", the path of FILE is shortened.

    Other names stay, but for passwords.
    """
    container = split_uri(name)[2]
    local = _LOCAL.match(container)
    if not local:
        return _PASSWORD.sub("", name)
    return name[: len(name) - len(container)] + container.rstrip("/").rpartition("/")[2]


def released_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the recipe in which local paths are shortened to their last part, those in SQL too."""
    released: dict[str, Any] = _shortened(recipe)
    emit = recipe.get("emit")
    if isinstance(emit, Mapping):
        released["emit"] |= {name: emit[name] for name in _LABELS if name in emit}
    return released


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _with_different_keys((_shortened(key), _shortened(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [_shortened(item) for item in value]
    return _without_paths(value) if isinstance(value, str) else value


def _with_different_keys(items: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Two sources may have the same last part. The second one then gets a number."""
    answer: dict[Any, Any] = {}
    for key, item in items:
        name, number = key, 2
        while name in answer:
            name, number = f"{key} ({number})", number + 1
        answer[name] = item
    return answer


def _without_paths(text: str) -> str:
    if text.startswith("../"):
        return text.rstrip("/").rpartition("/")[2]
    short = without_folders(text)
    if short != text or "://" in text.partition("::")[0]:
        return short
    quoted = _QUOTED.sub(lambda found: found["quote"] + without_folders(found["path"]) + found["quote"], text)
    return _BARE.sub(lambda found: _last_part(found[0]), quoted)


def _last_part(found: str) -> str:
    """The last part of an absolute path. A relative path stays."""
    return without_folders(found) if _LOCAL.match(found) else found


def _below(uri: str, source: str) -> str:
    """The path of the image below its source.

    If the source is a file or a glob, the path below the folder of the source.
    """
    container = split_uri(uri)[2]
    path, root = _path_of(container), _path_of(source)
    if not path:
        return _PASSWORD.sub("", uri)
    for folder in (_fixed(root), os.path.dirname(_fixed(root))) if root else ():
        if folder not in ("", "/") and path.startswith(folder + "/"):
            return uri[: len(uri) - len(container)] + path[len(folder) + 1 :]
    return without_folders(uri)


def _path_of(name: str) -> str:
    """A local absolute path without its scheme. It is '' if the name is not such a path."""
    local = _LOCAL.match(name)
    return name[local.end() :].rstrip("/") if local else ""


def _fixed(path: str) -> str:
    """The fixed part of a glob: the folder before its first pattern."""
    found = _GLOB.search(path)
    return path[: found.start()].rpartition("/")[0] if found else path
