"""The scenes of the synthetic world as an fsspec file system, for code that reads images by URL.

fsspec finds this class by the entry point "world" of the installed project. In a checkout that is not installed, call
`register`.
"""

from __future__ import annotations

import io
from typing import Any

from fsspec import AbstractFileSystem, register_implementation

from specialists.synthetic.world import scene_at


def register() -> None:
    """Registers the file system "world" in this process."""
    register_implementation("world", "specialists.synthetic.world_files.WorldFiles", clobber=True)


class WorldFiles(AbstractFileSystem):  # type: ignore[misc]
    """A read-only file system. Paths are scene URIs. Listing is not supported."""

    protocol = "world"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        return scene_at(path).data[start:end]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return {"name": path, "size": len(scene_at(path).data), "type": "file"}

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> io.BytesIO:
        return io.BytesIO(self.cat_file(path))
