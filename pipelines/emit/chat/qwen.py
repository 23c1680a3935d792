"""Questions and answers as text for Qwen-VL, with boxes as JSON, and the files that LLaMA-Factory needs beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from engine.reading.release_manifest import Manifest
from engine.records.boxes import Box
from pipelines.emit.chat.frames import Frame
from pipelines.emit.chat.lines import Turn, merge_lines
from pipelines.emit.chat.questions import ASKED, GIVEN, TEXT_QUESTIONS, Question
from pipelines.emit.writers.format import Merge

AS_JSON = "\nAnswer in JSON, with bbox_2d and label."
DATASET_INFO = "dataset_info.json"

Units = Callable[[Box, Frame], list[int]]  # writes a box in the units of a model


def qwen_turn(question: Question, frame: Frame, units: Units) -> Turn:
    words = ASKED[question.task]
    given = str(units(question.box, frame)) if question.box else question.given
    if question.task in TEXT_QUESTIONS:
        return Turn(words.replace(GIVEN, given), question.text)
    boxes = [{"bbox_2d": units(named.box, frame), "label": named.label} for named in question.boxes]
    return Turn(words.replace(GIVEN, given) + AS_JSON, json.dumps(boxes, ensure_ascii=False))


def merge_qwen(merge: Merge, folder: str) -> None:
    """Writes the lines of each split, and the list of these files that LLaMA-Factory reads."""
    written = merge_lines(merge, folder)
    if not written:
        return
    with merge.file(f"{folder}/{DATASET_INFO}") as file:
        file.write(dataset_info(merge.name, written))
        file.rows = len(written)


def dataset_info(name: str, splits: Sequence[str]) -> bytes:
    """An entry "<name>_<split>" for each file, in the form that LLaMA-Factory calls sharegpt."""
    entries = {
        f"{name}_{split}": {
            "file_name": f"{split}.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "images": "images"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
            },
        }
        for split in splits
    }
    return (json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode()


def card_section(manifest: Manifest, folder: str, model: str, units: str, advice: str) -> str:
    """The section of the data card about a format.

    `model`: whose format it is. `units`: those of its boxes. `advice`: further lines of YAML for LLaMA-Factory.
    """
    files = [file for file in manifest["files"] if file["name"].startswith(f"{folder}/")]
    rows = sum(file["rows"] for file in files if file["name"].endswith(".jsonl"))
    if not rows:
        return ""
    first = next(file["name"] for file in files if file["name"].endswith(".jsonl"))
    values = {"folder": folder, "model": model, "units": units, "advice": advice, "file": first}
    dataset = f"{manifest['name']}_{first.rpartition('/')[2].removesuffix('.jsonl')}"
    return _SECTION.format(rows=f"{rows:,}", name=manifest["name"], dataset=dataset, **values)


_SECTION = """\
## For {model}

`{folder}/*.jsonl` holds {rows} questions with their answers. Answers with boxes are JSON. A box is in
{units}.
It belongs to the image as it is stored: LLaMA-Factory, and the code for TRL below, do not turn a photo by its EXIF
orientation. LLaMA-Factory reads these files with

```yaml
dataset_dir: {name}/{folder}
dataset: {dataset}{advice}
```

For TRL, open the images, and remove the mark `<image>`, because TRL adds its own:

```python
from datasets import load_dataset
from PIL import Image

folder = "{name}/{folder}"
dataset = load_dataset("json", data_files="{name}/{file}", split="train")


def opened(rows):
    images = [[Image.open(folder + "/" + path).convert("RGB") for path in paths] for paths in rows["images"]]
    for question, _ in rows["messages"]:
        question["content"] = question["content"].removeprefix("<image>")
    return {{"images": images, "messages": rows["messages"]}}


dataset = dataset.with_transform(opened)  # for SFTTrainer(train_dataset=dataset)
```"""
