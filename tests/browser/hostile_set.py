"""A small data set in which every text is an attack: labels, captions, phrases, words, tags, URIs, licences, errors.

What an attack runs, it runs as `ran.push(...)`, which tests/browser/visit.py notices.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from engine.errors import ImageError
from engine.schema import Answer, ImageScore, Phrase, Region, RegionText, Sample, Tag, Text
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages

LONG = "W" * 10_000
ATTACKS = (
    "<script>ran.push('script')</script>",
    "<img src=x onerror=\"ran.push('image')\">",
    "</script><script>ran.push('closed')</script>",
    "</style><svg onload=ran.push('svg')>",
    "<!--<script>",
    '"><iframe srcdoc="<script>parent.ran.push(\'frame\')</script>">',
    "javascript:ran.push('link')",
    "'); ran.push('quoted'); //",
    "{{ 7 * 7 }} {% include 'x' %} ${ran.push('template')}",
    "__proto__",
    "constructor",
    "\u202egnp.exe \u0642\u0637\u0629",
    "nul\0inside",
    "line\u2028separator\u2029paragraph\nnew",
    "lone \ud800 surrogate",
    "&lt;b&gt; &amp; <b>bold</b>",
    LONG,
)
BEFORE = "\U0001f600\U0001f600 "  # two code points and a space, five units of UTF-16
PHRASE = "the attack"


class Attacker:
    """Annotates each image with attacks in all columns. One image fails, with an attack as the reason's text."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("regions", "texts", "region_texts", "phrases", "tags", "image_scores")
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = ATTACKS[0]
    weights_licence: ClassVar[str] = ""

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self._answer(sample) for sample in batch]

    def _answer(self, sample: Sample) -> Answer:
        number = sample.width - 64
        if number == len(ATTACKS):
            raise ImageError("too_hostile", ATTACKS[1])
        attack = ATTACKS[number]
        text = f"{BEFORE}{PHRASE} {attack} ends."
        return Answer(
            regions=[
                Region(8, 8, 40, 40, attack, id="0", score=0.5 + number / 100, score_kind="confidence"),
                Region(20, 20, 60, 60, attack, kind="text", id="1", score=0.2, score_kind="confidence"),
            ],
            region_texts=[
                RegionText("0", attack, id="2", score=0.9),
                RegionText("1", attack, "ocr", id="3", score=0.9),
            ],
            texts=[Text(text, "detailed", id="4", score=0.9), Text(attack, "brief", id="5", score=0.9)],
            phrases=[Phrase("4", len(BEFORE), len(BEFORE + PHRASE), ["0"], id="6", score=0.9)],
            tags=[Tag(attack, id="7", score=0.9)],
            image_scores=[ImageScore("language", 0.5, attack[:100], id="8", score=1.0)],
        )


def hostile_set(folder: Path) -> Path:
    """Make it below a folder. Returns the data set."""
    photos = folder / "<img src=x onerror=ran.push('folder')>"
    photos.mkdir(parents=True)
    random = np.random.default_rng(0)
    listed = []
    for number in range(len(ATTACKS) + 1):
        name = f"{number} <svg onload=ran.push('uri')>.png"
        pixels = random.integers(0, 256, (64, 64 + number, 3), np.uint8)
        Image.fromarray(pixels).save(photos / name)
        listed.append({"id": number, "file_name": name, "width": 64 + number, "height": 64, "license": number})
    licences = [{"id": number, "name": attack[:200]} for number, attack in enumerate((*ATTACKS, "x"))]
    (folder / "instances.json").write_text(
        json.dumps({"licenses": licences, "images": listed, "categories": [], "annotations": []})
    )
    data = folder / "set"
    stages.run(
        parse_recipe(
            {
                "dataset": str(data),
                "ingest": {"sources": [{"coco": {"instances": str(folder / "instances.json"), "images": str(photos)}}]},
                "annotate": {"attacker": {"use": f"{__name__}:Attacker"}},
                "filter": [{"min_score": {"floor": 0.3}}],
                "emit": {"name": "v1"},
            }
        ),
        runner="inline",
    )
    return data
