"""LLaMA-Factory's own reading of the files for Qwen-VL: its list of datasets, its converter and its plugin for images.

LLaMA-Factory is not in the extras, because its released requirements conflict with those of the engine. To run these
tests, install it without dependencies, with those that its import names.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders import region
from tests.pipelines.emit.chat.releases import RECIPE, lines, photo, sized
from tests.pipelines.emit.chat.tiny_qwen import processor
from tests.pipelines.emit.small_release import annotated, write


@pytest.fixture(scope="module")
def factory() -> Any:
    pytest.importorskip("llamafactory.data.converter", reason="LLaMA-Factory is not installed")
    from llamafactory.data import converter, mm_plugin, parser

    return SimpleNamespace(converter=converter, mm_plugin=mm_plugin, parser=parser)


def converted(factory: Any, folder: Path, name: str) -> list[dict[str, Any]]:
    """What LLaMA-Factory makes of each row, given only the folder of the format and the name of a dataset."""
    (attributes,) = factory.parser.get_dataset_list(["v1_train"], str(folder / name))
    assert attributes.dataset_name == "train.jsonl"
    arguments = SimpleNamespace(media_dir=str(folder / name))  # its default is dataset_dir
    convert = factory.converter.get_dataset_converter(attributes.formatting, attributes, arguments)
    return [convert(row) for row in lines(folder, name)]


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen2_5_vl"])
def test_it_finds_every_question_answer_and_image(tmp_path: Path, factory: Any, name: str) -> None:
    folder = write(tmp_path / "v1", [photo(1), photo(2, orientation=6)], recipe=RECIPE)
    plugin = factory.mm_plugin.get_mm_plugin("qwen2_vl", image_token="<|image_pad|>", video_token="<|video_pad|>")
    own = processor(min_pixels=3136, max_pixels=12_845_056)
    own.video_processor = own.image_processor  # it looks for one, and uses it only for videos
    for row, read in zip(lines(folder, name), converted(factory, folder, name), strict=True):
        question, answer = row["messages"]
        assert (read["_prompt"], read["_response"]) == ([question], [answer])
        assert all(Path(image).is_file() for image in read["_images"])
        messages = plugin.process_messages([*read["_prompt"], *read["_response"]], read["_images"], [], [], own)
        seen = [re.sub(r"(<\|image_pad\|>)+", "<image>", message["content"]) for message in messages]
        assert seen[0].replace("<|vision_start|><image><|vision_end|>", "<image>", 1) == question["content"]
        assert seen[1] == answer["content"]


def test_with_the_advised_sizes_its_images_have_the_pixels_of_the_boxes(tmp_path: Path, factory: Any) -> None:
    image = annotated(sized(1900, 1100), regions=[region((0, 0, 1900, 1100))])
    folder = write(tmp_path / "v1", [image], recipe=RECIPE)
    plugin = factory.mm_plugin.get_mm_plugin("qwen2_vl", image_token="<|image_pad|>", video_token="<|video_pad|>")
    own = processor(min_pixels=3136, max_pixels=12_845_056)
    (read, *_) = converted(factory, folder, "qwen2_5_vl")
    sizes = []
    for limits in ({"image_max_pixels": 12_845_056, "image_min_pixels": 1}, {}):
        for key, value in limits.items():
            setattr(own, key, value)
        if not limits:
            del own.image_max_pixels, own.image_min_pixels
        _, high, wide = plugin._get_mm_inputs(read["_images"], [], [], own)["image_grid_thw"][0].tolist()
        sizes.append([0, 0, wide * 14, high * 14])
    assert str(sizes[0]) in read["_response"][0]["content"]
    assert str(sizes[1]) not in read["_response"][0]["content"]  # by default, LLaMA-Factory shrinks images first
