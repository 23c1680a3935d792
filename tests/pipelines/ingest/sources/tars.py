"""Builds tars and lists them as a source."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

from pipelines.ingest.sources.open import open_source
from pipelines.ingest.sources.source import Entry
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import failures


def tar(path: Path, *members: tuple[str, bytes], kind: int = tarfile.USTAR_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def listed(path: Path | str, **options: Any) -> list[Entry]:
    return list(open_source({"webdataset": str(path), **options}).entries())


def names(entries: list[Entry]) -> list[str]:
    return [entry.uri.removeprefix("tar://").rpartition("::")[0] for entry in entries]


def texts(entry: Entry) -> list[str]:
    return [text.text for text in entry.labels.texts] if entry.labels else []


def ingest(dataset: Path, source: str) -> list[tuple[str, str]]:
    """(file, reason) of each quarantined input."""
    data = {"dataset": str(dataset), "ingest": {"sources": [{"webdataset": source}]}}
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    return [(failure["reason"], failure["error"]) for failure in failures(dataset, "probe")]
