"""A COCO json as a source: its images, boxes, masks, category names, and the captions of a second json.

An annotation may have a `caption` too, as jsons of dense captions have: it is kept as what people said of this region,
to be measured by; no specialist hands it on.

COCO's boxes are x, y, width, height; ours are corners. Which frame they are in, stored or upright, COCO does not
say: by default the size the json gives decides, once the file has been seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from engine import masks
from engine.answers import HUMAN
from engine.errors import ConfigError, EngineError, unknown
from engine.keys import stable_hash
from engine.schema import Answer, Region, RegionText, Text, as_row
from engine.storage import read_source
from pipelines.frames import Frame
from pipelines.names import Fingerprints, normalised, sayable
from pipelines.sources import Entry


class CocoJson:
    """The images a COCO json names, with its boxes, masks and category names, and the captions of a second json.

    A crowd keeps its label and has the score kind "crowd": it stands for many objects, so it is no truth for one.
    Boxes are clipped to the image. `left_out` counts what could not be told: boxes without area, masks whose
    size is not their image's (the box stays), captions that are no Unicode.
    """

    def __init__(
        self, instances: str, images: str, captions: str = "", licence: str = "", frame: Frame = "auto"
    ) -> None:
        if frame not in ("stored", "upright", "auto"):
            raise unknown("frame", frame, ("stored", "upright", "auto"))
        self.name = normalised(instances)[0]
        self.folder = normalised(images)[0]
        self.captions, self.licence, self.frame = captions and normalised(captions)[0], licence, frame
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self._versions = Fingerprints()

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        """In the order of the json."""
        content = _read_coco(self.name, ("images", "annotations", "categories"))
        boxes = _by_image(content["annotations"], self.name, ("image_id", "bbox", "category_id"))
        texts: dict[Any, list[Any]] = {}
        if self.captions:
            texts = _by_image(
                _read_coco(self.captions, ("annotations",))["annotations"], self.captions, ("image_id", "caption")
            )
        categories = {item["id"]: str(item["name"]) for item in content["categories"]}
        licences = {item.get("id"): str(item.get("name", "")) for item in content.get("licenses") or []}
        for image in content["images"]:
            _check_keys(image, ("id", "file_name"), f"an image of '{self.name}'")
            width, height = int(image.get("width") or 0), int(image.get("height") or 0)
            labels = self._regions(boxes.get(image["id"], []), categories, width, height)
            self._add_captions(labels, texts.get(image["id"], []))
            uri = self._uri(str(image["file_name"]))
            licence = licences.get(image.get("license"), "") or self.licence
            yield Entry(uri, self._fingerprint(uri, labels), licence, labels, self.frame, width, height)

    def _uri(self, name: str) -> str:
        if name.startswith("/") or "://" in name or ".." in name.split("/"):
            raise ConfigError(f"'{self.name}' names '{name}', which is not below the folder of its images.")
        return sayable(f"{self.folder}/{name}")

    def _fingerprint(self, uri: str, labels: Answer) -> str:
        """Of the file and of what is said of it: labels that come later make it a new input."""
        said = [as_row(item) for item in (*labels.regions, *labels.texts, *labels.region_texts)]
        return "-".join([self._versions.of(uri), *([stable_hash(said)[:8]] if said else [])])

    def _regions(self, items: Sequence[Any], categories: Mapping[Any, str], width: int, height: int) -> Answer:
        answer = Answer()
        for item in items:
            if item["category_id"] not in categories:
                category = item["category_id"]
                raise ConfigError(f"An annotation in '{self.name}' has category {category}, which categories lacks.")
            box = _corners(item["bbox"], width, height)
            if box is None:
                self.left_out["a box without area"] += 1
                continue
            region = Region(*box, categories[item["category_id"]], id=_id(answer), producer=HUMAN)
            region.score_kind = "crowd" if item.get("iscrowd") else ""
            region.rle = self._rle(item.get("segmentation"), width, height)
            answer.regions.append(region)
            if item.get("caption") and (text := self._text(item["caption"])):
                answer.region_texts.append(RegionText(region.id, text, id=_id(answer), producer=HUMAN))
        return answer

    def _add_captions(self, answer: Answer, items: Sequence[Any]) -> None:
        for item in items:
            if text := self._text(item["caption"]):
                answer.texts.append(Text(text, "brief", id=_id(answer), producer=HUMAN))

    def _text(self, caption: Any) -> str:
        text = str(caption).strip()
        if text != text.encode("utf-8", "replace").decode():
            self.left_out["a caption that is no Unicode"] += 1
            return ""
        return text

    def _rle(self, segmentation: Any, width: int, height: int) -> str:
        if not segmentation or not width or not height:
            return ""
        try:
            if not isinstance(segmentation, Mapping):
                return masks.from_polygons(segmentation, width=width, height=height)
            counts = segmentation["counts"]
            if isinstance(counts, str):
                masks.area(counts, width=width, height=height)
                return counts
            return masks.from_counts(counts, width=width, height=height)
        except (EngineError, KeyError, TypeError, ValueError):
            self.left_out["a mask that is not of its image"] += 1
            return ""


def _read_coco(uri: str, keys: Sequence[str]) -> dict[str, Any]:
    """The json, checked as far as every reader of it relies on."""
    try:
        content = json.loads(read_source(uri))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ConfigError(f"No file '{uri}': give the COCO json.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{uri}' is not JSON: {error}.") from None
    missing = [key for key in keys if not (isinstance(content, dict) and isinstance(content.get(key), list))]
    if missing:
        raise ConfigError(f"'{uri}' is not a COCO json: it has no list {' and no list '.join(missing)}.")
    answer: dict[str, Any] = content
    return answer


def _by_image(items: Sequence[Any], uri: str, keys: Sequence[str]) -> dict[Any, list[Any]]:
    answer: dict[Any, list[Any]] = {}
    for item in items:
        _check_keys(item, keys, f"an annotation of '{uri}'")
        answer.setdefault(item["image_id"], []).append(item)
    return answer


def _check_keys(item: Any, keys: Sequence[str], what: str) -> None:
    missing = [key for key in keys if not isinstance(item, Mapping) or key not in item]
    if missing:
        raise ConfigError(f"Not COCO: {what} has no {' and no '.join(missing)}.")


def _corners(bbox: Sequence[float], width: int, height: int) -> tuple[float, float, float, float] | None:
    """COCO's x, y, width, height as corners inside the image; None without area."""
    if len(bbox) != 4:
        return None
    x1, y1 = max(float(bbox[0]), 0.0), max(float(bbox[1]), 0.0)
    x2, y2 = float(bbox[0]) + float(bbox[2]), float(bbox[1]) + float(bbox[3])
    x2, y2 = min(x2, width or x2), min(y2, height or y2)
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None  # NaN has no area either


def _id(answer: Answer) -> str:
    return f"{HUMAN}/{len(answer.regions) + len(answer.texts) + len(answer.region_texts)}"
