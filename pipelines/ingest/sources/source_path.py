"""Opens the path or URL of a whole source, and turns errors in reading it into one sentence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, StorageError
from engine.extras import how_to_install
from engine.storage.files import storage_errors
from engine.storage.open_uri import one_line, shortened, why_unreadable
from engine.storage.urls import file_system, scheme_of
from pipelines.ingest.sources.file_uris import local_path


def resolve_source(path: str) -> tuple[str, Any]:
    """(absolute local path, None), or (URL, its file system). Raises ConfigError if no file system opens it."""
    local = local_path(path)
    if not scheme_of(local):
        return os.path.abspath(Path(local).expanduser()), None
    try:
        # Each listing is read once. A cache of listings would hold every name of a bucket in memory.
        fs, root = file_system(path, use_listings_cache=False)
    except Exception as error:
        why = one_line(error)
        if isinstance(error, ImportError) and scheme_of(path) in ("s3", "s3a"):
            why = f"S3 needs the package s3fs: {how_to_install('s3fs')}"
        raise ConfigError(f"Cannot open the source '{shortened(path)}': {why}") from error
    return str(fs.unstrip_protocol(root)).rstrip("/"), fs


@contextlib.contextmanager
def source_errors(name: str) -> Iterator[None]:
    """Raises ConfigError for errors that another path or permission would solve. Other errors pass unchanged."""
    try:
        with storage_errors(name):
            yield
    except (OSError, StorageError, ValueError) as error:
        if why := why_unreadable(error):
            raise ConfigError(f"Cannot read the source '{shortened(name)}': {why}{_advice(why)}.") from error
        raise


def _advice(why: str) -> str:
    if "credentials" in why:
        return "; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return "; ask for the right to list and read it" if "permission" in why else ""
