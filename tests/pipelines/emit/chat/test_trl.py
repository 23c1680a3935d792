"""TRL's own preparation of the files for Qwen-VL, with the code on the data card."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.emit.chat.questions import ASKED
from tests.pipelines.emit.chat.releases import RECIPE, lines, photo
from tests.pipelines.emit.chat.tiny_qwen import processor
from tests.pipelines.emit.small_release import write

SIZES = {"min_pixels": 3136, "max_pixels": 12_845_056}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a question of each task, and a rotated one."""
    return write(tmp_path_factory.mktemp("trl") / "v1", [photo(1), photo(2, orientation=6)], recipe=RECIPE)


@pytest.fixture(autouse=True)
def trl() -> Any:
    return pytest.importorskip("trl", reason="TRL is not installed (extra 'readers')")


def code_on_the_card(release: Path, name: str) -> str:
    """The Python block of the section about a format."""
    section = (release / "README.md").read_text().split(f"`{name}/*.jsonl` holds")[1]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def batches(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trl: Any) -> Any:
    """A function from the name of a format to the texts and the batch that TRL makes from its rows."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    monkeypatch.chdir(release.parent)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    own = processor(**SIZES)

    def collated(name: str) -> tuple[list[str], Any, Any]:
        names: dict[str, Any] = {}
        exec(code_on_the_card(release, name), names)  # noqa: S102
        dataset = names["dataset"]
        batch = DataCollatorForVisionLanguageModeling(own)([dataset[number] for number in range(len(dataset))])
        texts = [re.sub(r"(<\|image_pad\|>)+", "", text) for text in own.tokenizer.batch_decode(batch["input_ids"])]
        return [text.replace("<|endoftext|>", "") for text in texts], batch, dataset

    return collated


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen2_5_vl"])
def test_trl_sees_the_questions_and_answers_of_every_task(release: Path, batches: Any, name: str) -> None:
    texts, batch, _ = batches(name)
    rows = [[message["content"] for message in row["messages"]] for row in lines(release, name)]
    assert texts == [
        f"<|im_start|>user\n<|vision_start|><|vision_end|>{question.removeprefix('<image>')}<|im_end|>\n"
        f"<|im_start|>assistant\n{answer}<|im_end|>\n"
        for question, answer in rows
    ]
    for words in ASKED.values():
        assert any(words.partition("{")[0] in text for text in texts)
    assert len(batch["image_grid_thw"]) == len(rows)


def test_boxes_for_qwen2_5_are_on_the_pixels_that_its_processor_makes(release: Path, batches: Any) -> None:
    texts, batch, _ = batches("qwen2_5_vl")
    sizes = [(int(wide) * 14, int(high) * 14) for _, high, wide in batch["image_grid_thw"]]
    assert set(sizes) == {(84, 56)}  # both photos are stored as 60 x 40, and TRL does not turn the rotated one
    boxes = [
        [item["bbox_2d"] for item in json.loads(text.split("assistant\n")[1].removesuffix("<|im_end|>\n"))]
        for text in texts
        if "every object" in text
    ]
    scaled = [
        value * size / side for value, size, side in zip((6, 4, 30.25, 36), (84, 56) * 2, (60, 40) * 2, strict=True)
    ]
    assert boxes[0][0] == [round(value) for value in scaled]
    # Upright it is [6, 4, 30.25, 36] in 40 x 60, so stored it is [4, 9.75, 36, 34] in 60 x 40.
    scaled = [
        value * size / side for value, size, side in zip((4, 9.75, 36, 34), (84, 56) * 2, (60, 40) * 2, strict=True)
    ]
    assert boxes[1][0] == [round(value) for value in scaled]


def test_images_that_datasets_opens_itself_are_turned_so_the_card_does_not_do_that(release: Path, batches: Any) -> None:
    from datasets import Image

    _, _, dataset = batches("qwen3_vl")
    rotated = dataset[len(dataset) - 1]["images"][0]
    path = json.loads((release / "qwen3_vl/train.jsonl").read_text().splitlines()[-1])["images"][0]
    turned = Image().decode_example({"path": str(release / "qwen3_vl" / path), "bytes": None})
    assert (rotated.size, turned.size) == ((60, 40), (40, 60))
