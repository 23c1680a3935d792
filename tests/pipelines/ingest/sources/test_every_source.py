"""The same photos from every kind of source give the same images and annotations, each counted once."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.images.decode import image_id
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.storage.commits import Commits
from pipelines.explore.why import why
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.shared_data import shared
from tests.written_sources import photographs, write_list, write_parquet, write_tars

ANNOTATE = {
    "first": {"use": "fake_detector"},
    "second": {"use": "fake_detector", "seed": 1},
    "objects": {"use": "consensus"},
    "alt": {"use": "source_texts"},
    "captions": {"use": "composer"},
    "pixels": {"use": "decodes"},
}
CAPTIONS = {"00001": "A first caption.", "00004": "Ein zweiter Satz."}


def made(dataset: Path | str, *sources: Any, stage: str | None = "annotate", **changes: Any) -> Dataset:
    data = {
        "dataset": str(dataset),
        "ingest": {"sources": list(sources), "shard_size": 5},
        "annotate": ANNOTATE,
        "filter": [{"min_score": {"floor": 0.4}}],
        "emit": {"name": "v1"},
        **changes,
    }
    for one in ("ingest", "annotate") if stage == "annotate" else (stage,):
        stages.run(parse_recipe(data), stage=one, runner="inline")
    return Dataset.open(str(dataset))


def images(dataset: Dataset) -> dict[str, dict[str, Any]]:
    paths = Commits(dataset.storage, "images").data_files().values()
    rows = [row for path in paths for row in pq.read_table(Path(dataset.url) / path).to_pylist()]
    assert len(rows) == len({row["image_id"] for row in rows})
    return {row["image_id"]: row for row in rows}


def annotations(dataset: Dataset) -> dict[tuple[str, str], Any]:
    """{(node, image id): row}"""
    found: dict[tuple[str, str], Any] = {}
    for node in dataset.nodes:
        for path in dataset.files(node.folder).values():
            for row in pq.read_table(Path(dataset.url) / path).to_pylist():
                assert not row["failures"]
                found[node.name, row.pop("image_id")] = row
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return photographs(tmp_path_factory.mktemp("given") / "photos", 12)


@pytest.fixture(scope="module")
def sources(photos: list[Path]) -> dict[str, dict[str, str]]:
    """The same photos and captions in every form that has captions."""
    home = photos[0].parents[1]
    write_tars(home / "tars", photos, CAPTIONS)
    return {
        "webdataset": {"webdataset": f"{home}/tars"},
        "parquet": {"parquet": str(write_parquet(home / "all.parquet", photos, CAPTIONS))},
        "uris": {"uris": str(write_list(home / "all.jsonl", photos, CAPTIONS))},
        "folder": {"folder": str(photos[0].parent)},
    }


def test_every_source_gives_the_same_images_and_annotations(
    photos: Sequence[Path], sources: Mapping[str, Any], tmp_path: Path
) -> None:
    sets = {kind: made(tmp_path / kind, source) for kind, source in sources.items()}
    ids = [image_id(path.read_bytes()) for path in photos]
    assert all(list(images(dataset)) == ids for dataset in sets.values())
    answers = {kind: annotations(dataset) for kind, dataset in sets.items()}
    assert len(answers["folder"]) == (len(ANNOTATE) + 1) * len(photos)  # regions are judged before the composer
    assert answers["webdataset"] == answers["parquet"] == answers["uris"]
    texts = {
        image: [item["text"] for item in row["texts"]]
        for (node, image), row in answers["uris"].items()
        if node == "alt"
    }
    assert texts == {
        name: [CAPTIONS[path.stem]] if path.stem in CAPTIONS else [] for name, path in zip(ids, photos, strict=True)
    }
    # A folder has no captions; nothing else may differ.
    seen = {
        kind: {key: row for key, row in rows.items() if key[0] in ("first", "second", "objects")}
        for kind, rows in answers.items()
    }
    assert seen["folder"] == seen["webdataset"]


def test_web_captions_keep_their_producer_and_are_judged(sources: Mapping[str, Any], tmp_path: Path) -> None:
    annotate = {"alt": {"use": "source_texts"}, "human": {"use": "human"}}
    web = made(tmp_path / "web", sources["webdataset"], annotate=annotate)
    people = made(tmp_path / "people", sources["webdataset"] | {"captions_by": "human"}, annotate=annotate)
    for dataset, node, expected in ((web, "alt", ("web", 1.0, "given")), (people, "human", ("human", None, ""))):
        rows = {key: row["texts"] for key, row in annotations(dataset).items()}
        texts = [text for texts in rows.values() for text in texts]
        assert {(text["producer"], text["score"], text["score_kind"]) for text in texts} == {expected}
        assert {key[0] for key, row in rows.items() if row} == {node}
        assert len(texts) == len(CAPTIONS)


def test_an_image_of_several_sources_counts_once_and_keeps_all_sources(
    photos: Sequence[Path], sources: Mapping[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos[0].parent, folder)
    (folder / "notes.txt").write_text("not a picture")
    extra = photographs(tmp_path / "extra", 13, size=40)[-1]
    shutil.copy(extra, folder / "zzz.jpg")
    dataset = made(
        tmp_path / "set",
        {"folder": str(folder)},
        *(sources[kind] for kind in ("webdataset", "parquet", "uris")),
        stage=None,
    )
    found = images(dataset)
    assert len(found) == 13
    assert [len(row["sources"]) for row in found.values()] == [4] * 12 + [1]
    assert {source["source"] for source in found[image_id(photos[0].read_bytes())]["sources"]} == {
        str(folder),
        *(str(Path(*source.values())) for kind, source in sources.items() if kind != "folder"),
    }
    counted = account(dataset)
    assert counted.balanced
    assert sum(counted.outcomes.values()) == counted.inputs == 14 + 3 * 12
    assert (counted.outcomes["duplicates"], counted.outcomes["quarantined"]) == (36, 1)


def test_a_member_of_a_tar_is_found_by_its_name(
    sources: Mapping[str, Any], photos: Sequence[Path], tmp_path: Path
) -> None:
    dataset = made(tmp_path / "set", sources["webdataset"], stage="ingest")
    name = image_id(photos[7].read_bytes())
    for name_of_member in ("00007.png", "00007", f"tar://00007.png::{sources['webdataset']['webdataset']}/00001.tar"):
        assert name in str(why(dataset, name_of_member))


def test_tars_on_s3_make_the_same_release_as_local_ones(
    s3: tuple[dict[str, str], Any], sources: Mapping[str, Any], tmp_path: Path
) -> None:
    _, fs = s3
    fs.put(sources["webdataset"]["webdataset"], "photos/tars", recursive=True)
    remote = made(tmp_path / "remote", {"webdataset": "s3://photos/tars/{00000..00002}.tar"}, stage=None)
    local = made(tmp_path / "local", sources["webdataset"], stage=None)
    assert {row["uri"].split("::")[1].rsplit("/", 1)[0] for row in images(remote).values()} == {"s3://photos/tars"}
    assert list(images(remote)) == list(images(local))
    assert annotations(remote) == annotations(local)
    assert released(remote) == released(local)


def released(dataset: Dataset) -> tuple[dict[str, bytes], list[Any]]:
    """The images in a release's tars, and its rows without their sources, which may differ."""
    folder, pictures, rows = Path(dataset.url) / "releases/v1", {}, []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = [info for info in tar if not info.name.endswith(".json")]
            pictures |= {info.name: file.read() for info in members if (file := tar.extractfile(info))}
    for path in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            rows.append({name: value for name, value in row.items() if name not in ("sources", "offset", "length")})
    assert len(pictures) == 12
    return pictures, rows


@pytest.mark.slow
def test_the_real_photos_are_the_same_images_with_the_same_annotations_from_every_source(tmp_path: Path) -> None:
    photos = sorted(shared("coco/dev").glob("images/*.jpg"))
    assert len(photos) == 90
    write_tars(tmp_path / "tars", photos, a_tar=40)
    sources = [
        {"folder": str(photos[0].parent)},
        {"webdataset": f"{tmp_path}/tars/*.tar"},
        {"parquet": str(write_parquet(tmp_path / "all.parquet", photos))},
        {"uris": str(write_list(tmp_path / "all.txt", photos))},
    ]
    found = images(made(tmp_path / "set", *sources, stage="ingest"))
    assert sorted(found) == sorted(image_id(path.read_bytes()) for path in photos)
    assert all(len(row["sources"]) == 4 for row in found.values())
    annotate = {name: ANNOTATE[name] for name in ("first", "objects")} | {"quality": {"use": "image_quality"}}
    first, *others = (annotations(made(tmp_path / next(iter(s)), s, annotate=annotate)) for s in sources)
    assert {key for key, row in first.items() if row["image_scores"]} == {("quality", name) for name in found}
    assert len(first) == len(annotate) * 90
    assert [other == first for other in others] == [True] * 3
