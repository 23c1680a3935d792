"""Reads and writes the files of a data set, on any file system that fsspec supports.

Paths are relative to the data set's root, with '/'. There are two ways to write, both atomic. `put` replaces a whole
file. `create` writes only if there is no file yet and returns whether it did; commits rely on this. fsspec's own
mode="create" is not atomic on local disks, so there `create` uses a temporary file and a hard link.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from engine.errors import ConfigError, StorageError
from engine.extras import require
from engine.storage.disks import (
    ABSENT,
    make_folder,
    may_be_alive,
    set_s3_retries,
    sha256_file,
    storage_errors,
    sync_folder,
)
from engine.storage.urls import scheme_of

__all__ = ["Storage", "sha256_file", "storage_errors"]


class Storage:
    """The folder of a data set.

    It can be used from several threads, but must be made in the main thread. Pickled as its URL.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        set_s3_retries()
        try:
            self.fs, self.root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            if isinstance(error, ImportError) and scheme_of(url) in ("s3", "s3a"):
                require(f"'{url}'", ["s3fs"])
            raise ConfigError(f"Cannot open '{url}': {error}") from error
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        if protocol == "memory":
            raise ConfigError(
                "A data set cannot live on memory://: workers are other processes; give a folder or s3://."
            )
        self.local = protocol in ("file", "local")
        self.url = os.path.abspath(self.root) if self.local else url.rstrip("/")
        self.root = self.url if self.local else self.root.rstrip("/")

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return (Storage, (self.url,))

    def path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def read(self, name: str) -> bytes:
        """All bytes of a file. Raises FileNotFoundError if there is none."""
        with storage_errors(name):
            if self.local:
                with open(self.path(name), "rb") as file:
                    return file.read()
            data: bytes = self.fs.cat_file(self.path(name))
            return data

    def open(self, name: str) -> Any:
        """Open a file for reading bytes. The result can seek."""
        with storage_errors(name):
            return self.fs.open(self.path(name), "rb")

    def stat(self, name: str) -> tuple[int, int]:
        """(size, time of the last change in ns) of a local file. Raises FileNotFoundError if there is none."""
        with storage_errors(name):
            found = os.stat(self.path(name))
            return found.st_size, found.st_mtime_ns

    def size(self, name: str) -> int:
        with storage_errors(name):
            return int(os.path.getsize(self.path(name)) if self.local else self.fs.size(self.path(name)))

    def sha256(self, name: str) -> str:
        """The sha256 of a file, in hex. The file is read in pieces. Raises FileNotFoundError if there is none."""
        with storage_errors(name), self.open(name) as file:
            digest = hashlib.sha256()
            while data := file.read(1 << 20):
                digest.update(data)
            return digest.hexdigest()

    def put(self, name: str, data: bytes) -> None:
        with storage_errors(name):
            if not self.local:
                self.fs.pipe_file(self.path(name), data)
                return
            temporary = self._write_temporary(name, data)
            try:
                os.replace(temporary, self.path(name))
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            sync_folder(os.path.dirname(self.path(name)))

    def put_unflushed(self, files: Mapping[str, bytes]) -> None:
        """Write many files, replacing those that exist. After a power failure, they are safe only if `flush` ran."""
        if not self.local:
            with storage_errors(next(iter(files), "")):
                if files:
                    self.fs.pipe({self.path(name): data for name, data in files.items()})
            return
        for name, data in files.items():
            with storage_errors(name):
                temporary = self._write_temporary(name, data, flush=False)
                os.replace(temporary, self.path(name))

    def flush(self) -> None:
        """Wait until all that was written is on the disk. Object stores do not need it."""
        if self.local:
            os.sync()

    def upload(self, local_file: str, name: str) -> None:
        """Move a finished local file to `name`."""
        with storage_errors(name):
            if not self.local:
                self.fs.put_file(local_file, self.path(name))
                os.unlink(local_file)
                return
            target = self.path(name)
            make_folder(os.path.dirname(target))
            with open(local_file, "rb") as file:
                os.fsync(file.fileno())  # the file must be on the disk before a record names it
            os.replace(local_file, target)
            sync_folder(os.path.dirname(target))

    def scratch(self, name: str) -> str:
        """A local path for writing a file that `upload` will move to `name`.

        On a local disk, moving it is only a rename.
        """
        if self.local:
            return self._temporary(name)
        import tempfile

        return os.path.join(tempfile.gettempdir(), f"engine-{uuid4().hex}")

    def create(self, name: str, data: bytes) -> bool:
        """Write a file if there is none. Returns whether the file now has these bytes.

        If there is a file, its content is compared: a store may write the file but lose the reply, and the client then
        retries and finds its own file.
        """
        with storage_errors(name):
            create = self._create_local if self.local else self._create_remote
            return create(name, data) or self._has_content(name, data)

    def _has_content(self, name: str, data: bytes) -> bool:
        try:
            return self.read(name) == data
        except (FileNotFoundError, IsADirectoryError):
            return False

    def _create_local(self, name: str, data: bytes) -> bool:
        temporary = self._write_temporary(name, data)
        try:
            os.link(temporary, self.path(name))
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        sync_folder(os.path.dirname(self.path(name)))
        return True

    def _create_remote(self, name: str, data: bytes) -> bool:
        try:
            self.fs.pipe_file(self.path(name), data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            # Of two conditional puts at the same time, the store refuses one.
            if "ConditionalRequestConflict" not in str(error) and "PreconditionFailed" not in str(error):
                raise
            return False
        finally:
            self.fs.invalidate_cache(os.path.dirname(self.path(name)))
        return True

    def names(self, folder: str) -> list[str]:
        """The names in a folder, sorted, without temporary files. Empty if there is no such folder."""
        return [name for name in self.all_names(folder) if not name.startswith(".tmp-")]

    def tree(self, folder: str, *, temporary: bool = False) -> list[str]:
        """The paths of all files below a folder, relative to it, sorted. `temporary`: also of temporary files."""
        with storage_errors(folder or self.url):
            root = self.path(folder).rstrip("/")
            if not self.local:
                self.fs.invalidate_cache()
            try:
                found = self.fs.find(root)
            except ABSENT:
                return []
        names = sorted(str(path)[len(root) + 1 :] for path in found)
        return [name for name in names if temporary or not name.rpartition("/")[2].startswith(".tmp-")]

    def all_names(self, folder: str) -> list[str]:
        """The names in a folder, sorted, with temporary files. Empty if there is no such folder."""
        with storage_errors(folder or self.url):
            try:
                if self.local:
                    return sorted(os.listdir(self.path(folder)))
                self.fs.invalidate_cache()
                found = self.fs.ls(self.path(folder), detail=False)
            except ABSENT:
                return []
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder with everything in it, if it exists."""
        with storage_errors(folder), contextlib.suppress(FileNotFoundError):
            if self.local:
                shutil.rmtree(self.path(folder))
            else:
                self.fs.invalidate_cache()
                self.fs.rm(self.path(folder), recursive=True)

    def is_alive(self, temporary: str) -> bool:
        """Whether the process that writes this temporary file may still run. False on object stores."""
        return self.local and may_be_alive(temporary)

    def exists(self, name: str) -> bool:
        with storage_errors(name):
            if self.local:
                return os.path.exists(self.path(name))
            self.fs.invalidate_cache(os.path.dirname(self.path(name)))  # another run may have written it
            return bool(self.fs.exists(self.path(name)))

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with storage_errors(name), contextlib.suppress(FileNotFoundError):
            if self.local and os.path.isdir(self.path(name)):
                raise StorageError(f"'{name}' is a folder, expected a file: move it away.")
            if self.local:
                os.unlink(self.path(name))
            else:
                self.fs.rm_file(self.path(name))

    def sweep_temporaries(self, folder: str) -> int:
        """Remove the temporary files of processes of this machine that have ended. Returns how many."""
        if not self.local:
            return 0
        dead = [name for name in self.all_names(folder) if name.startswith(".tmp-") and not may_be_alive(name)]
        for name in dead:
            self.remove(f"{folder}/{name}")
        return len(dead)

    def check_writable(self) -> None:
        """Raise StorageError if the data set cannot be written.

        Called first, so that a run does not fail after hours.
        """
        name = f".tmp-probe-{uuid4().hex}"
        try:
            self.put(name, b"")
            self.remove(name)
        except (StorageError, OSError) as error:
            raise StorageError(f"The data set '{self.url}' cannot be written: {error}") from error

    def _temporary(self, name: str) -> str:
        target = self.path(name)
        folder = os.path.dirname(target)
        make_folder(folder)
        return os.path.join(folder, f".tmp-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}")

    def _write_temporary(self, name: str, data: bytes, *, flush: bool = True) -> str:
        temporary = self._temporary(name)
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                if flush:
                    os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        return temporary
