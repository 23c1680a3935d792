"""Releases in the formats of messages."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from tests.builders import phrase, region, region_text, text
from tests.pipelines.emit.small_release import Item, annotated, drawn

FORMATS = ["swift", "qwen3_vl", "qwen2_5_vl"]
RECIPE: dict[str, Any] = {"emit": {"formats": FORMATS}}


def lines(folder: Path, name: str, split: str = "train") -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in (folder / name / f"{split}.jsonl").read_text().split("\n") if line]


def sized(width: int, height: int) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (width, height), (width % 256, 90, 20)).save(file, "PNG")
    return file.getvalue()


def photo(shade: int, orientation: int = 0) -> Item:
    """An image with a question of each task. Its stored size is 60 x 40; upright it is 40 x 60 for orientation 6."""
    return annotated(
        drawn("PNG", shade, orientation),
        texts=[
            text("Zwei Kätzchen bark.", kind, id=f"m/{n}")
            for n, kind in enumerate(("brief", "detailed", "more_detailed"))
        ],
        regions=[
            region((6, 4, 30.25, 36), id="m/10"),
            region((12, 8, 40, 30), label="dog", id="m/11"),
            region((0, 0, 1, 1), id="m/13"),
            region((2, 2, 20, 8), kind="text", label="", id="m/12"),
        ],
        region_texts=[region_text("m/10", "a red cat", id="m/20"), region_text("m/12", "OPEN", granularity="ocr")],
        phrases=[phrase("m/0", 0, 13, ["m/10", "m/13"], id="m/30"), phrase("m/0", 14, 18, ["m/11"], id="m/31")],
    )
