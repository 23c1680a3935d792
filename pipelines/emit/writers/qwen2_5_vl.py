"""qwen2_5_vl/<split>.jsonl: questions and answers for Qwen2.5-VL, whose boxes are pixels of the resized image.

The model's processor resizes each image to multiples of 28 pixels, within a range of pixels that the trainer sets. The
boxes fit only a trainer with the range of emit.qwen2_5_vl.
"""

from __future__ import annotations

from typing import BinaryIO

from engine.reading.release_manifest import Manifest
from engine.records.boxes import Box
from pipelines.emit.chat.frames import MAX_RATIO, Frame, in_units, resized
from pipelines.emit.chat.lines import ChatWriter, Turn
from pipelines.emit.chat.questions import Question
from pipelines.emit.chat.qwen import card_section, merge_qwen, qwen_turn
from pipelines.emit.writers.format import Format, Merge, Shard
from pipelines.release_options import Emit, ResizeOptions

FOLDER = "qwen2_5_vl"


def writer(file: BinaryIO, shard: Shard) -> ChatWriter:
    def turn(question: Question, frame: Frame) -> Turn:
        return qwen_turn(question, frame, lambda box, frame: resized_pixels(box, frame, shard.resize))

    return ChatWriter(file, turn, MAX_RATIO)


def resized_pixels(box: Box, frame: Frame, options: ResizeOptions) -> list[int]:
    return in_units(box, frame, *resized(frame.width, frame.height, options.min_pixels, options.max_pixels))


def merge(work: Merge) -> None:
    merge_qwen(work, FOLDER)


def card(manifest: Manifest) -> str:
    options = Emit(**manifest["recipe"].get("emit", {})).qwen2_5_vl
    pixels = f"{options.min_pixels:,} to {options.max_pixels:,} pixels"
    units = f"pixels of the image after the processor has resized it, with sides of 28 n and {pixels}"
    return card_section(manifest, FOLDER, "Qwen2.5-VL", units, _ADVICE.format(pixels=options.max_pixels))


_ADVICE = """
image_max_pixels: {pixels}  # and image_min_pixels, or it resizes images before the processor does
image_min_pixels: 1"""

QWEN2_5_VL = Format(
    writer,
    merge=merge,
    files=(f"{FOLDER}/",),
    loose_images=True,
    verifier="pipelines.emit.verifiers.qwen:Qwen25Verifier",
    card=card,
)
