"""The files of one split in coco/, as pycocotools reads them."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pycocotools.coco import COCO

Json = Mapping[str, Any]
_SHARED = ("images", "licenses")
_PARTS = {"info", "categories", "annotations", *_SHARED}


class SplitFiles:
    """Loads the files. Raises ValueError if a file gives an id or a name twice, because pycocotools keeps the last."""

    def __init__(self, folder: Path, split: str) -> None:
        self.split = split
        self.instances = _load(folder / "coco" / f"instances_{split}.json")
        captions, results = (folder / "coco" / f"{kind}_{split}.json" for kind in ("captions", "results"))
        self.captions = _load(captions) if captions.is_file() else None
        self.results = _load_results(self.instances, results) if results.is_file() else None
        self.labels = [category["name"] for category in self.instances.loadCats(self.instances.getCatIds())]
        self._names = {category["id"]: category["name"] for category in self.instances.dataset["categories"]}
        self._unread: dict[str, Json] = {image["file_name"]: image for image in self.instances.imgs.values()}
        self.images = len(self._unread)
        _check_unique(f"instances_{split}.json", "category name", self.labels)

    def take(self, file_name: str) -> Json | None:
        """The entry of an image, which is then no longer in `left`. None if there is no entry, or no longer."""
        return self._unread.pop(file_name, None)

    @property
    def left(self) -> list[str]:
        """The names of images that were not taken."""
        return list(self._unread)

    def objects(self, image: Json) -> list[Json]:
        found: list[Json] = self.instances.imgToAnns.get(image["id"], [])
        return found

    def label(self, annotation: Json) -> str:
        return str(self._names.get(annotation["category_id"], f"category {annotation['category_id']}"))

    def found_by_models(self, image: Json) -> list[Json]:
        found: list[Json] = self.results.imgToAnns.get(image["id"], []) if self.results else []
        return found

    def texts(self, image: Json) -> list[tuple[str, str]]:
        """(caption, granularity) of each text of an image. Raises ValueError if the id is that of another image."""
        if not self.captions:
            return []
        if self.captions.imgs.get(image["id"], {}).get("file_name") != image["file_name"]:
            raise ValueError(f"captions_{self.split}.json has another image with the id {image['id']}")
        found = self.captions.imgToAnns.get(image["id"], [])
        return [(one["caption"], one["granularity"]) for one in found]

    def rows(self) -> dict[str, int]:
        """{name of a file: its number of rows}, as the manifest counts them: images, captions and results."""
        rows = {f"coco/instances_{self.split}.json": self.images}
        if self.captions:
            rows[f"coco/captions_{self.split}.json"] = len(self.captions.anns)
        if self.results:
            rows[f"coco/results_{self.split}.json"] = len(self.results.anns)
        return rows

    def licence(self, image: Json) -> str:
        names = {licence["id"]: licence["name"] for licence in self.instances.dataset["licenses"]}
        return str(names[image["license"]]) if "license" in image else ""

    def other_parts(self, release: str) -> Iterator[str]:
        """Sentences about what is neither an object nor a text. `release`: its name, which describes each file."""
        for kind, file in (("instances", self.instances), ("captions", self.captions)):
            name = f"coco/{kind}_{self.split}.json"
            if file and sorted(file.dataset) != sorted(_PARTS - ({"categories"} if kind == "captions" else set())):
                yield f"{name} has the keys {', '.join(file.dataset)}"
            elif file and file.dataset["info"] != {"description": release}:
                yield f"{name} is not described as {release}"
        if self.captions and any(self.captions.dataset.get(key) != self.instances.dataset.get(key) for key in _SHARED):
            yield f"coco/captions_{self.split}.json has other images or licences than instances_{self.split}.json"

    def strangers(self) -> Iterator[str]:
        """Sentences about annotations of images that a file does not have."""
        for kind, file in (("instances", self.instances), ("captions", self.captions)):
            lost = sum(annotation["image_id"] not in file.imgs for annotation in file.anns.values()) if file else 0
            if lost:
                yield f"coco/{kind}_{self.split}.json has {lost} annotations of images that it does not have"


def _load(path: Path) -> COCO:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
        loaded = COCO(str(path))
    for key, what in (("images", "image id"), ("annotations", "annotation id")):
        _check_unique(path.name, what, [one["id"] for one in loaded.dataset[key]])
    _check_unique(path.name, "file name", [image["file_name"] for image in loaded.dataset["images"]])
    return loaded


def _load_results(instances: COCO, path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return instances.loadRes(str(path))


def _check_unique(name: str, what: str, values: list[Any]) -> None:
    value, times = Counter(values).most_common(1)[0] if values else ("", 1)
    if times > 1:
        raise ValueError(f"{name} has the {what} {value} {times} times")
