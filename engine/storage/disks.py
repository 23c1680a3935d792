"""What lies below a Storage: folders and names that are on the disk when they are said to be, errors as sentences.

What can go wrong: a file that was renamed is not on the disk before its folder is synced, whatever was synced of it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
from collections.abc import Iterator

from engine.errors import StorageError

ABSENT = (FileNotFoundError, NotADirectoryError)  # nothing is there


def sha256_file(path: str) -> str:
    """Hex digest of a local file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def storage_errors(name: str) -> Iterator[None]:
    """What the file system raises becomes one sentence; what means "not there" stays what it is."""
    try:
        yield
    except (*ABSENT, FileExistsError, IsADirectoryError, StorageError):
        raise
    except OSError as error:
        raise StorageError(_sentence(name, error)) from error
    except Exception as error:
        # Object stores raise their client's own errors; those that mean "not there" were turned into OSError by fsspec.
        if type(error).__module__.split(".")[0] not in ("botocore", "aiobotocore", "aiohttp", "fsspec", "asyncio"):
            raise
        raise StorageError(f"Storage failed at '{name}': {type(error).__name__}: {error}") from error


def _sentence(name: str, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full: '{name}' could not be written; free some space and run the same command again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission for '{name}': {error.strerror}."
    return f"Storage failed at '{name}': {error}"


def make_folder(folder: str) -> None:
    """Like os.makedirs; the new folders are on the disk when it returns, so that what is in them can be found."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    if parent != folder:
        make_folder(parent)
    try:
        os.mkdir(folder)
    except (FileExistsError, NotADirectoryError):
        if os.path.isdir(folder):
            return  # made by somebody else meanwhile
        raise StorageError(f"'{folder}' is a file, expected a folder: move it away.") from None
    sync_folder(parent)


def keep_trying() -> None:
    """Object stores answer 500 and 503 in bursts, and drop connections: try for about a minute before giving up.

    What the environment or fsspec's own configuration says wins.
    """
    import fsspec

    told = fsspec.config.conf.setdefault("s3", {})
    config = told.setdefault("config_kwargs", {})
    if "AWS_MAX_ATTEMPTS" not in os.environ and "AWS_RETRY_MODE" not in os.environ:
        config.setdefault("retries", {"mode": "standard", "max_attempts": 10})
    config.setdefault("connect_timeout", 10)
    config.setdefault("read_timeout", 60)


def sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def alive(temporary: str) -> bool:
    host, _, rest = temporary.removeprefix(".tmp-").rpartition("-")[0].rpartition("-")
    if host != socket.gethostname() or not rest.isdigit():
        return True
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
