"""qwen3_vl/<split>.jsonl: questions and answers for Qwen3-VL, whose boxes are thousandths of the width and height."""

from __future__ import annotations

from typing import BinaryIO

from engine.reading.release_manifest import Manifest
from engine.records.boxes import Box
from pipelines.emit.chat.frames import MAX_RATIO, THOUSAND, Frame, in_units
from pipelines.emit.chat.lines import ChatWriter, Turn
from pipelines.emit.chat.questions import Question
from pipelines.emit.chat.qwen import card_section, merge_qwen, qwen_turn
from pipelines.emit.writers.format import Format, Merge, Shard

FOLDER = "qwen3_vl"


def writer(file: BinaryIO, shard: Shard) -> ChatWriter:
    return ChatWriter(file, turn, MAX_RATIO)


def turn(question: Question, frame: Frame) -> Turn:
    return qwen_turn(question, frame, thousandths)


def thousandths(box: Box, frame: Frame) -> list[int]:
    return in_units(box, frame, THOUSAND, THOUSAND)


def merge(work: Merge) -> None:
    merge_qwen(work, FOLDER)


def card(manifest: Manifest) -> str:
    return card_section(manifest, FOLDER, "Qwen3-VL", "thousandths of the image's width and height", "")


QWEN3_VL = Format(
    writer,
    merge=merge,
    files=(f"{FOLDER}/",),
    loose_images=True,
    verifier="pipelines.emit.verifiers.qwen:Qwen3Verifier",
    card=card,
)
