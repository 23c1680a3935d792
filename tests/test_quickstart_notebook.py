"""docs/quickstart.ipynb runs, and its outputs are those that the code gives now."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.notebook import run_cells
from tests.runs import REPO

NOTEBOOK = REPO / "docs" / "quickstart.ipynb"


def test_the_outputs_of_the_notebook_are_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """UPDATE_GOLDEN=1 writes them; read the diff before you commit it."""
    pytest.importorskip("spacy")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(NOTEBOOK.read_text())
    outputs = run_cells(notebook)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if os.environ.get("UPDATE_GOLDEN"):
        for number, (cell, new) in enumerate(zip(cells, outputs, strict=True), start=1):
            cell |= {"execution_count": number, "outputs": new}
        NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    for cell, new in zip(cells, outputs, strict=True):
        assert texts(cell["outputs"]) == texts(new)


def test_the_notebook_is_small_and_names_no_folder_of_a_machine() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < 200_000
    assert not re.search(r"/(work|tmp|home|root|Users)/", text)


def texts(outputs: list[dict[str, Any]]) -> list[str]:
    """The text of outputs without times, rates and alignment, which differ from run to run."""
    found = ["".join(output.get("text") or output["data"]["text/plain"]) for output in outputs]
    return [re.sub(r" +", " ", re.sub(r"\b[\d,]+\.\d\b|(?<=[ -])-(?=\n|$)", "#", text)) for text in found]
