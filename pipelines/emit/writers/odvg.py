"""odvg/: boxes and grounded phrases for open-vocabulary detectors, for mmdetection and Open-GroundingDino.

detection_<split>.jsonl has a line for each image with its objects, and label_map.json has the labels of their numbers.
grounding_<split>.jsonl has a line for each text with phrases that name regions. `filename` is below the folder images/.
Boxes are x1, y1, x2, y2 in pixels of the upright image, rounded as in objects.py. Spans count code points.

Three things follow from how the readers work:

* mmdetection ignores boxes that are less than a pixel wide or high, so they are left out and counted.
* mmdetection makes a caption lower case and strips it before it uses the spans. So captions have no white space around
  them, and a phrase that lower case would move is left out: the lower case of a dotted capital I is two code points.
* Open-GroundingDino takes one box for each entry of `regions`, so a phrase with two regions is two entries with the
  same span. mmdetection learns the same from them as from one entry with two boxes.

The reason of a region that a phrase names begins with `phrase_`, because the region may also be an object.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NotRequired, TypedDict

from engine.layout import LOOSE_IMAGES
from engine.reading.release_manifest import Manifest
from engine.records.boxes import Box
from model.pairs.record_view import Mention, RecordView
from pipelines.emit.objects import objects, pixel_box
from pipelines.emit.writers.format import Format, Merge, ReleaseFile, Sample, Shard

FOLDER = "odvg/"
LABEL_MAP = f"{FOLDER}label_map.json"


class Instance(TypedDict):
    """An object. `label`: the number of its category in label_map.json, which a part does not have yet."""

    bbox: list[float]
    label: NotRequired[int]
    category: str


class GroundedRegion(TypedDict):
    bbox: list[float]
    phrase: str
    tokens_positive: list[list[int]]


class Detection(TypedDict):
    instances: list[Instance]


class Grounding(TypedDict):
    caption: str
    regions: list[GroundedRegion]


class Line(TypedDict):
    """A line of either file. It has `detection` or `grounding`."""

    filename: str
    height: int
    width: int
    detection: NotRequired[Detection]
    grounding: NotRequired[Grounding]


class Part(TypedDict):
    """The lines of one image, as a line of a shard's part."""

    detection: Line
    grounding: list[Line]


class OdvgWriter:
    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file, self._labels, self._rows = file, shard.labels, 0
        self.left_out: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        name = sample.image_path.removeprefix(f"{LOOSE_IMAGES}/")
        head: Line = {"filename": name, "height": sample.row["height"], "width": sample.row["width"]}
        part: Part = {
            "detection": {**head, "detection": {"instances": self._instances(sample.row)}},
            "grounding": [{**head, "grounding": found} for found in self._groundings(sample.row)],
        }
        self._file.write(_json(part) + b"\n")
        self._rows += 1

    def finish(self) -> int:
        return self._rows

    def _instances(self, row: Mapping[str, Any]) -> list[Instance]:
        found, left_out = objects(row, self._labels)
        self.left_out.update(left_out)
        readable = [one for one in found if not is_thin(one.box)]
        if len(readable) < len(found):
            self.left_out["under_one_pixel"] += len(found) - len(readable)
        return [{"bbox": list(one.box), "category": one.region["label"]} for one in readable]

    def _groundings(self, row: Mapping[str, Any]) -> Iterator[Grounding]:
        view = RecordView(row, width=row["width"], height=row["height"])
        boxes = {region["id"]: pixel_box(region, row["width"], row["height"]) for region in row["regions"]}
        for text in row["texts"]:
            caption: str = text["text"].strip()
            shift = len(text["text"]) - len(text["text"].lstrip())
            regions: list[GroundedRegion] = []
            for mention in view.mentions(text["id"]):
                regions += self._regions(caption, mention, shift, boxes)
            if regions:
                yield {"caption": caption, "regions": regions}
        grounded = {phrase_id for text in row["texts"] for one in view.mentions(text["id"]) for phrase_id in one.ids}
        if without := len(row["phrases"]) - len(grounded):
            self.left_out["phrase_without_region"] += without

    def _regions(
        self, caption: str, mention: Mention, shift: int, boxes: Mapping[str, Box]
    ) -> Iterator[GroundedRegion]:
        """The entries of a phrase, one for each region. `shift`: how many characters the caption lost at its start."""
        start, end = mention.start - shift, mention.start - shift + len(mention.phrase)
        fault = span_fault(caption, start, end)
        for region_id in mention.regions:
            reason = fault or box_fault(boxes[region_id])
            if reason:
                self.left_out[f"phrase_{reason}"] += 1
                continue
            yield {"bbox": list(boxes[region_id]), "phrase": mention.phrase, "tokens_positive": [[start, end]]}


def is_thin(box: Box) -> bool:
    """Whether mmdetection ignores a box because it is less than a pixel wide or high."""
    return box[2] - box[0] < 1 or box[3] - box[1] < 1


def span_fault(caption: str, start: int, end: int) -> str:
    """Why a phrase of a caption cannot be written; '' if it can."""
    if start < 0 or end > len(caption):
        return "white_space"
    if end <= start:
        return "empty"
    return "" if all(len(caption[:place].lower()) == place for place in (start, end)) else "lower_case"


def box_fault(box: Box) -> str:
    """Why a region that a phrase names cannot be written; '' if it can."""
    x1, y1, x2, y2 = box
    if x1 > x2 or y1 > y2:
        return "outside_image"
    if x1 == x2 or y1 == y2:
        return "no_area"
    return "under_one_pixel" if is_thin(box) else ""


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def merge(release: Merge) -> None:
    """Writes the files. Reads the parts once more if the recipe has no list of labels."""
    labels = list(release.labels) or sorted(_labels(release))
    numbers = {label: number for number, label in enumerate(labels)}
    with release.file(LABEL_MAP) as file:
        file.write(_json({str(number): label for label, number in numbers.items()}) + b"\n")
        file.rows = len(labels)
    for split in release.splits:
        with contextlib.ExitStack() as opened:
            detection = opened.enter_context(release.file(f"{FOLDER}detection_{split}.jsonl"))
            grounding: ReleaseFile | None = None  # a split without grounded phrases has no such file
            for part in _parts(release, split):
                _add(detection, _numbered(part["detection"], numbers))
                for line in part["grounding"]:
                    grounding = grounding or opened.enter_context(release.file(f"{FOLDER}grounding_{split}.jsonl"))
                    _add(grounding, line)


def _add(file: ReleaseFile, line: Line) -> None:
    file.write(_json(line) + b"\n")
    file.rows += 1


def _parts(release: Merge, split: str) -> Iterator[Part]:
    for line in release.lines(split):
        part: Part = json.loads(line)
        yield part


def _labels(release: Merge) -> set[str]:
    return {
        one["category"]
        for split in release.splits
        for part in _parts(release, split)
        for one in part["detection"]["detection"]["instances"]
    }


def _numbered(line: Line, numbers: Mapping[str, int]) -> Line:
    """A line of detection with the number of each label."""
    instances: list[Instance] = [
        {"bbox": one["bbox"], "label": numbers[one["category"]], "category": one["category"]}
        for one in line["detection"]["instances"]
    ]
    return {**line, "detection": {"instances": instances}}


def card_section(manifest: Manifest) -> str:
    """The section of the data card: which file is which argument of the two readers. '' without images."""
    if not manifest["counts"].get("images"):
        return ""
    split = next(iter(manifest.get("splits", {})), "train")
    return _SECTION.format(name=manifest["name"], split=split)


_SECTION = """\
## ODVG, for Grounding DINO

`odvg/detection_*.jsonl` has the objects of each image, with the numbers of their labels in `odvg/label_map.json`.
`odvg/grounding_*.jsonl` has a line for each text with phrases that name regions; one image may have several. Boxes are
`x1, y1, x2, y2` in pixels of the upright image, spans count code points, and `filename` is below `images/`.

mmdetection (without `label_map_file` for `grounding_{split}.jsonl`):

```
dataset = dict(
    type="ODVGDataset",
    data_root="{name}/",
    ann_file="odvg/detection_{split}.jsonl",
    label_map_file="odvg/label_map.json",
    data_prefix=dict(img="images/"),
    filter_cfg=dict(filter_empty_gt=False),
    return_classes=True,
)
```

Open-GroundingDino: `"root": "{name}/images/"`, `"anno": "{name}/odvg/detection_{split}.jsonl"` and, for detection,
`"label_map": "{name}/odvg/label_map.json"`. It does not apply the EXIF orientation of an image, as mmdetection does:
turn such images first."""

ODVG = Format(
    OdvgWriter,
    merge=merge,
    files=(FOLDER,),
    loose_images=True,
    verifier="pipelines.emit.verifiers.odvg:OdvgVerifier",
    card=card_section,
)
