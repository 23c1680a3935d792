"""URLs as fsspec opens them. '::' chains file systems in fsspec (`tar://a.jpg::s3://b/x.tar`); in the path of a plain
URL or file it means nothing, and there it must not be taken for a chain.
"""

from __future__ import annotations

import re
from typing import Any

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
CHAINED = frozenset(  # file systems inside another one, which stands behind '::'
    ("tar", "zip", "libarchive", "dir", "reference", "cached", "blockcache", "filecache", "simplecache", "asyncwrapper")
)


def scheme_of(url: str) -> str:
    """In lower case; '' for a path."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def is_chain(url: str) -> bool:
    """Whether '::' in it stands between file systems."""
    return "::" in url and (scheme_of(url) in CHAINED or "::" in url.partition("://")[0])


def file_system(url: str, **options: Any) -> tuple[Any, str]:
    """The file system of a URL and the path in it. ValueError or ImportError where nothing opens it."""
    import fsspec

    scheme = scheme_of(url)
    url = scheme + url[len(scheme) :]  # fsspec knows schemes in lower case only
    if not scheme or "::" not in url or is_chain(url):
        fs, path = fsspec.core.url_to_fs(url, **options)
        return fs, str(path)
    kind = fsspec.get_filesystem_class(scheme)
    return kind(**kind._get_kwargs_from_urls(url), **options), str(kind._strip_protocol(url))
