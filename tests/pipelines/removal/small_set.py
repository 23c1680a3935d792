"""A small data set with everything that a removal must reach, and functions that look for what it left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from engine.images.decode import image_id
from pipelines.recipe import Recipe, parse_recipe
from pipelines.removal.remove import Removal, remove
from pipelines.stages.run import Summary, run

COUNT = 12
SHARD = 4


@dataclass(frozen=True)
class Small:
    """The data set in `folder`/set, its photos, and their ids in the order of their names."""

    folder: Path
    ids: list[str]

    @property
    def dataset(self) -> Path:
        return self.folder / "set"

    def photo(self, number: int) -> Path:
        return self.folder / "photos" / f"{number:02d}.png"

    def photos(self, *numbers: int) -> list[bytes]:
        return [(self.folder / "whole" / "photos" / f"{number:02d}.png").read_bytes() for number in numbers]

    def restore(self) -> None:
        for name in ("set", "photos", "more"):
            shutil.rmtree(self.folder / name)
            shutil.copytree(self.folder / "whole" / name, self.folder / name)


def draw_photos(folder: Path) -> list[str]:
    """Noisy photos, so that their bytes are distinct. Photo 5 looks like photo 4, but has less noise and fewer bytes.

    Returns the image ids.
    """
    folder.mkdir(parents=True)
    ids = []
    for number in range(COUNT):
        coarse = np.random.default_rng(4 if number == 5 else number).integers(0, 256, (6, 6, 3), np.uint8)
        fine = np.random.default_rng(100 + number).integers(0, 2 if number == 5 else 4, (48, 48, 3), np.uint8)
        pixels = np.asarray(Image.fromarray(coarse).resize((48, 48)), np.uint8) // 2 + fine
        path = folder / f"{number:02d}.png"
        Image.fromarray(pixels).save(path)
        ids.append(image_id(path.read_bytes()))
    return ids


def write_labels(path: Path) -> None:
    """A COCO json with two boxes by people for each photo, and its captions beside it."""
    images = [{"id": n, "file_name": f"{n:02d}.png", "width": 48, "height": 48} for n in range(COUNT)]
    boxes = [
        {"id": 2 * n + k, "image_id": n, "category_id": 1, "bbox": [2 + k, 3 + n, 20, 20]}
        for n in range(COUNT)
        for k in range(2)
    ]
    captions = [{"id": n, "image_id": n, "caption": f"People wrote text {n} here."} for n in range(COUNT)]
    path.write_text(json.dumps({"categories": [{"id": 1, "name": "cat"}], "images": images, "annotations": boxes}))
    (path.parent / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))


def data_of(folder: Path, name: str = "v1", **changes: Any) -> dict[str, Any]:
    """A recipe over the photos in `folder`: labels by people, an audit split, packed tars, whole-set rules."""
    labels = {"instances": str(folder / "labels.json"), "captions": str(folder / "captions.json")}
    return {
        "dataset": str(folder / "set"),
        "ingest": {
            "sources": [{"coco": {**labels, "images": str(folder / "photos")}}, {"folder": str(folder / "more")}],
            "shard_size": SHARD,
            "audit": {"fraction": 0.3},
            "pack": True,
        },
        "annotate": {
            "boxes": {"use": "fake_detector"},
            "some": {
                "use": "fake_detector",
                "seed": 3,
                "where": {"sql": "SELECT image_id FROM images WHERE width > 0"},
            },
            "objects": {"use": "consensus"},
            "people": {"use": "human"},
            "texts": {"use": "fake_captioner"},
            "quality": {"use": "image_quality"},
            "vectors": {"use": "fake_embedder", "size": 8},
            "parse": {"use": "spacy_parse"},
        },
        "filter": [
            {"min_score": {"floor": {"quantile": 0.2}}},
            "near_duplicate",
            {"semantic_duplicate": {"eps": 0.1}},
        ],
        "emit": {"name": name, "embeddings": ["vectors"], "formats": ["webdataset", "pairs", "imagefolder", "coco"]},
        **changes,
    }


def make(folder: Path) -> list[str]:
    """Makes the photos, the labels and the data set with its first release. Returns the image ids."""
    ids = draw_photos(folder / "photos")
    write_labels(folder / "labels.json")
    (folder / "more").mkdir()
    (folder / "more" / "copy.png").write_bytes((folder / "photos" / "02.png").read_bytes())
    go(folder)
    return ids


def recipe_of(folder: Path, name: str = "v1", **changes: Any) -> Recipe:
    return parse_recipe(data_of(folder, name, **changes))


def go(folder: Path, name: str = "v1", stage: str | None = None, **changes: Any) -> Summary:
    return run(recipe_of(folder, name, **changes), runner="inline", stage=stage)


def take_out(folder: Path, lines: Collection[str], **options: Any) -> Removal:
    path = folder / "ids.txt"
    path.write_text("\n".join(lines) + "\n")
    return remove(recipe_of(folder), str(path), **options)


# --- what is left ----------------------------------------------------------------------------------


def contents(dataset: Path) -> dict[str, bytes]:
    """{path: bytes} of every file outside of runs/."""
    found = {str(path.relative_to(dataset)): path for path in sorted(dataset.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("runs/")}


def committed_rows(dataset: Path, without: Collection[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """{FOLDER/SHARD/REVISION/PART: rows} of all commits but those of emission and of the survey, which are made again.

    Rows of the images `without` are left out, and the places of images in packed tars.
    """
    answer: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(dataset.glob("**/[0-9]*.json")):
        folder = str(path.parent.relative_to(dataset))
        if folder.split("/")[0] in ("emit", "survey", "rounds", "inputs", "listings", "models"):
            continue
        for part, file in json.loads(path.read_bytes())["files"].items():
            if not file["path"].endswith(".tar"):
                rows = pq.read_table(dataset / file["path"]).to_pylist()
                answer[f"{folder}/{path.stem}/{part}"] = [_placeless(row) for row in rows if _is_of(row, without)]
    return answer


def _is_of(row: dict[str, Any], without: Collection[str]) -> bool:
    return row.get("image_id", "-") not in ("", *without)


def _placeless(row: dict[str, Any]) -> dict[str, Any]:
    moved = str(row.get("uri", "")).startswith("images/")
    return {name: value for name, value in row.items() if not moved or name not in ("uri", "offset")}


def packed_bytes(dataset: Path) -> dict[str, bytes]:
    """{image id: its bytes in a packed tar}."""
    found = {}
    for path in sorted(dataset.glob("images/*.parquet")):
        for row in pq.read_table(path).to_pylist():
            data = (dataset / row["uri"]).read_bytes()
            found[row["image_id"]] = data[row["offset"] : row["offset"] + row["length"]]
    return found


def traces(dataset: Path, ids: Collection[str], photos: Collection[bytes]) -> list[str]:
    """The files, besides those of releases, that hold one of the ids or some bytes of one of the photos.

    Written without the search of the engine: it looks at every decoded value.
    """
    answer = []
    for path in sorted(path for path in dataset.rglob("*") if path.is_file()):
        name = str(path.relative_to(dataset))
        data = repr(list(_values(path))).encode() if _is_parquet(path) else path.read_bytes()
        windows = [photo[start : start + 24] for photo in photos for start in range(100, len(photo) - 24, 97)]
        if not name.startswith("releases/") and (
            any(one.encode() in data for one in ids) or any(window in path.read_bytes() for window in windows)
        ):
            answer.append(name)
    return answer


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _values(path: Path) -> Iterator[Any]:
    for row in pq.read_table(path).to_pylist():
        yield from row.values()
