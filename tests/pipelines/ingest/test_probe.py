"""The probe opens local files ahead, closes them in every case, and keeps answers in order."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ImageError
from engine.images.decode import image_id
from engine.schema import ANNOTATIONS
from pipelines.ingest import probe as probe_module
from pipelines.ingest.probe import Probe
from tests.runs import draw_photos


def rows(folder: Path, *names: str) -> list[dict[str, Any]]:
    unlabelled: dict[str, Any] = {column: [] for column in ANNOTATIONS}
    return [{"uri": str(folder / name), "offset": 0, "length": -1} | unlabelled for name in names]


@pytest.fixture
def probe() -> Probe:
    probe = Probe(max_pixels=10**6, max_bytes=10**6)
    probe.load()
    return probe


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_files_opened_ahead_are_closed(tmp_path: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_photos(tmp_path, 20)
    listed = rows(tmp_path, *sorted(path.name for path in tmp_path.iterdir()))
    probe.probe(listed)
    before = open_files()
    assert not any(isinstance(answer, ImageError) for answer in probe.probe(listed))
    assert open_files() == before
    monkeypatch.setattr("pipelines.ingest.probe.probe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        probe.probe(listed)
    assert open_files() == before


def test_answers_belong_to_their_files_even_if_some_are_missing(tmp_path: Path, probe: Probe) -> None:
    draw_photos(tmp_path, 12)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file() and path.name != "empty")
    listed = rows(tmp_path, "gone", *names[:6], "folder", "empty", *names[6:])
    answers = probe.probe(listed)
    assert [a.reason for a in answers if isinstance(a, ImageError)] == ["missing", "unreadable", "empty"]
    alone = [answer for row in listed for answer in probe.probe([row])]
    ids = [a if isinstance(a, ImageError) else a["image_id"] for a in answers]
    assert [str(one) for one in ids] == [str(a if isinstance(a, ImageError) else a["image_id"]) for a in alone]
    assert len(set(map(str, ids))) == len(ids)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_a_tar_is_opened_once_for_its_images_and_closed(
    tmp_path: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    draw_photos(tmp_path / "photos", 12)
    photos = sorted((tmp_path / "photos").iterdir())
    for name in ("a", "b"):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            for path in photos:
                tar.add(path, path.name)
    listed = []
    for name in ("a", "b"):
        with tarfile.open(tmp_path / f"{name}.tar") as tar:
            for member in tar.getmembers():
                row = rows(tmp_path, "")[0] | {"offset": member.offset_data, "length": member.size}
                listed.append(row | {"uri": f"tar://{member.name}::{tmp_path}/{name}.tar"})
    opened: list[str] = []
    real = probe_module.open_local
    monkeypatch.setattr(probe_module, "open_local", lambda path: (opened.append(path), real(path))[1])
    before = open_files()
    answers = probe.probe(listed)
    assert [a["image_id"] for a in answers if not isinstance(a, ImageError)] == [
        image_id(path.read_bytes()) for path in photos * 2
    ]
    assert opened == [f"{tmp_path}/a.tar", f"{tmp_path}/b.tar"]
    assert open_files() == before
