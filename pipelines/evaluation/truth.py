"""What people said of images, to measure with: labels of the audit split, or a COCO json that was never ingested.

Only this file and the commands that measure read `truth/`. Boxes are upright pixels, as everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import ConfigError, ImageError, unknown
from engine.images.decode import Header
from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.records.boxes import row_box
from engine.schema import ANNOTATIONS
from engine.storage.commits import Commits, TableReader
from model.evaluate.dense import Described
from model.evaluate.detections import Truth, TruthImage
from model.evaluate.words import Word
from pipelines.evaluation.truth_names import Matched, match_names
from pipelines.ingest.labels import Upright, upright
from pipelines.ingest.rows import label_columns
from pipelines.ingest.sources.coco_rows import CocoRows, Photo
from pipelines.ingest.sources.coco_values import short
from pipelines.ingest.sources.source_path import resolve_source

AUDIT = ("audit-fit", "audit-test", "audit")
KINDS = ("objects", "captions", "words", "descriptions")
Row = Mapping[str, Any]

_NOTHING: Row = {name: [] for name in ANNOTATIONS}


@dataclass(slots=True)
class Truths:
    """By image id. `told` is the sentence that says what truth this is; an image may be true to hold nothing.
    `notes` are sentences on what of it was left out.

    An image of which nobody was asked is in none of the four.
    """

    told: str
    notes: list[str] = field(default_factory=list)
    objects: dict[str, TruthImage] = field(default_factory=dict)
    captions: dict[str, list[str]] = field(default_factory=dict)
    words: dict[str, list[Word]] = field(default_factory=dict)
    descriptions: dict[str, list[Described]] = field(default_factory=dict)  # of regions

    def add(self, image_id: str, width: int, height: int, said: Row, asked: Collection[str] = KINDS) -> None:
        if "objects" in asked:
            self.objects[image_id] = TruthImage(width, height, [_truth(region) for region in _objects(said)])
        if "captions" in asked:
            self.captions[image_id] = _captions(said)
        if "words" in asked:
            self.words[image_id] = _words(said)
        if "descriptions" in asked:
            self.descriptions[image_id] = _descriptions(said)

    def images(self) -> set[str]:
        return {*self.objects, *self.captions, *self.words, *self.descriptions}


def _objects(said: Row) -> list[Row]:
    return [region for region in said["regions"] if region["kind"] == "object" and not region["merged_into"]]


def _captions(said: Row) -> list[str]:
    texts = [text for text in said["texts"] if text["score"] is None]  # what somebody on the web wrote is no truth
    return [text["text"] for text in texts if text["granularity"] == "brief"]


def _words(said: Row) -> list[Word]:
    """Print that nobody read is a word nobody is asked for."""
    boxes = {region["id"]: row_box(region) for region in said["regions"] if region["kind"] == "text"}
    read = [item for item in said["region_texts"] if item["region_id"] in boxes]
    words = [Word(item["text"], boxes[item["region_id"]]) for item in read]
    unread = boxes.keys() - {item["region_id"] for item in read}
    return words + [Word("", box, legible=False) for name, box in boxes.items() if name in unread]


def _descriptions(said: Row) -> list[Described]:
    boxes = {region["id"]: row_box(region) for region in _objects(said)}
    brief = [text for text in said["region_texts"] if text["granularity"] == "brief"]
    return [Described(boxes[text["region_id"]], text["text"]) for text in brief if text["region_id"] in boxes]


def _truth(region: Row) -> Truth:
    return Truth(region["label"], row_box(region), region["rle"], region["score_kind"] == "crowd")


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
    images = [(row, said.get(row["image_id"], _NOTHING)) for rows, said in _shards(dataset) for row in rows]
    speaking = _speaking(images)
    there = [(row, said) for row, said in images if row["split"] in wanted]
    for row, said in there:
        asked = [kind for kind in KINDS if speaking[kind] & _sources(row)]
        found.add(row["image_id"], row["width"], row["height"], said, asked)
    if not there:
        raise ConfigError(
            f"'{dataset.url}' has no {split} images to measure with: set ingest.audit in the recipe of a new data set, "
            "or give --truth instances.json."
        )
    if not found.images():
        raise ConfigError(
            f"Nobody labelled the {len(there)} {split} images of '{dataset.url}': add a source with labels of people "
            "(coco:), or give --truth instances.json."
        )
    silent = len(there) - len(found.images())
    found.told = f"what people said of the {len(found.images())} {split} images"
    found.told += f" ({silent} more are of sources without labels)" if silent else ""
    return found


def _speaking(images: Iterable[tuple[Row, Row]]) -> dict[str, set[str]]:
    """Of each kind of truth the sources that tell any: where these tell none of an image, there is none."""
    answer: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for row, said in images:
        for kind, found in zip(
            KINDS, (_objects(said), _captions(said), _words(said), _descriptions(said)), strict=True
        ):
            if found:
                answer[kind] |= _sources(row)
    return answer


def _sources(row: Row) -> set[str]:
    return {source["source"] for source in row["sources"]}


def _shards(dataset: Dataset) -> Iterator[tuple[list[dict[str, Any]], dict[str, Row]]]:
    """Of each shard its images and, by image, what lies in truth/."""
    commits = Commits(dataset.storage, IMAGES)
    for shard, revision in enumerate(commits.revisions()):
        files = commits.record(shard, int(revision)).files
        images = TableReader(
            dataset.storage, files["data"].path, ["image_id", "width", "height", "split", "sources"]
        ).read()
        said = TableReader(dataset.storage, files["truth"].path).read().to_pylist() if "truth" in files else []
        yield images.to_pylist(), {row["image_id"]: row for row in said}


def coco_truth(dataset: Dataset, instances: str, captions: str = "") -> Truths:
    """Of the images that a COCO json names like one of their sources, see pipelines.evaluation.truth_names.

    Labels made on an image of another size than the upright one are left out, and counted in `told`.
    """
    left_out: Counter[str] = Counter()
    rows = CocoRows(resolve_source(instances)[0], captions and resolve_source(captions)[0], Counter(), words=True)
    photos = list(rows.photos())
    matched = match_names([photo.name for photo in photos], _placed(dataset))
    found, strange = Truths(""), 0
    said: dict[str, list[Upright]] = {}
    images: dict[str, Row] = {}
    for number, image in sorted(matched.images.items()):
        images[image["image_id"]] = image
        try:
            said.setdefault(image["image_id"], []).append(_upright(photos[number], image, left_out))
        except ImageError:
            strange += 1
    for image_id, several in said.items():
        fullest = max(several, key=lambda one: sum(map(len, one.labels.values())))  # of the names of one image
        found.add(image_id, images[image_id]["width"], images[image_id]["height"], fullest.labels)
    without = _without_image(matched, [photo.name for photo in photos], strange)
    if not found.objects:
        why = f": {'; '.join(without)}" if without else ""
        raise ConfigError(f"'{instances}' names none of the images of '{dataset.url}'{why}: are these the right two?")
    images_ = "1 image" if len(found.objects) == 1 else f"{len(found.objects)} images"
    found.told = "; ".join([f"'{instances}' on {images_}", *without])
    found.notes = [*rows.notes(), *(f"'{instances}': left out as {why}: {n} of them." for why, n in left_out.items())]
    return found


def _without_image(matched: Matched, names: Sequence[str], strange: int) -> list[str]:
    """Why images of the json are not measured on."""
    parts = [f"{len(matched.unknown)} it names are not in the data set"] if matched.unknown else []
    if matched.ambiguous:
        example = short(names[matched.ambiguous[0]])
        parts.append(f"{len(matched.ambiguous)} could mean several images and are left out, such as {example}")
    if matched.base_name_only:
        number, path = next(iter(matched.base_name_only.items()))
        example = f"{short(names[number])} and '{path}'"
        parts.append(f"{len(matched.base_name_only)} have only their base name in common with an image ({example})")
    return [*parts, *([f"{strange} are of another size there"] if strange else [])]


def _upright(photo: Photo, image: Row, left_out: Counter[str]) -> Upright:
    """ImageError where its boxes were drawn on another size."""
    header = Header("", image["width"], image["height"])
    found = upright(label_columns(photo.labels), "upright", (photo.width, photo.height), header)
    left_out.update(found.left_out)
    return found


def _placed(dataset: Dataset) -> Iterator[Row]:
    for path in dataset.files(IMAGES).values():
        yield from TableReader(dataset.storage, path, ["image_id", "width", "height", "sources"]).read().to_pylist()
