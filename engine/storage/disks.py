"""Local disks: syncs folders, names temporary files, and turns errors into sentences.

Syncing a file is not enough: after a power loss a renamed file is there only if its folder was synced too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator

from engine.errors import StorageError

ABSENT = (FileNotFoundError, NotADirectoryError)  # nothing is there


def sha256_file(path: str) -> str:
    """The sha256 of a local file, in hex. The file is read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def storage_errors(name: str) -> Iterator[None]:
    """A context that turns errors of the file system into a StorageError of one sentence.

    Errors that a file is missing, or exists already, pass unchanged.
    """
    try:
        yield
    except (*ABSENT, FileExistsError, IsADirectoryError, StorageError):
        raise
    except OSError as error:
        raise StorageError(_sentence(name, error)) from error
    except Exception as error:
        # Object stores raise errors of their client libraries. For a missing file, fsspec raises an OSError instead.
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
    """Make a folder and its parents. The parents are synced, so that the new folders survive a power loss."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    if parent != folder:
        make_folder(parent)
    try:
        os.mkdir(folder)
    except (FileExistsError, NotADirectoryError):
        if os.path.isdir(folder):
            return  # another process made it meanwhile
        raise StorageError(f"'{folder}' is a file, expected a folder: move it away.") from None
    sync_folder(parent)


def set_s3_retries() -> None:
    """Make S3 clients retry for about a minute, because object stores often answer 500 or 503 and drop connections.

    Settings in the environment and in fsspec's own configuration come first.
    """
    import fsspec

    settings = fsspec.config.conf.setdefault("s3", {})
    config = settings.setdefault("config_kwargs", {})
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


def may_be_alive(temporary: str) -> bool:
    """Whether the process that writes this temporary file may still run. True if it runs on another machine."""
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


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[str]:
    """A context with a temporary folder for large files.

    Folders with this prefix that killed processes have left are removed. A folder is in use while its file `lock` is
    locked. The lock ends with the process.
    """
    for left in glob.glob(os.path.join(tempfile.gettempdir(), f"{glob.escape(prefix)}-*")):
        with contextlib.suppress(OSError), open(os.path.join(left, "lock"), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=f"{prefix}-") as folder,
        open(os.path.join(folder, "unlocked"), "wb") as file,
    ):
        fcntl.flock(file, fcntl.LOCK_EX)
        os.rename(
            file.name, os.path.join(folder, "lock")
        )  # other processes look for this name, so it must be locked before
        yield folder
