"""Opens URLs by fsspec.

In fsspec '::' chains file systems (`tar://a.jpg::s3://b/x.tar`). In a plain path or URL '::' is part of the name, and
must not be read as a chain.
"""

from __future__ import annotations

import re
from typing import Any

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
CHAINED = frozenset(  # schemes of file systems inside another file, whose name comes after '::'
    ("tar", "zip", "libarchive", "dir", "reference", "cached", "blockcache", "filecache", "simplecache", "asyncwrapper")
)


def scheme_of(url: str) -> str:
    """The scheme of a URL, in lower case. '' for a path."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def is_chain(url: str) -> bool:
    """Whether the URL chains file systems."""
    return "::" in url and (scheme_of(url) in CHAINED or "::" in url.partition("://")[0])


def file_system(url: str, **options: Any) -> tuple[Any, str]:
    """The file system of a URL, and the path in it. Raises ValueError or ImportError if no file system can open it."""
    import fsspec

    scheme = scheme_of(url)
    url = scheme + url[len(scheme) :]  # fsspec expects schemes in lower case
    if not scheme or "::" not in url or is_chain(url):
        fs, path = fsspec.core.url_to_fs(url, **options)
        return fs, str(path)
    kind = fsspec.get_filesystem_class(scheme)
    return kind(**kind._get_kwargs_from_urls(url), **options), str(kind._strip_protocol(url))
