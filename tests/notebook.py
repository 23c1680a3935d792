"""Runs the code cells of a notebook in one namespace, without Jupyter."""

from __future__ import annotations

import ast
import base64
import contextlib
import io
from pathlib import Path
from typing import Any


def run_cells(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell: what it printed, then the value of its last expression."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [_run("".join(cell["source"]), names, number) for number, cell in enumerate(cells, start=1)]


def _run(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    statements = ast.parse(source).body
    last = statements.pop() if statements and isinstance(statements[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(statements, []), f"cell {number}", "exec"), names)  # noqa: S102
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if text := _without_folder(printed.getvalue()):
        outputs.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
    if value is not None:
        data = _data(value)
        outputs.append({"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data})
    return outputs


def _without_folder(text: str) -> str:
    """Paths below the current folder as relative ones, so that no folder of this machine is in a notebook."""
    return text.replace(f"{Path.cwd()}/", "")


def _data(value: Any) -> dict[str, Any]:
    """Images as small JPEGs, anything else by its repr."""
    from PIL import Image

    if not isinstance(value, Image.Image):
        return {"text/plain": _without_folder(repr(value)).splitlines(keepends=True)}
    file = io.BytesIO()
    value.convert("RGB").save(file, "JPEG", quality=70)
    words = f"<image of {value.width} x {value.height} pixels>"
    return {"image/jpeg": base64.b64encode(file.getvalue()).decode(), "text/plain": [words]}
