"""What people said of images, to measure with: labels of the audit split, or a COCO json that was never ingested.

Only this file and the commands that measure read `truth/`. Boxes are upright pixels, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.dataset import Dataset
from engine.errors import ConfigError, unknown
from engine.graph import IMAGES
from engine.schema import ANNOTATIONS, as_row
from engine.shards import Commits, TableReader
from model.evaluate.detections import Truth, TruthImage
from model.evaluate.words import Word

AUDIT = ("audit-fit", "audit-test", "audit")
Row = Mapping[str, Any]


@dataclass(slots=True)
class Truths:
    """By image id. `told` is the sentence that says what truth this is; an image may be true to hold nothing."""

    told: str
    objects: dict[str, TruthImage] = field(default_factory=dict)
    captions: dict[str, list[str]] = field(default_factory=dict)
    words: dict[str, list[Word]] = field(default_factory=dict)

    def add(self, image_id: str, width: int, height: int, said: Row) -> None:
        objects = [region for region in said["regions"] if region["kind"] == "object" and not region["merged_into"]]
        self.objects[image_id] = TruthImage(width, height, [_truth(region) for region in objects])
        texts = [text for text in said["texts"] if text["score"] is None]  # what somebody on the web wrote is no truth
        self.captions[image_id] = [text["text"] for text in texts if text["granularity"] == "brief"]
        boxes = {region["id"]: box_of(region) for region in said["regions"] if region["kind"] == "text"}
        read = [item for item in said["region_texts"] if item["region_id"] in boxes]
        self.words[image_id] = [Word(item["text"], boxes[item["region_id"]]) for item in read]


def _truth(region: Row) -> Truth:
    return Truth(region["label"], box_of(region), region["rle"], region["score_kind"] == "crowd")


def box_of(region: Row) -> tuple[float, float, float, float]:
    return (region["x1"], region["y1"], region["x2"], region["y2"])


def find_truth(dataset: Dataset, instances: str = "", captions: str = "", split: str = "audit-test") -> Truths:
    """A COCO json if one is named, else the audit images of this split."""
    if captions and not instances:
        raise ConfigError("--captions goes with --truth: give the COCO json of the images too.")
    return coco_truth(dataset, instances, captions) if instances else audit_truth(dataset, split)


def audit_truth(dataset: Dataset, split: str) -> Truths:
    """Of the audit images that are placed. ConfigError where there are none."""
    if split not in AUDIT:
        raise unknown("split", split, AUDIT)
    wanted = {"audit-fit", "audit-test"} if split == "audit" else {split}
    found = Truths("")
    for images, said in _shards(dataset):
        for row in images:
            if row["split"] in wanted:
                nothing: Row = {name: [] for name in ANNOTATIONS}
                found.add(row["image_id"], row["width"], row["height"], said.get(row["image_id"], nothing))
    if not found.objects:
        raise ConfigError(
            f"'{dataset.url}' has no {split} images to measure with: set ingest.audit in the recipe of a new data set, "
            "or give --truth instances.json."
        )
    found.told = f"what people said of the {len(found.objects)} {split} images"
    return found


def _shards(dataset: Dataset) -> Iterator[tuple[list[dict[str, Any]], dict[str, Row]]]:
    """Of each shard its images and, by image, what lies in truth/."""
    commits = Commits(dataset.storage, IMAGES)
    for shard, revision in enumerate(commits.revisions()):
        files = commits.record(shard, int(revision)).files
        images = TableReader(dataset.storage, files["data"].path, ["image_id", "width", "height", "split"]).read()
        said = TableReader(dataset.storage, files["truth"].path).read().to_pylist() if "truth" in files else []
        yield images.to_pylist(), {row["image_id"]: row for row in said}


def coco_truth(dataset: Dataset, instances: str, captions: str = "") -> Truths:
    """Of the images that a COCO json names like one of their sources: by the end of the path.

    Labels made on an image of another size than the upright one are left out, and counted in `told`.
    """
    from pipelines.coco_json import CocoJson

    named = _by_name(dataset)
    found, unknown_, strange = Truths(""), 0, 0
    for entry in CocoJson(instances, ".", captions).entries():
        image = named.get(entry.uri.rsplit("/", 1)[-1])
        if image is None:
            unknown_ += 1
        elif (entry.width, entry.height) not in ((0, 0), (image["width"], image["height"])):
            strange += 1
        else:
            assert entry.labels is not None
            said = {name: [as_row(item) for item in getattr(entry.labels, name)] for name in ANNOTATIONS}
            found.add(image["image_id"], image["width"], image["height"], said)
    if not found.objects:
        raise ConfigError(f"'{instances}' names none of the images of '{dataset.url}': are these the right two?")
    parts = [f"'{instances}' on {len(found.objects)} images"]
    parts += [f"{unknown_} it names are not in the data set"] if unknown_ else []
    parts += [f"{strange} are of another size there"] if strange else []
    found.told = "; ".join(parts)
    return found


def _by_name(dataset: Dataset) -> dict[str, dict[str, Any]]:
    answer: dict[str, dict[str, Any]] = {}
    for path in dataset.files(IMAGES).values():
        for row in TableReader(dataset.storage, path, ["image_id", "width", "height", "sources"]).read().to_pylist():
            for source in row["sources"]:
                answer.setdefault(source["uri"].split("::")[0].rsplit("/", 1)[-1], row)
    return answer
