"""Human labels to measure with: those of the audit images, or a COCO json that was never ingested.

Only this file and the commands that measure read the folder `truth/`. Boxes are in pixels of the upright image.
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
    """Human labels by image id, with a dict for each kind of label.

    An image is in the dict of a kind if people labelled that kind in it, even if they found nothing. description: where
    the labels are from, as a part of a sentence. notes: sentences on labels that were left out. descriptions: of
    regions.
    """

    description: str
    notes: list[str] = field(default_factory=list)
    objects: dict[str, TruthImage] = field(default_factory=dict)
    captions: dict[str, list[str]] = field(default_factory=dict)
    words: dict[str, list[Word]] = field(default_factory=dict)
    descriptions: dict[str, list[Described]] = field(default_factory=dict)

    def add(self, image_id: str, width: int, height: int, labels: Row, kinds: Collection[str] = KINDS) -> None:
        """Adds the labels of an image. kinds: the kinds that people labelled in it."""
        if "objects" in kinds:
            self.objects[image_id] = TruthImage(width, height, [_truth(region) for region in _objects(labels)])
        if "captions" in kinds:
            self.captions[image_id] = _captions(labels)
        if "words" in kinds:
            self.words[image_id] = _words(labels)
        if "descriptions" in kinds:
            self.descriptions[image_id] = _descriptions(labels)

    def images(self) -> set[str]:
        return {*self.objects, *self.captions, *self.words, *self.descriptions}


def _objects(labels: Row) -> list[Row]:
    return [region for region in labels["regions"] if region["kind"] == "object" and not region["merged_into"]]


def _captions(labels: Row) -> list[str]:
    """The brief captions that people wrote.

    Texts with a score came with the image from the web and do not count as truth.
    """
    texts = [text for text in labels["texts"] if text["score"] is None]
    return [text["text"] for text in texts if text["granularity"] == "brief"]


def _words(labels: Row) -> list[Word]:
    """Printed words. A text region without a transcription is illegible: reading it is neither right nor wrong."""
    boxes = {region["id"]: row_box(region) for region in labels["regions"] if region["kind"] == "text"}
    read = [item for item in labels["region_texts"] if item["region_id"] in boxes]
    words = [Word(item["text"], boxes[item["region_id"]]) for item in read]
    unread = boxes.keys() - {item["region_id"] for item in read}
    return words + [Word("", box, legible=False) for name, box in boxes.items() if name in unread]


def _descriptions(labels: Row) -> list[Described]:
    boxes = {region["id"]: row_box(region) for region in _objects(labels)}
    brief = [text for text in labels["region_texts"] if text["granularity"] == "brief"]
    return [Described(boxes[text["region_id"]], text["text"]) for text in brief if text["region_id"] in boxes]


def _truth(region: Row) -> Truth:
    return Truth(region["label"], row_box(region), region["rle"], region["score_kind"] == "crowd")


def find_truth(dataset: Dataset, instances: str = "", captions: str = "", split: str = "audit-test") -> Truths:
    """The labels in the COCO json `instances`. Without one, the labels of the audit images of `split`."""
    if captions and not instances:
        raise ConfigError("--captions is given without --truth: give the COCO json of the images with --truth too.")
    return coco_truth(dataset, instances, captions) if instances else audit_truth(dataset, split)


# --- audit images --------------------------------------------------------------------------------


def audit_truth(dataset: Dataset, split: str) -> Truths:
    """The labels of the audit images that are in shards. Raises ConfigError if there are no images or no labels."""
    if split not in AUDIT:
        raise unknown("split", split, AUDIT)
    wanted = {"audit-fit", "audit-test"} if split == "audit" else {split}
    found = Truths("")
    images = [(row, labels.get(row["image_id"], _NOTHING)) for rows, labels in _shards(dataset) for row in rows]
    labelled = _sources_by_kind(images)
    audit = [(row, labels) for row, labels in images if row["split"] in wanted]
    for row, labels in audit:
        kinds = [kind for kind in KINDS if labelled[kind] & _sources(row)]
        found.add(row["image_id"], row["width"], row["height"], labels, kinds)
    if not audit:
        raise ConfigError(
            f"'{dataset.url}' has no {split} images to measure with: set ingest.audit in the recipe of a new data set, "
            "or give --truth instances.json."
        )
    if not found.images():
        raise ConfigError(
            f"Nobody labelled the {len(audit)} {split} images of '{dataset.url}': add a source with labels of people "
            "(coco:), or give --truth instances.json."
        )
    unlabelled = len(audit) - len(found.images())
    found.description = f"people's labels of {len(found.images())} {split} images"
    found.description += f" ({unlabelled} more are from sources without labels)" if unlabelled else ""
    return found


def _sources_by_kind(images: Iterable[tuple[Row, Row]]) -> dict[str, set[str]]:
    """{kind of label: the sources that have such labels}. In their images, no label means that there is no object."""
    answer: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for row, labels in images:
        found = (_objects(labels), _captions(labels), _words(labels), _descriptions(labels))
        for kind, some in zip(KINDS, found, strict=True):
            if some:
                answer[kind] |= _sources(row)
    return answer


def _sources(row: Row) -> set[str]:
    return {source["source"] for source in row["sources"]}


def _shards(dataset: Dataset) -> Iterator[tuple[list[Row], dict[str, Row]]]:
    """Yields (image rows, {image id: labels from truth/}) for each shard."""
    columns = ["image_id", "width", "height", "split", "sources"]
    for record in Commits(dataset.storage, IMAGES).latest_records():
        files = record.files
        images = TableReader(dataset.storage, files["data"].path, columns).read().to_pylist()
        labels = TableReader(dataset.storage, files["truth"].path).read().to_pylist() if "truth" in files else []
        yield images, {row["image_id"]: row for row in labels}


# --- a COCO json -----------------------------------------------------------------------------------


def coco_truth(dataset: Dataset, instances: str, captions: str = "") -> Truths:
    """The labels of a COCO json, for the images whose names match (truth_names.py).

    An image is left out, and counted in the description, if its size in the json is not that of the upright image.
    Raises ConfigError if no name matches.
    """
    left_out: Counter[str] = Counter()
    rows = CocoRows(resolve_source(instances)[0], captions and resolve_source(captions)[0], Counter(), words=True)
    photos = list(rows.photos())
    names = [photo.name for photo in photos]
    matched = match_names(names, _image_rows(dataset))
    found, other_size = Truths(""), 0
    labels: dict[str, list[Upright]] = {}
    images: dict[str, Row] = {}
    for number, image in sorted(matched.images.items()):
        images[image["image_id"]] = image
        try:
            labels.setdefault(image["image_id"], []).append(_upright(photos[number], image, left_out))
        except ImageError:
            other_size += 1
    for image_id, several in labels.items():  # because several names may match one image
        fullest = max(several, key=lambda one: sum(map(len, one.labels.values())))
        found.add(image_id, images[image_id]["width"], images[image_id]["height"], fullest.labels)
    missing = _left_out_images(matched, names, other_size)
    if not found.objects:
        why = f" ({'; '.join(missing)})" if missing else ""
        raise ConfigError(f"'{instances}' names none of the images of '{dataset.url}'{why}: are these the right two?")
    count = "1 image" if len(found.objects) == 1 else f"{len(found.objects)} images"
    found.description = "; ".join([f"'{instances}' on {count}", *missing])
    found.notes = [*rows.notes(), *(f"'{instances}': left out as {why}: {n} of them." for why, n in left_out.items())]
    return found


def _left_out_images(matched: Matched, names: Sequence[str], other_size: int) -> list[str]:
    """Why images of the json are left out: a number for each reason, sometimes with an example."""
    parts = [f"{len(matched.unknown)} of its images are not in the data set"] if matched.unknown else []
    if matched.ambiguous:
        example = short(names[matched.ambiguous[0]])
        parts.append(f"{len(matched.ambiguous)} match several images and are left out, such as {example}")
    if matched.base_name_only:
        number, path = next(iter(matched.base_name_only.items()))
        example = f"{short(names[number])} and '{path}'"
        parts.append(f"{len(matched.base_name_only)} match an image only by their base name ({example})")
    return [*parts, *([f"{other_size} have another size in the json"] if other_size else [])]


def _upright(photo: Photo, image: Row, left_out: Counter[str]) -> Upright:
    """The labels on the upright image. Raises ImageError if they were drawn on an image of another size."""
    header = Header("", image["width"], image["height"])
    found = upright(label_columns(photo.labels), "upright", (photo.width, photo.height), header)
    left_out.update(found.left_out)
    return found


def _image_rows(dataset: Dataset) -> Iterator[Row]:
    for path in dataset.files(IMAGES).values():
        yield from TableReader(dataset.storage, path, ["image_id", "width", "height", "sources"]).read().to_pylist()
