"""The program and the table of docs/guide/11-chat-models.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipelines.emit.chat.questions import ASKED, GIVEN
from tests.pipelines.emit.chat.releases import RECIPE, lines, photo
from tests.pipelines.emit.small_release import write

PAGE = (Path(__file__).resolve().parents[4] / "docs/guide/11-chat-models.md").read_text(encoding="utf-8")


def test_the_page_has_the_question_of_every_task() -> None:
    rows = dict(re.findall(r"^\| `(<\w+>)` \| (.*?) \|", PAGE, re.MULTILINE))
    assert {task: re.sub(r"\*\w+\*", GIVEN, question) for task, question in rows.items()} == dict(ASKED)


def test_the_program_for_llava_makes_a_conversation_of_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "releases/v1", [photo(1), photo(2)], recipe=RECIPE)
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n# to_llava.py\n(.*?)```", PAGE, re.DOTALL)
    exec(program, {})  # noqa: S102
    made = json.loads((tmp_path / "llava.json").read_text(encoding="utf-8"))
    rows = lines(folder, "qwen3_vl")
    assert len(made) == len(rows)
    for entry, row in zip(made, rows, strict=True):
        assert [turn["from"] for turn in entry["conversations"]] == ["human", "gpt"]
        question, answer = (turn["value"] for turn in entry["conversations"])
        assert question.replace("<image>\n", "<image>") == row["messages"][0]["content"]
        assert answer == row["messages"][1]["content"]
        assert (folder / "images" / entry["image"]).is_file()
    assert len({entry["id"] for entry in made}) == len(made)
