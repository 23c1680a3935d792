"""Writes the tables and the plot of docs/experiments.md from the JSON of each experiment. The other text stays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.experiments.book import RESULTS, ROOT, Experiment, Table

PAGE = ROOT / "docs" / "experiments.md"
PLOT = RESULTS / "rounds.png"
_SECTION = re.compile(r"(<!-- experiment: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write(experiments: Sequence[Experiment], page: Path = PAGE, plot: Path = PLOT) -> None:
    """Fills the section of each experiment with its tables; those without figures are marked as not run yet."""
    found = {one.name: json.loads(one.file.read_bytes()) for one in experiments if one.file.exists()}
    text = page.read_text(encoding="utf-8")
    page.write_text(
        _SECTION.sub(lambda match: match[1] + _section(found.get(match[2])) + match[3], text), encoding="utf-8"
    )
    if "rounds-0" in found:
        draw(found, plot)


def _section(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "\n(not run yet)\n\n"
    parts = [
        f"\nCommit {result['commit']}, recipe {result['recipe'][:12]}, {result['cpu_seconds']:,} CPU seconds.",
        *(markdown(title, table) for title, table in result["tables"].items()),
    ]
    if result["notes"]:
        parts.append("\n".join(f"- {note}" for note in result["notes"]))
    return "\n\n".join(parts) + "\n\n"


def markdown(title: str, table: Table) -> str:
    """A Markdown table. Rows may have different columns; missing cells are empty."""
    names = list(dict.fromkeys(name for row in table.values() for name in row))
    lines = [f"| {title} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {what} | " + " | ".join(_cell(row.get(name)) for name in names) + " |" for what, row in table.items()]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def draw(found: Mapping[str, Mapping[str, Any]], plot: Path) -> None:
    """Plots F1 of the labels after each round for both seeds, with the controls and the upper bound."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for name, colour in (("rounds-0", "tab:blue"), ("rounds-1", "tab:orange")):
        if name in found:
            labels = found[name]["tables"]["labels"]
            for of, style in (("{}", "o-"), ("students of {}", "s:")):
                points = _points(labels, of)
                who = "labels" if of == "{}" else "students alone"
                axes.plot(*zip(*points, strict=True), style, color=colour, label=f"{who}, seed {name[-1]}")
    for name, what, at in (("more-training", "as many steps as two rounds, merged once", 2), ("truth", "", 0)):
        if name in found and at:
            value = found[name]["tables"]["labels"]["round 1"]["F1@.5"]
            axes.plot([at], [value], "k^", markersize=8, label=f"{what}, seed 0")
        elif name in found:
            value = found[name]["tables"]["labels"]["students of round 1"]["F1@.5"]
            axes.axhline(value, color="gray", linestyle="--", linewidth=1, label="students of true labels")
    axes.set(xlabel="rounds", ylabel="F1 at IoU .5 of all training images", xticks=[0, 1, 2, 3], ylim=(0.6, 1.0))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(plot, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def _points(labels: Table, of: str) -> list[tuple[int, float]]:
    points = [(0, labels["filtered"]["F1@.5"])] if of == "{}" else []
    rounds = [number for number in range(1, 10) if of.format(f"round {number}") in labels]
    return points + [(number, labels[of.format(f"round {number}")]["F1@.5"]) for number in rounds]
