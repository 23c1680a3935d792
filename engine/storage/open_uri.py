"""Reads the bytes at a URI: a local file, an object store, the web, or a place inside a container.

If only one name is at fault (too long, a pipe, no permission, no such bucket), only this input fails. An error of the
disk, of memory or of the network is a StorageError and stops the run. `why_unreadable` decides which it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Any

from engine.errors import ImageError, StorageError
from engine.storage.disks import ABSENT, storage_errors
from engine.storage.parquet_rows import read_row
from engine.storage.uris import check_member, column_and_row, split_uri
from engine.storage.urls import file_system, is_chain, scheme_of
from engine.storage.web import fetch

NO_FILE = "it is a pipe, a socket or a device, not a file"


class NotAFile(OSError):
    """The path is a pipe, a socket, a device or a folder, not a file. Reading a pipe could block for ever."""


NO_PERMISSION = "no permission to read it"
_OF_ONE_NAME = {
    errno.ENAMETOOLONG: "its name is too long for the file system",
    errno.ELOOP: "its symbolic links form a circle",
    errno.ESPIPE: NO_FILE,
    errno.ENXIO: NO_FILE,
    errno.ENODEV: NO_FILE,
    errno.EISDIR: "it is a folder, not a file",
    errno.EACCES: NO_PERMISSION,
    errno.EPERM: NO_PERMISSION,
    errno.EINVAL: "the file system does not allow its name",
    errno.EILSEQ: "the file system does not allow its name",
    errno.EOVERFLOW: "the file system cannot read it",
    errno.EOPNOTSUPP: "the file system cannot read it",
    getattr(errno, "EREMCHG", errno.EILSEQ): "its bucket is in another region",
}


def read_uri(uri: str, offset: int = 0, length: int = -1, *, at_most: int = -1) -> bytes:
    """Read `length` bytes from `offset`, at most `at_most`. -1 stands for no limit in both.

    Raises FileNotFoundError if nothing is there, ImageError if the image cannot be downloaded or is not in its
    container, and StorageError for any other failure.
    """
    with storage_errors(uri):
        if not scheme_of(uri):
            return _read_path(uri, offset, least(length, at_most))
        kind, member, container = split_uri(uri)
        if kind:
            check_member(uri, offset)
        if kind == "parquet":
            return read_parquet_row(container, member)[slice(0, at_most if at_most >= 0 else None)]
        if kind == "tar" and length >= 0:
            return read_uri(container, offset, least(length, at_most))
        if scheme_of(uri) in ("http", "https"):
            return fetch(uri, offset, least(length, at_most))
        return read_remote(uri, offset, least(length, at_most))


def read_input(uri: str, offset: int = 0, length: int = -1, *, at_most: int = -1) -> bytes:
    """Read bytes like `read_uri`, for an input whose failure must not stop the run.

    Raises ImageError `missing` if there is no file, and `unreadable` if the error is about this input only.
    """
    try:
        return read_uri(uri, offset, length, at_most=at_most)
    except ABSENT:
        raise ImageError("missing", f"no file at '{shortened(uri)}'") from None
    except (OSError, ValueError, StorageError) as error:
        if why := why_unreadable(error):
            raise ImageError("unreadable", f"{why}: '{shortened(uri)}'") from error
        raise


def why_unreadable(error: BaseException) -> str:
    """Why one input cannot be read, in a few words. '' if the error is not about this input but about the storage."""
    cause = error.__cause__ if type(error).__name__ == "StorageError" and error.__cause__ else error
    if isinstance(cause, PermissionError):
        return _OF_ONE_NAME[errno.EACCES]
    if isinstance(cause, OSError):
        return _OF_ONE_NAME.get(cause.errno or 0, "")
    if isinstance(cause, UnicodeEncodeError):
        return "its name is not UTF-8"
    if isinstance(cause, ValueError) and "null" in str(cause):
        return "its name holds a NUL character"
    return _why_of_object_store(cause)


_CREDENTIALS = (
    "NoCredentials",
    "PartialCredentials",
    "CredentialRetrieval",
    "ProfileNotFound",
    "SSOToken",
    "TokenRetr",
)


def _why_of_object_store(error: BaseException) -> str:
    """Why one bucket or key cannot be read, from an error of botocore. '' for other errors."""
    name = type(error).__name__
    if name.startswith(_CREDENTIALS) or "SSOToken" in name:
        return "there are no credentials for its bucket"
    if name in ("ParamValidationError", "InvalidBucketName", "InvalidRegionError"):
        return "its bucket or key is not a valid name"
    return ""


def _read_path(path: str, offset: int, length: int) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return read_local(file, offset, length)
    finally:
        os.close(file)


def read_local(file: int, offset: int, length: int) -> bytes:
    """Read from an open file, which stays open. Raises OSError for a pipe. A negative `length` stands for no limit."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.ESPIPE, NO_FILE)
    left = least(length, max(0, status.st_size - offset))  # pread allocates memory for its whole length
    data = os.pread(file, left, offset)
    while len(data) < left and (more := os.pread(file, left - len(data), offset + len(data))):
        data += more
    return data


def open_local(path: str) -> int:
    """Open a local file. Returns the descriptor, or -1 if it cannot be opened: a later read then raises the error."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK) if path else -1
    except (OSError, ValueError):  # a NUL in the name is a ValueError
        return -1


def advise(file: int, offset: int, length: int) -> None:
    """Begin to load a part of an open file into the page cache. A negative `length` stands for all of it."""
    if file >= 0 and hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(file, offset, max(length, 0), os.POSIX_FADV_WILLNEED)


def check_regular(path: str) -> None:
    """Raise NotAFile if the path is not a regular file. Call it before a library opens the path."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.ESPIPE
        raise NotAFile(code, _OF_ONE_NAME[code], path)


def least(length: int, at_most: int) -> int:
    """The smaller of two lengths. A negative length stands for no limit."""
    return max(length, at_most) if length < 0 or at_most < 0 else min(length, at_most)


def read_parquet_row(container: str, member: str) -> bytes:
    """The image in a row of a Parquet file. `member`: "column/row".

    Raises ImageError if the row has no image or cannot be decoded.
    """
    import pyarrow as pa

    try:
        column, row = column_and_row(member)
    except ValueError:
        raise ImageError("missing", f"'{shortened(member)}' is not a column and a row of '{container}'") from None
    try:
        data = read_row(container, column, row)
    except (pa.ArrowException, ValueError, OSError) as error:
        if isinstance(error, ABSENT) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise ImageError("corrupt", f"row {row} of '{container}' cannot be decoded: {one_line(error)}") from None
    if data is None:
        raise ImageError("no_image", f"row {row} of '{container}' has no image in the column '{column}'")
    return data


# Stores that hold whole data sets. If one does not answer, the fault is not that of a single image.
_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "file", "local", "memory", "world")


def read_remote(uri: str, offset: int, length: int) -> bytes:
    """Read bytes by fsspec.

    Raises ImageError `unreachable` if no file system can open the URI, or if a host that is not an object store fails.
    """
    container = uri.rpartition("::")[2] if is_chain(uri) else uri
    try:
        if not scheme_of(container):
            check_regular(container)
        fs, path = file_system(uri)
        end = None if length < 0 else offset + length
        data: bytes = fs.cat_file(path) if offset == 0 and end is None else fs.cat_file(path, start=offset, end=end)
    except (*ABSENT, MemoryError):
        raise
    except Exception as error:
        if why_unreadable(error) or is_of_the_store(error, container):
            raise
        raise ImageError("unreachable", f"no file system can open it: {one_line(error)}") from error
    return data


def is_of_the_store(error: BaseException, uri: str) -> bool:
    """Whether an error comes from an object store or a disk.

    Otherwise it is about the host or the scheme of this URI.
    """
    from_storage = isinstance(error, OSError) or type(error).__module__.startswith(("botocore", "aiobotocore"))
    return from_storage and scheme_of(uri) in (*_STORES, "")


def one_line(error: BaseException) -> str:
    """The message of an error on one line, cut to 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def shortened(name: Any, most: int = 200) -> str:
    """A name for messages. If it is longer than `most`, its middle is left out."""
    text = str(name)
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 4 :]}"
