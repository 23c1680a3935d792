"""Joins the rows of a COCO json by their ids: images with their annotations, categories, licences and captions.

A row that cannot be used is left out and counted by reason. Two problems raise ConfigError instead: ids that occur
twice among images or categories, because labels could get to the wrong image or name; and ids of different types,
because no row can be joined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from engine.errors import ConfigError
from engine.records.answers import HUMAN
from engine.schema import Answer, Region, RegionText, Text
from pipelines.ingest.sources.captions import texts_of
from pipelines.ingest.sources.coco_file import Findings, read_coco
from pipelines.ingest.sources.coco_values import (
    corners,
    digits,
    has_words,
    identity,
    in_words,
    is_crowd,
    label,
    mask,
    plain_text,
    printed_words,
    short,
    side,
)
from pipelines.ingest.sources.file_uris import plain_path

# Categories of printed text. An annotation with a `text` and such a category, or no category, is not an object.
PRINT = frozenset(("", "text", "word", "words", "line", "text line", "scene text", "character"))
Row = Mapping[str, Any]
Numbered = tuple[int, Row]  # the position of a row in its list, and the row


@dataclass(frozen=True, slots=True)
class Photo:
    """An image of the json. `name`: the file_name as written, '' if there is none. A size of 0 x 0 is unknown."""

    number: int
    name: str
    width: int
    height: int
    licence: str
    labels: Answer


class CocoRows:
    """The images of a json with its annotations, and with the captions of a second json ('' for none).

    `images`: (position, row) of each image; each file occurs once. With `words`, an annotation that has a `text` also
    becomes a region of printed words, and needs no category.
    """

    def __init__(self, instances: str, captions: str, left_out: Counter[str], *, words: bool = False) -> None:
        self.name, self._words = instances, words
        self.found, self._found_captions = Findings(instances, left_out), Findings(captions, left_out)
        of_annotations = ("image_id", "bbox", "category_id or text" if words else "category_id")
        lists = {"images": ("id", "file_name"), "annotations": of_annotations, "categories": ()}
        content = read_coco(self.name, lists, self.found, words=words)
        self.images, ids = self._images(content.images)
        self._categories = self._names(content.categories)
        self._boxes = self._with_category(self._by_image(content.annotations, ids, self.found))
        self._texts: dict[int, list[Numbered]] = {}
        if captions:
            second = read_coco(captions, {"annotations": ("image_id", "caption")}, self._found_captions)
            self._texts = self._by_image(second.annotations, ids, self._found_captions)
        self._licence_of = self._licences(content.licenses)

    def photos(self) -> Iterator[Photo]:
        """Yields the images one at a time, because an image may have many masks."""
        for number, image in self.images:
            width, height = self._size(number, image)
            labels = self._regions(self._boxes.get(number, []), width, height)
            for row, item in self._texts.get(number, []):
                for text in self._texts_of(row, item, self._found_captions):
                    labels.texts.append(Text(text, "brief", id=_id(labels), producer=HUMAN))
            yield Photo(number, file_name(image), width, height, self._licence_of(number, image), labels)

    def notes(self) -> list[str]:
        """Findings for the user, as sentences. Exhaust `photos` before you call this."""
        return [*self.found.sentences(), *self._found_captions.sentences()]

    # --- rows by their ids ----------------------------------------------------------------------

    def _images(self, items: Sequence[Any]) -> tuple[list[Numbered], dict[Hashable, int]]:
        """The images, each file once, and {id: position}."""
        images: dict[int, Row] = {}
        ids: dict[Hashable, int] = {}
        files: dict[str, int] = {}
        for number, image in enumerate(items):
            if not isinstance(image, Mapping):
                self.found.leave_out("an image that is no object", f"number {number}, {short(image)}")
                continue
            name, file = identity(image.get("id")), plain_path(file_name(image))
            if name in ids and (not file or files.get(file) != ids[name]):
                both = f"{_called(ids[name], images[ids[name]])} and {_called(number, image)}"
                raise ConfigError(
                    f"'{self.name}' has two images with the id {short(name)}: {both}; give each its own id."
                )
            first = files.setdefault(file, number) if file else number
            if first == number:
                images[number] = image
            elif _size(image) in ((0, 0), _size(images[first])):
                self.found.leave_out("an image that is listed twice", _called(number, image))
            else:
                self.found.leave_out("an image that is listed twice, with another size", _called(number, image))
                continue
            if name is None:
                example = f"{_called(number, image)} (id {short(image.get('id'))})"
                self.found.note("no labels, because the id is neither a number nor a text", example)
            else:
                ids[name] = first
        self._note_similar_ids(ids, "images")
        return list(images.items()), ids

    def _note_similar_ids(self, ids: Mapping[Hashable, Any], what: str) -> None:
        seen: dict[str, Hashable] = {}
        for name in ids:
            if (other := seen.setdefault(digits(name), name)) != name:
                self.found.note(f"different {what} whose ids differ only in their type", _pair(other, name))

    def _by_image(
        self, items: Sequence[Any], ids: Mapping[Hashable, int], found: Findings
    ) -> dict[int, list[Numbered]]:
        """Annotations by the position of their image.

        Raises ConfigError if there are annotations but none belongs to an image.
        """
        answer: dict[int, list[Numbered]] = {}
        first, twins = "", {digits(name): name for name in ids}
        for number, item in enumerate(items):
            if not isinstance(item, Mapping):
                found.leave_out("an annotation that is no object", f"number {number}, {short(item)}")
                continue
            name = identity(item.get("image_id"))
            if name in ids:
                answer.setdefault(ids[name], []).append((number, item))
                continue
            problem = _unknown_id("image_id", item.get("image_id"), twins)
            first = first or problem
            found.leave_out("an annotation of no listed image", f"{_annotation(number, item)} ({problem})")
        if items and not answer:
            raise ConfigError(
                f"{len(items):,} of {len(items):,} annotations of '{found.name}' have an image_id that images lacks: "
                f"{_advised(first, ids)}"
            )
        return answer

    def _names(self, items: Sequence[Any]) -> dict[Hashable, str]:
        """{id of a category: its name}. The name is '' if the category has none."""
        answer: dict[Hashable, str] = {}
        if items and not any(isinstance(item, Mapping) for item in items):
            expected = 'objects such as {"id": 1, "name": "cat"}'
            raise ConfigError(f"The categories of '{self.name}' are {short(items)}, expected {expected}.")
        for number, item in enumerate(items):
            if not isinstance(item, Mapping):
                self.found.note("categories that are not objects", f"number {number}, {short(item)}")
                continue
            name, called = identity(item.get("id")), label(item.get("name"))
            if name is None:
                example = f"number {number} ({short(called)}, id {short(item.get('id'))})"
                self.found.note("categories whose id is neither a number nor a text", example)
            elif answer.setdefault(name, called) != called:
                both = f"{answer[name]!r} and {called!r}"
                raise ConfigError(
                    f"'{self.name}' has two categories with the id {short(name)}: {both}; give each its own id."
                )
        self._note_similar_ids(answer, "categories")
        return answer

    def _with_category(self, boxes: Mapping[int, list[Numbered]]) -> dict[int, list[Numbered]]:
        """The annotations whose category has a name.

        Raises ConfigError if there are annotations but none has such a category.
        """
        answer: dict[int, list[Numbered]] = {}
        categories = self._categories
        first, twins = "", {digits(name): name for name in categories}
        for image, items in boxes.items():
            for number, item in items:
                name = identity(item.get("category_id"))
                if categories.get(name) or self._is_print(item):
                    answer.setdefault(image, []).append((number, item))
                    continue
                reason = "an annotation of no listed category"
                problem = _unknown_id("category_id", item.get("category_id"), twins)
                if name in categories:
                    reason, problem = "an annotation whose category has no name", f"category_id {short(name)}"
                first = first or problem
                self.found.leave_out(reason, f"{_annotation(number, item)} ({problem})")
        if boxes and not answer:
            raise ConfigError(
                f"No annotation of '{self.name}' has the id of a category with a name: {_advised(first, categories)}"
            )
        return answer

    def _licences(self, items: Any) -> Callable[[int, Row], str]:
        """A function that returns an image's licence.

        The image's row has the id of a listed licence, or a licence as text.
        """
        names: dict[Hashable, str] = {}
        for number, item in enumerate(items if isinstance(items, list) else [items] if items else []):
            name = identity(item.get("id")) if isinstance(item, Mapping) else None
            if name is None:
                self.found.note("licences that are not objects with an id", f"number {number}, {short(item)}")
                continue
            called = plain_text(item.get("name")) or plain_text(item.get("url"))
            if names.setdefault(name, called) != called:
                names[name] = ""
                self.found.note("two licences with one id, of which neither is taken", f"id {short(name)}")

        def of(number: int, image: Row) -> str:
            value = image.get("license")
            if (name := identity(value)) in names:
                return names[name]
            if isinstance(value, str) and not value.strip().isdigit():
                return plain_text(value)
            if value is not None and names:
                self.found.note("images with an unlisted licence", f"{_called(number, image)} (license {short(value)})")
            return ""

        return of

    # --- values of rows -------------------------------------------------------------------------

    def _size(self, number: int, image: Row) -> tuple[int, int]:
        width, height = _size(image)
        if not (width and height):
            if image.get("width") or image.get("height"):
                size = f"width {short(image.get('width'))}, height {short(image.get('height'))}"
                self.found.note("taken as images of unknown size", f"{_called(number, image)} ({size})")
            return 0, 0
        return width, height

    def _regions(self, items: Sequence[Numbered], width: int, height: int) -> Answer:
        answer = Answer()
        for number, item in items:
            box = corners(item.get("bbox"), width, height)
            if isinstance(box, str):
                self.found.leave_out(box, f"{_annotation(number, item)} (bbox {short(item.get('bbox'))})")
                continue
            if self._is_print(item):
                _add_words(answer, box, printed_words(item))
            called = self._categories.get(identity(item.get("category_id")), "")
            if self._is_print(item) and called.casefold() in PRINT:
                continue
            region = Region(*box, called, id=_id(answer), producer=HUMAN)
            region.score_kind = "crowd" if is_crowd(item.get("iscrowd")) else ""
            region.rle, reason = mask(item.get("segmentation"), width, height)
            if reason:
                self.found.leave_out(reason, f"that of {_annotation(number, item)}")
            answer.regions.append(region)
            if item.get("caption") is not None:
                for text in self._texts_of(number, item, self.found):
                    answer.region_texts.append(RegionText(region.id, text, id=_id(answer), producer=HUMAN))
        return answer

    def _is_print(self, item: Row) -> bool:
        return self._words and has_words(item)

    def _texts_of(self, number: int, item: Row, found: Findings) -> list[str]:
        texts, reasons = texts_of(item.get("caption"))
        for reason in reasons or ([] if texts else ["an empty caption"]):
            found.leave_out(reason, f"that of {_annotation(number, item)} ({short(item.get('caption'))})")
        return texts


def file_name(image: Row) -> str:
    """The file_name of an image. '' if it has none."""
    name = image.get("file_name")
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    return name if isinstance(name, str) and name.strip() else ""


def _size(image: Row) -> tuple[int, int]:
    return side(image.get("width")), side(image.get("height"))


def _called(number: int, image: Row) -> str:
    name = image.get("file_name")
    return f"image number {number}" if name is None else short(name)


def _annotation(number: int, item: Row) -> str:
    name = item.get("id")
    return f"annotation number {number}" if name is None else f"annotation {short(name)}"


def _unknown_id(key: str, value: Any, twins: Mapping[str, Hashable]) -> str:
    """Describes an unknown id. If a known id differs from it only in its type, the text names that id."""
    name = identity(value)
    twin = None if name is None else twins.get(digits(name))
    return f"{key} {short(value)}" if twin is None else f"{key} {in_words(name)}, id {in_words(twin)}"


def _advised(first: str, ids: Collection[Hashable]) -> str:
    """The description of the first unknown id, with advice."""
    if " is a " in first:
        return f"{first}: write both with the same type."
    known = f"the listed ids are like {', '.join(short(name) for name in islice(ids, 3))}" if ids else "no id is listed"
    return f"{first or 'none is an object'}, but {known}: give lists of the same data set."


def _pair(one: Hashable, other: Hashable) -> str:
    return f"{short(one)} and {short(other)}"


def _add_words(answer: Answer, box: Sequence[float], words: str) -> None:
    """Adds a region of printed words. The words are added too if they are legible."""
    x1, y1, x2, y2 = box
    region = Region(x1, y1, x2, y2, "", "text", id=_id(answer), producer=HUMAN)
    answer.regions.append(region)
    if words:
        answer.region_texts.append(RegionText(region.id, words, "ocr", id=_id(answer), producer=HUMAN))


def _id(answer: Answer) -> str:
    return f"{HUMAN}/{len(answer.regions) + len(answer.texts) + len(answer.region_texts)}"
