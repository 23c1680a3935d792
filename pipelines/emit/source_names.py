"""Names of sources and images in a release, without the folders of this machine, because other people will read them.

A local path is shortened to the name of the source and the path below it. URLs of the web and of object stores stay.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from engine.storage.uris import split_uri

_LOCAL = re.compile(r"^(?:(?:file|local)://)?(?=[/~])")
_GLOB = re.compile(r"[*?\[]")


def released_sources(sources: pa.ChunkedArray, field: pa.Field) -> pa.Array:
    """The column `sources` of images, with shortened names."""
    return pa.array([[released_source(one) for one in image] for image in sources.to_pylist()], field.type)


def released_source(given: Mapping[str, str]) -> dict[str, str]:
    """The source /data/photos and the uri /data/photos/cats/1.jpg become photos and cats/1.jpg."""
    return {"source": without_folders(given["source"]), "uri": _below(given["uri"], given["source"])}


def without_folders(name: str) -> str:
    """The last part of a local absolute path. In "tar://FILE::path", the path of FILE is shortened.

    Other names stay.
    """
    container = split_uri(name)[2]
    local = _LOCAL.match(container)
    if not local:
        return name
    return name[: len(name) - len(container)] + container.rstrip("/").rpartition("/")[2]


def released_recipe(value: Any) -> Any:
    """A copy of the recipe in which each local absolute path is shortened to its last part."""
    if isinstance(value, Mapping):
        return {key: released_recipe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [released_recipe(item) for item in value]
    return without_folders(value) if isinstance(value, str) else value


def _below(uri: str, source: str) -> str:
    """The path of the image below its source.

    If the source is a file or a glob, the path below the folder of the source.
    """
    container = split_uri(uri)[2]
    path, root = _path_of(container), _path_of(source)
    if not path:
        return uri
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
