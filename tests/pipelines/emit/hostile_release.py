"""Images and records that are hard on formats and their readers: odd labels, texts, boxes, sizes, files and names."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from engine.images.decode import EXTENSIONS
from engine.records import masks
from tests.builders import Row, phrase, region, region_text, text
from tests.pipelines.emit.small_release import Item, annotated, drawn, write

LABELS = (
    *(
        "cat",
        "person",
        "Kätzchen",
        "犬",
        "🐈‍⬛ cat",
        'a "quoted" label',
        "it's",
        "two\nlines",
        "tab\tinside",
        "a,b;c: d",
    ),
    *("<loc_1>", "<bbox>", "<ref-object>", "<image>", "<and>", "<OD>", "</s>", "%s {0} ${x}", "back\\slash", "null"),
    *("yes", "12", " padded ", "İstanbul", "e\u0301 combined", "\u200f right to left", "#comment", "- item", "x" * 300),
)
NOT_LISTED = ("dog", "Person")
LISTED = list(LABELS)  # emit.label_list of the hostile release
NAMES = ("a.b.jpg", "two  spaces.jpg", "ünï/犬.jpg", "{1..3}.jpg", "a,b;c'\".jpg", "[x]*?.jpg", "%20#?.jpg", ".jpg")
SPLITS = ("train", "train", "valid", "test")


def write_hostile(folder: Path, formats: Sequence[str]) -> Path:
    """Writes the release in these formats, with embeddings."""
    emit = {"formats": list(formats), "label_list": LISTED, "embeddings": ["embed"]}
    return write(folder, *shards(), recipe={"emit": emit}, splits=SPLITS)


def shards() -> list[list[Item]]:
    """Shards for the splits in SPLITS. The first image has no annotations."""
    return [
        [annotated(drawn("PNG", 1)), *labelled(), crowded()],
        [*sized(), *rotated()],
        [annotated(drawn("PNG", 2)), *every_file_kind()],
        [annotated(drawn("PNG", 3)), worded(), silent()],
    ]


def labelled() -> list[Item]:
    """Each label in an image with a box and a name of its own, and one image with all labels and an empty one."""
    items = []
    for number, label in enumerate((*LABELS, *NOT_LISTED)):
        data, row = annotated(drawn("PNG", 10 + number), regions=[region((3, 4, 50.5, 30.25), label=label, id="m/0")])
        items.append((data, row | {"uri": NAMES[number % len(NAMES)]}))
    together = [region((n, n, n + 9, n + 7), label=label, id=f"m/{n}") for n, label in enumerate(("", *LABELS))]
    return [*items, annotated(drawn("PNG", 90), regions=together)]


def crowded() -> Item:
    """2,000 boxes, of which some are crowds, merged, printed text, or found for a phrase."""
    random = np.random.default_rng(5)
    corners = random.uniform((0, 0, 1.5, 1.5), (50, 30, 9, 9), (2000, 4))
    kinds = ({"score_kind": "crowd", "score": None}, {"merged_into": "m/1"}, {"kind": "text"}, {"kind": "phrase"})
    regions = [
        region((x, y, x + w, y + h), label=LABELS[n % 9], id=f"m/{n}", **(kinds[n % 4] if n > 1980 else {}))
        for n, (x, y, w, h) in enumerate(corners.tolist())
    ]
    return annotated(drawn("PNG", 91), regions=regions)


def plain(width: int, height: int, image_format: str = "PNG", shade: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 50, 90)).save(file, image_format)
    return file.getvalue()


def sized() -> list[Item]:
    """Boxes at the edges, boxes of one pixel and of no area, in images of 60 x 40, 4,000 x 30 and 1 x 1 pixels."""
    edges: Sequence[Sequence[float]] = (
        *((0, 0, 60, 40), (50, 30, 60, 40), (59, 39, 60, 40), (0, 0, 1, 1), (59.99, 0, 60, 40), (20, 20, 20.4, 20.4)),
        *((60, 0, 60, 40), (10, 10, 10, 20), (60, 40, 70, 50), (-5, -5, 70, 50), (10.0001, 10, 10.0002, 20)),
    )
    people: Row = {"score": None, "score_kind": ""}  # people may draw beyond an image
    on_edges = [region(box, id=f"human/{n}", **people) for n, box in enumerate(edges)]
    wide = [(0, 0, 4000, 30), (3999, 29, 4000, 30), (1, 1, 2, 2), (1234.5, 3.25, 1290.75, 20.5)]
    return [
        annotated(drawn("PNG", 100), regions=on_edges),
        annotated(plain(4000, 30), regions=[region(box, id=f"m/{n}") for n, box in enumerate(wide)]),
        annotated(plain(30, 4000), regions=[region((box[1], box[0], box[3], box[2])) for box in wide]),
        annotated(plain(1, 1), regions=[region((0, 0, 1, 1)), region((0, 0, 0.5, 1))]),
        annotated(plain(1, 1, shade=1)),
    ]


def rotated() -> list[Item]:
    """All EXIF orientations. The box is in the upright frame."""
    items = []
    for orientation in range(1, 9):
        width, height = (60, 40) if orientation < 5 else (40, 60)
        mask = np.zeros((height, width), np.uint8)
        mask[2:20, 1:30] = 1
        regions = [region((1, 2, 30, 20), id="m/0", rle=masks.encode(mask)), region((0, 0, width, height), id="m/1")]
        items.append(annotated(drawn("JPEG", 110 + orientation, orientation), regions=regions))
    return items


def every_file_kind() -> list[Item]:
    """Every image format that the engine reads, with a box."""
    items = []
    for number, image_format in enumerate(EXTENSIONS):
        data = plain(60, 40, image_format, 120 + number)
        items.append(annotated(data, regions=[region((5, 6, 20, 30), id="m/0"), region((0, 0, 60, 40), id="m/1")]))
    return items


def worded() -> Item:
    """Texts with tokens of models and reserved words, phrases with several boxes, and printed words with quads."""
    caption = ' A "cat" 🐈 on <loc_5> İa mat\n<bbox> {x} '
    at = caption.index("cat")
    return annotated(
        drawn("PNG", 140),
        texts=[
            text(caption, "brief", id="m/0"),
            text("A cat, on the mat.", "brief", id="m/1"),
            text("<image>", "detailed", id="m/2"),
            text("Ein Kätzchen 🐈.", "more_detailed", id="m/3", score=None),
        ],
        regions=[
            region((1, 2, 30.5, 38), id="m/4", label="犬"),
            region((0, 0, 20, 20), id="m/5"),
            region((40, 2, 58, 12), id="m/6", label="", kind="text", quad=[40, 3, 57, 2, 58, 11, 41, 12]),
            region((40, 22, 58, 32), id="m/7", label="", kind="text"),
            region((5, 5, 25, 25), id="m/8", label="", kind="phrase"),
        ],
        region_texts=[
            region_text("m/4", 'a "dark" cat', id="m/9"),
            region_text("m/6", "ЁЖ <OCR>", granularity="ocr", id="m/10"),
            region_text("m/7", "STOP\n2", granularity="ocr", id="m/11"),
        ],
        phrases=[
            phrase("m/0", at, at + 3, ["m/4", "m/5"], id="m/12"),
            phrase("m/0", len(caption) - 14, len(caption) - 9, ["m/5"], id="m/13"),
            phrase("m/1", 0, 5, ["m/4"], id="m/14"),
            phrase("m/1", 10, 17, ["m/8"], id="m/15"),
            phrase("m/3", 0, 3, [], id="m/16"),
        ],
    )


def silent() -> Item:
    """All texts are empty, and so are the strings of printed words."""
    return annotated(
        drawn("PNG", 141),
        texts=[text("", kind, id=f"m/{n}") for n, kind in enumerate(("brief", "detailed", "more_detailed"))],
        regions=[region(id="m/3", box=(1, 1, 30, 30)), region(kind="text", label="", id="m/4", box=(1, 1, 9, 9))],
        region_texts=[region_text("m/3", "", id="m/5"), region_text("m/4", "", granularity="ocr", id="m/6")],
    )
