"""swift/<split>.jsonl: questions and answers for ms-swift, which converts the boxes to the units of its model.

A box is a placeholder `<bbox>` in the text, and a name `<ref-object>`. Their values are in `objects`, in the same order
and the same number. Boxes are in pixels of the image as stored, because ms-swift does not apply EXIF orientation.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from engine.reading.release_manifest import Manifest
from pipelines.emit.chat.frames import Frame
from pipelines.emit.chat.lines import ChatWriter, Turn, merge_lines
from pipelines.emit.chat.questions import ASKED, GIVEN, ONE_NAME, Question
from pipelines.emit.writers.format import Format, Merge, Shard

BBOX, REF = "<bbox>", "<ref-object>"
FOLDER = "swift"


def writer(file: BinaryIO, shard: Shard) -> ChatWriter:
    return ChatWriter(file, swift_turn)


def swift_turn(question: Question, frame: Frame) -> Turn:
    """A question with placeholders. `ref` and `bbox` have an entry for each placeholder."""
    names = [question.given] if question.task == ONE_NAME else [named.label for named in question.boxes]
    boxes = [named.box for named in question.boxes]
    given = REF if question.task == ONE_NAME else question.given
    if question.box:
        given, boxes = BBOX, [question.box]
    if question.task == ONE_NAME:
        answer = BBOX * len(boxes)
    else:
        answer = "\n".join([REF + BBOX] * len(names)) if names else question.text
    objects: dict[str, list[Any]] = {"ref": names, "bbox": [list(box) for box in boxes]}
    return Turn(ASKED[question.task].replace(GIVEN, given), answer, objects)


def merge(work: Merge) -> None:
    """Moves the first line with a name to the front, because `datasets` takes the types of `objects` from there.

    If the first 10 MB had only empty lists, it would refuse any later name and box.
    """
    merge_lines(work, FOLDER, leads=b'"objects":{"ref":["')


def card_section(manifest: Manifest) -> str:
    rows = sum(file["rows"] for file in manifest["files"] if file["name"].startswith(f"{FOLDER}/"))
    return _SECTION.format(rows=f"{rows:,}", name=manifest["name"]) if rows else ""


_SECTION = """\
## For ms-swift

`swift/*.jsonl` holds {rows} questions with their answers. Boxes are in pixels of the stored image, which is how
ms-swift opens it; a photo with an EXIF orientation is not turned. ms-swift looks for images below `ROOT_IMAGE_DIR`:

```sh
ROOT_IMAGE_DIR={name}/swift swift sft --model Qwen/Qwen3-VL-4B-Instruct --dataset {name}/swift/train.jsonl
```"""

SWIFT = Format(
    writer,
    merge=merge,
    files=(f"{FOLDER}/",),
    loose_images=True,
    verifier="pipelines.emit.verifiers.swift:SwiftVerifier",
    card=card_section,
)
