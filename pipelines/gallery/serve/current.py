"""The snapshot that is served now. A new one is made if a run committed something since.

A page that is already open keeps asking: it then gets images of the new snapshot, so only a reload makes one.
"""

from __future__ import annotations

import hashlib
import threading

from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from pipelines.gallery.serve.index import Progress, no_progress
from pipelines.gallery.serve.snapshot import Snapshot


class Current:
    """`of`: the verdicts or the release to read, as in `engine query --of`; '' for the current verdicts."""

    def __init__(self, url: str, of: str = "", on_progress: Progress = no_progress) -> None:
        self._url, self._of = url, of
        self._lock = threading.Lock()
        dataset = self._open()
        self._state = _state(dataset)
        self.snapshot = Snapshot(dataset, on_progress)

    def refresh(self) -> Snapshot:
        """The latest snapshot. Requests that use the earlier one end undisturbed."""
        with self._lock:
            dataset = self._open()
            if (state := _state(dataset)) != self._state:
                self.snapshot = Snapshot(dataset)
                self._state = state
            return self.snapshot

    def _open(self) -> Dataset:
        dataset = Dataset.open(self._url)
        return dataset.of(self._of) if self._of else dataset


def _state(dataset: Dataset) -> str:
    """A digest of the names of all files that are read. A name has the digest of the file."""
    folders = [dataset.release] if dataset.release else [IMAGES, dataset.judge]
    digest = hashlib.sha256()
    for folder in [*folders, *(node.folder for node in dataset.nodes)]:
        digest.update(repr((folder, dataset.files(folder))).encode())
    digest.update(repr(dataset.changes()).encode())
    return digest.hexdigest()
