"""ms-swift's own preparation of swift/*.jsonl, for the templates of two models that count boxes differently.

ms-swift is not in the extras, because its released requirements conflict with those of the engine. To run these tests,
install it without dependencies, with modelscope, modelscope_hub, peft and json_repair.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.emit.chat.questions import ASKED, GIVEN
from tests.pipelines.emit.chat.releases import RECIPE, photo
from tests.pipelines.emit.chat.tiny_qwen import tokenizer
from tests.pipelines.emit.small_release import write

CAT = (6, 4, 30.25, 36)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ms-swift loads from a release: an image with a question of each task, and a rotated one."""
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    loader = pytest.importorskip("swift.dataset", reason="ms-swift is not installed")
    folder = write(tmp_path / "v1", [photo(1), photo(2, orientation=6)], recipe=RECIPE)
    monkeypatch.setenv("ROOT_IMAGE_DIR", str(folder / "swift"))
    monkeypatch.chdir(tmp_path)
    loaded, _ = loader.load_dataset(str(folder / "swift/train.jsonl"), strict=True)
    return list(loaded)


def prepared(rows: list[dict[str, Any]], model: str) -> list[str]:
    """The texts that the template of a model makes, with its questions and answers."""
    from swift.template import TEMPLATE_MAPPING
    from swift.template.template_inputs import StdTemplateInputs

    class Images(TEMPLATE_MAPPING[model].template_cls):  # type: ignore[misc]
        """Without the package that resizes images, which needs torchvision."""

        def replace_tag(self, *_: Any) -> list[str]:
            return ["<image of the model>"]

    own = tokenizer()
    own.model_info = SimpleNamespace(config=None, task_type="causal_lm", max_model_len=8192)
    own.model_meta = SimpleNamespace(is_multimodal=True)
    template = Images(own, TEMPLATE_MAPPING[model])
    template.set_mode("train")
    texts = []
    for row in rows:
        inputs = StdTemplateInputs.from_dict(row)
        template._preprocess_inputs(inputs)
        parts, scales, *_ = template._swift_encode(inputs)
        parts, _ = template._simplify_context_list(parts, scales, inputs)
        texts.append("".join(part for part in parts if isinstance(part, str)))
    return texts


def test_every_row_is_loaded_and_no_placeholder_is_left(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == 20
    for model in ("qwen3_vl", "qwen2_5_vl"):
        texts = prepared(rows, model)
        for text in texts:
            assert text.count("<image of the model>") == 1
            assert not re.search("<bbox>|<ref-object>|<image>", text)
        for words in ASKED.values():
            assert any(words.partition(GIVEN)[0] in text for text in texts)


def boxes(texts: list[str]) -> list[tuple[int, ...]]:
    """The boxes of the first cat in the answers about all objects."""
    found = [
        re.search(r"cat<\|object_ref_end\|><\|box_start\|>\((\d+),(\d+)\),\((\d+),(\d+)\)", text) for text in texts
    ]
    return [
        tuple(map(int, match.groups())) for match, text in zip(found, texts, strict=True) if match and "every" in text
    ]


def test_ms_swift_converts_boxes_to_the_units_of_the_model_in_the_stored_frame(rows: list[dict[str, Any]]) -> None:
    stored = (4, 9.75, 36, 34)  # of the rotated photo
    assert boxes(prepared(rows, "qwen2_5_vl")) == [tuple(round(value) for value in box) for box in (CAT, stored)]
    thousandths = [
        tuple(round(value / side * 1000) for value, side in zip(box, (60, 40) * 2, strict=True))
        for box in (CAT, stored)
    ]
    assert boxes(prepared(rows, "qwen3_vl")) == thousandths


def test_a_name_and_a_described_region_are_put_in_place_of_their_placeholders(rows: list[dict[str, Any]]) -> None:
    texts = prepared(rows, "qwen3_vl")
    assert any("Find this in the image: <|object_ref_start|>dog<|object_ref_end|>" in text for text in texts)
    (described, _) = [text for text in texts if "Describe what is in this box" in text]
    assert "this box: <|box_start|>(100,100),(504,900)<|box_end|>" in described
    assert "a red cat" in described
