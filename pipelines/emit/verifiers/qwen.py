"""Checks qwen3_vl/*.jsonl and qwen2_5_vl/*.jsonl, and the dataset_info.json beside them.

TRL (`prepare_multimodal_messages`) reads each line if it is installed. LLaMA-Factory 0.9.5 cannot be installed beside
this package. Its rules, from llamafactory/data/{converter,parser,mm_plugin}.py: an entry of dataset_info.json names the
file, the columns and the tags; `user` and `assistant` alternate; `<image>` occurs as often as there are images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.reading.release_manifest import Manifest
from engine.records.boxes import Box
from model.florence2_tasks import DESCRIPTION
from pipelines.emit.chat.frames import THOUSAND, Frame, resized
from pipelines.emit.chat.questions import TEXT_QUESTIONS, Named, Question
from pipelines.emit.chat.qwen import AS_JSON, DATASET_INFO, dataset_info
from pipelines.emit.verifiers.chat import ChatVerifier
from pipelines.emit.verifiers.chat_lines import Wrong, asked, turns
from pipelines.release_options import Emit


class QwenVerifier(ChatVerifier):
    REFUSES_LONG_IMAGES = True
    READ_BY = ("datasets", "trl")

    def parse(self, row: Mapping[str, Any]) -> Question:
        user, assistant = turns(row)
        if set(row) != {"messages", "images"}:
            raise Wrong("has other keys than messages and images")
        task, given = asked(user.removesuffix(AS_JSON))
        if task in TEXT_QUESTIONS:
            return Question(task, box=_box(_loaded(given)) if task == DESCRIPTION else None, text=assistant)
        if not user.endswith(AS_JSON):
            raise Wrong("does not ask for JSON")
        return Question(task, given, boxes=[_named(item) for item in _loaded(assistant)])

    def finish(self) -> None:
        name = f"{self.FOLDER}/{DATASET_INFO}"
        splits = [name.rpartition("/")[2].removesuffix(".jsonl") for name in self._rows if name.endswith(".jsonl")]
        if splits:
            path = self.folder / name
            if not path.is_file():
                self.check.faults.append(f"{name} is missing: LLaMA-Factory finds no dataset without it")
            elif path.read_bytes() != dataset_info(self.manifest["name"], splits):
                self.check.faults.append(f"{name} has other entries than the files of this release need")
            elif self._rows.get(name) != len(splits):
                self.check.faults.append(f"{name} has {len(splits)} entries, the manifest has {self._rows.get(name)}")
        super().finish()


class Qwen3Verifier(QwenVerifier):
    FOLDER = "qwen3_vl"

    def units(self, frame: Frame) -> tuple[float, float]:
        return THOUSAND, THOUSAND


class Qwen25Verifier(QwenVerifier):
    FOLDER = "qwen2_5_vl"

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        super().__init__(folder, manifest)
        self._resize = Emit(**manifest["recipe"].get("emit", {})).qwen2_5_vl

    def units(self, frame: Frame) -> tuple[float, float]:
        return resized(frame.width, frame.height, self._resize.min_pixels, self._resize.max_pixels)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Wrong(f"has '{text[:80]}' where JSON should be") from None


def _named(item: Any) -> Named:
    if not isinstance(item, dict) or set(item) != {"bbox_2d", "label"}:
        raise Wrong(f"has {str(item)[:80]} in its answer, which is not a bbox_2d with a label")
    return Named(item["label"], _box(item["bbox_2d"]))


def _box(values: Any) -> Box:
    if not isinstance(values, list) or len(values) != 4 or not all(type(value) is int for value in values):
        raise Wrong(f"has the box {values}, which is not four whole numbers")
    x1, y1, x2, y2 = values
    if not (0 <= x1 < x2 and 0 <= y1 < y2):
        raise Wrong(f"has the box {values}, which has no area")
    return (x1, y1, x2, y2)
