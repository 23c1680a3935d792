"""What the gallery shows of one image, as JSON. assets/gallery.js reads these records.

Boxes, quads and masks are in pixels of the upright image. `start` and `end` count Unicode code points; a JavaScript
string counts UTF-16 units. `kept` is None for what is not judged yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class Judged(TypedDict):
    kept: bool | None
    rule: str  # the rule that dropped it; ''
    value: float | None  # the number that the rule compared with the threshold
    threshold: float | None


class RegionRecord(Judged):
    id: str
    kind: str
    label: str
    words: str  # printed words in the region; ''
    box: list[float]  # x1, y1, x2, y2
    quad: list[float]  # x and y of four corners; []
    mask: str  # the path of an SVG; ''. A mask that outlines another region is given with that region
    score: float | None
    score_kind: str
    producer: str
    round: int
    merged_into: str
    support: list[str]
    parents: list[str]


class PhraseRecord(Judged):
    id: str
    start: int
    end: int
    regions: list[str]  # the regions that it names; of a merged region, the one that replaced it
    score: float | None
    producer: str


class TextRecord(Judged):
    id: str
    granularity: str
    text: str  # its first characters; `length` is the length of the whole
    length: int
    producer: str
    round: int
    score: float | None
    phrases: list[PhraseRecord]


class RegionTextRecord(Judged):
    id: str
    region: str
    granularity: str
    text: str
    producer: str
    round: int


class TagRecord(Judged):
    id: str
    label: str
    score: float | None
    producer: str


class ScoreRecord(TypedDict):
    name: str
    value: float | None
    code: str
    producer: str


class FailureRecord(TypedDict):
    node: str
    component: str
    reason: str
    error: str


class ChangeRecord(TypedDict):
    round: int
    rule: str
    old: str
    new: str
    old_label: str
    new_label: str
    value: float | None
    threshold: float | None


class SourceRecord(TypedDict):
    source: str
    uri: str


class ImageRecord(Judged):
    id: str
    name: str  # of the file, the tar's member or the row
    width: int
    height: int
    src: str  # a data URI or a URL of the picture; '' if it cannot be read
    unreadable: str  # why it cannot be read; ''
    split: str
    licence: str
    sources: list[SourceRecord]
    strata: list[str]  # the reasons why it was chosen
    regions: list[RegionRecord]
    texts: list[TextRecord]
    region_texts: list[RegionTextRecord]
    tags: list[TagRecord]
    scores: list[ScoreRecord]
    failures: list[FailureRecord]
    changes: list[ChangeRecord]
    left_out: dict[str, int]  # {"regions": how many are not in the record}; no entry for 0


class GalleryRecord(TypedDict):
    """What a page holds. `embedded` of gallery.js takes it."""

    dataset: str  # its folder or URL, for the commands that the page shows
    total: int  # images in the data set
    images: list[ImageRecord]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a record holds. Kept annotations come first, and among them those with the best scores."""

    regions: int = 400  # half of them kept, a quarter dropped, a quarter merged into others
    texts: int = 40
    phrases: int = 200  # of all texts of an image
    others: int = 60  # tags, scores, region texts, failures, changes, sources: of each
    characters: int = 4_000  # of a text; the texts of regions have a tenth
    mask: int = 1_200  # characters of a mask's path


SMALL = Bounds(regions=120, texts=16, phrases=80, others=30, characters=2_000, mask=600)  # for pages with many images
