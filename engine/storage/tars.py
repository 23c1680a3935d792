"""Tars whose bytes depend on their members alone: USTAR, no time, no owner; what webdataset and `datasets` read.

A key must hold no dot: both readers cut the name at the first one, and a dotted key silently merges samples.
"""

from __future__ import annotations

import re
import tarfile
from typing import BinaryIO

_KEY = re.compile(r"[0-9a-z_-]{1,80}")
_EXTENSION = re.compile(r"[0-9a-z]{1,12}")
_BLOCK = tarfile.BLOCKSIZE


class TarWriter:
    """Writes to any binary file, also one that cannot seek. Close it (or leave the `with`) to end the archive."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0

    def add(self, key: str, extension: str, data: bytes) -> tuple[int, int]:
        """One member "<key>.<extension>". Where its data lies in the tar: offset and length."""
        name = f"{key}.{extension}"
        if not (_KEY.fullmatch(key) and _EXTENSION.fullmatch(extension)):
            raise ValueError(f"'{name}' cannot be a member: a key is lower case letters and digits, without dots.")
        header = tarfile.TarInfo(name)  # mtime 0, mode 0644, owner 0 without a name
        header.size = len(data)
        self._write(header.tobuf(tarfile.USTAR_FORMAT))
        offset = self._position
        self._write(data)
        self._write(bytes(-len(data) % _BLOCK))
        return offset, len(data)

    def close(self) -> None:
        """Two empty blocks, then up to a whole record, as every tar ends. The file itself stays open."""
        self._write(bytes(2 * _BLOCK))
        self._write(bytes(-self._position % tarfile.RECORDSIZE))

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:  # a tar that failed half-way is not made to look whole
            self.close()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._position += len(data)
