"""How well the rule min_image_text_score tells the captions of a photo from those of other photos.

    python -m benchmarks.image_text --data ../shared/data
    python -m benchmarks.image_text --data ../shared/data --checkpoint google/siglip2-base-patch16-224 --gpus 1

Every photo gets the captions of all photos, as alt-text of the web, and `engine run` scores and judges them with a
floor of 1. So the rule drops every caption, and its verdict holds the value that it compared. Of these values the table
shows the area under the curve (AUC) of own captions against all others, the same with one other caption for each
(shuffled), the share of captions that find their own photo first (R@1), and both for each half of the photos.
Without --checkpoint the specialist is label_similarity on the packaged detector and tagger.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.commands import command, rows

Floats = npt.NDArray[np.float64]

RULE = "min_image_text_score"
_VALUES = f"SELECT i.uri, t.text, t.value FROM texts t JOIN images i USING (image_id) WHERE t.rule = '{RULE}.floor'"
PACKAGED: Mapping[str, Any] = {
    "tags": {"use": "tags"},
    "ssd": {"use": "ssd_mobilenet"},
    "objects": {"use": "consensus"},
    "match": {"use": "label_similarity"},
}


@dataclass(frozen=True, slots=True)
class Photo:
    path: Path
    captions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Values:
    """What the rule compared: a row for each caption, a column for each photo. `own`: the column of its photo."""

    compared: Floats
    own: npt.NDArray[np.int64]

    def of(self, photos: npt.NDArray[np.int64]) -> Values:
        """Of some photos alone: their captions and their columns."""
        rows_of = np.isin(self.own, photos)
        return Values(self.compared[rows_of][:, photos], np.searchsorted(photos, self.own[rows_of]))

    @property
    def matching(self) -> Floats:
        return self.compared[np.arange(len(self.own)), self.own]

    def auc(self) -> float:
        """Of own captions against those of all other photos."""
        others = np.ones_like(self.compared, np.bool_)
        others[np.arange(len(self.own)), self.own] = False
        return auc(self.matching, self.compared[others])

    def auc_shuffled(self) -> float:
        """Of own captions against the same captions, each on one other photo; the mean of ten shuffles."""
        random, photos = np.random.default_rng(0), self.compared.shape[1]
        found = []
        for _ in range(10):
            other = (self.own + random.integers(1, photos, len(self.own))) % photos
            found.append(auc(self.matching, self.compared[np.arange(len(self.own)), other]))
        return float(np.mean(found))

    def first(self) -> float:
        """The share of captions with a higher value for their own photo than for any other."""
        return float(((self.compared >= self.matching[:, None]).sum(axis=1) == 1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with coco/dev")
    parser.add_argument("--checkpoint", default="", help="of image_text_scorer: a folder or a hub id")
    parser.add_argument("--gpus", type=float, default=0.0)
    given = parser.parse_args()
    nodes = PACKAGED
    if given.checkpoint:
        nodes = {"match": {"use": "image_text_scorer", "checkpoint": given.checkpoint, "gpus": given.gpus}}
    with tempfile.TemporaryDirectory() as folder:
        values = measured(coco_photos(given.data / "coco" / "dev"), nodes, Path(folder))
    photos = np.arange(values.compared.shape[1])
    print(f"{'':24}{'photos':>8}{'captions':>10}{'AUC':>8}{'shuffled':>10}{'R@1':>7}")
    for name, some in (("all", photos), ("every second photo", photos[::2]), ("the others", photos[1::2])):
        part = values.of(some)
        counts = f"{len(some):8}{len(part.own):10}"
        print(f"{name:24}{counts}{part.auc():8.3f}{part.auc_shuffled():10.3f}{part.first():7.2f}")


def coco_photos(folder: Path) -> list[Photo]:
    """The photos that have captions, by id. A caption that several photos have is left out."""
    found = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    captions: dict[int, list[str]] = {}
    texts = [row["caption"].strip() for row in found["annotations"]]
    for row, text in zip(found["annotations"], texts, strict=True):
        if texts.count(text) == 1:
            captions.setdefault(row["image_id"], []).append(text)
    return [Photo(folder / "images" / f"{number:012}.jpg", own) for number, own in sorted(captions.items())]


def measured(photos: Sequence[Photo], nodes: Mapping[str, Any], folder: Path) -> Values:
    """Runs the engine in this folder and reads the values from the verdicts of the rule."""
    captions = [text for photo in photos for text in photo.captions]
    paths = [str(photo.path.resolve()) for photo in photos]
    pq.write_table(pa.table({"uri": paths, "captions": [captions] * len(paths)}), folder / "photos.parquet")
    recipe = {
        "dataset": "set",
        "ingest": {"sources": [{"parquet": "photos.parquet"}]},
        "annotate": {"web": {"use": "source_texts"}, **nodes},
        "filter": [{RULE: {"floor": 1.0}}],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    done = command("run", "-c", "recipe.yaml", "--runner", "inline", cwd=folder, hangs_after=1800)
    if done.code:
        raise SystemExit(done.sentence or done.err)
    found = command("query", _VALUES, "-d", "set", "--format", "json", cwd=folder)
    if found.code:
        raise SystemExit(found.sentence or found.err)
    number = {path: column for column, path in enumerate(paths)}
    place = {text: row for row, text in enumerate(captions)}
    compared = np.full((len(captions), len(paths)), np.nan)
    for one in rows(found):
        compared[place[one["text"]], number[one["uri"]]] = one["value"]
    own = np.repeat(np.arange(len(photos)), [len(photo.captions) for photo in photos])
    return Values(compared, own)


def auc(matching: Floats, others: Floats) -> float:
    """The probability that a value of `matching` is above one of `others`; equal ones count half."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(matching, others).statistic) / (len(matching) * len(others))


if __name__ == "__main__":
    main()
