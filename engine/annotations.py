"""Annotations as records: what specialists read and write. Import these names from `engine.schema`.

Boxes are float pixels of the upright image (EXIF applied), x1 < x2 to the right, y1 < y2 downwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(slots=True)
class Annotation:
    """The fields of every annotation. The worker sets `producer` and `round`.

    A specialist leaves `id` empty, or gives a local name without a slash, such as "0". The worker turns it into
    "<producer>/0". Other annotations of the same answer may refer to the local name. A reference with a slash names an
    annotation of another producer.
    """

    id: str = field(default="", kw_only=True)
    producer: str = field(default="", kw_only=True)
    round: int = field(default=0, kw_only=True)
    score: float | None = field(default=None, kw_only=True)
    score_kind: str = field(default="", kw_only=True)
    parents: list[str] = field(default_factory=list, kw_only=True)


@dataclass(slots=True)
class Text(Annotation):
    text: str
    granularity: str
    text_key: str = ""  # set by the worker


@dataclass(slots=True)
class Region(Annotation):
    x1: float
    y1: float
    x2: float
    y2: float
    label: str = ""
    kind: str = "object"
    quad: list[float] = field(default_factory=list)  # 8 numbers, clockwise from top left; empty without a quad
    rle: str = ""  # compressed COCO run-length counts of the whole upright image
    merged_into: str = ""
    support: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RegionText(Annotation):
    region_id: str
    text: str
    granularity: str = "brief"


@dataclass(slots=True)
class Phrase(Annotation):
    """A phrase of a text, text[char_start:char_end] in code points, and the regions that it names."""

    text_id: str
    char_start: int
    char_end: int
    region_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tag(Annotation):
    label: str


@dataclass(slots=True)
class ImageScore(Annotation):
    name: str
    value: float
    code: str = ""


@dataclass(slots=True)
class Failure:
    component: str
    reason: str
    error: str
    attempts: int = 1


@dataclass(slots=True)
class Chunk:
    char_start: int
    char_end: int
    head: str
    plural: bool
    text: str


@dataclass(slots=True)
class Relation:
    """A noun that is the subject or the object of a verb. Both words are lemmas in lower case."""

    verb: str
    role: str  # subject or object
    noun: str


@dataclass(slots=True)
class Complexity:
    """The degrees of nodes in the undirected dependency tree of a text.

    `paper`: the paper's measure, which is the highest degree in each sentence, averaged over the sentences.
    """

    paper: float = 0.0
    mean: float = 0.0
    max: float = 0.0


@dataclass(slots=True)
class Parse:
    """The parse of one text (section 4.2 and appendix of the Florence-2 paper). The worker sets `text_key`.

    `relations`: None if the component that parsed the text does not give any, as before schema version 3.
    """

    tokens: int
    raw_tokens: int
    sentences: int
    objects: list[str]
    objects_paper: list[str]
    attributes: list[str]
    attributes_paper: list[str]
    actions: list[str]
    proper_nouns: list[str]
    object_complexity: Complexity
    action_complexity: Complexity
    chunks: list[Chunk]
    text_key: str = ""
    failures: list[Failure] = field(default_factory=list)
    relations: list[Relation] | None = None


@dataclass(slots=True)
class Answer:
    """The annotations of one image by one specialist. All lists may be empty.

    `embedding`: a one-dimensional vector of unit length. A specialist that gives embeddings must give one for every
    image. Others leave it None.
    """

    texts: list[Text] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    region_texts: list[RegionText] = field(default_factory=list)
    phrases: list[Phrase] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    image_scores: list[ImageScore] = field(default_factory=list)
    embedding: npt.NDArray[np.floating[Any]] | None = None


@dataclass(slots=True)
class Sample:
    """One image with what the specialist needs: pixels and annotations.

    A region that was merged into another one is left out. A specialist that needs `boxes` gets these regions too.
    """

    image_id: str
    width: int
    height: int
    pixels: npt.NDArray[np.uint8] | None = None  # height x width x 3, RGB, upright
    texts: list[Text] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    region_texts: list[RegionText] = field(default_factory=list)
    phrases: list[Phrase] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    image_scores: list[ImageScore] = field(default_factory=list)
    parse: Mapping[str, Parse] = field(default_factory=dict)  # by text_key
    detectors: tuple[str, ...] = ()  # nodes that looked for boxes, whether or not they found any
    embedding: npt.NDArray[np.float32] | None = None  # None if the node that gives it failed


COLUMN_CLASSES: dict[str, type[Annotation]] = {
    "texts": Text,
    "regions": Region,
    "region_texts": RegionText,
    "phrases": Phrase,
    "tags": Tag,
    "image_scores": ImageScore,
}


def text_key(text: str) -> str:
    """The key that joins a text to its parse: the first 16 hex digits of the sha256 of its UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
