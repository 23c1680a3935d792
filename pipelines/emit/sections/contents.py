"""What a release contains, in numbers."""

from __future__ import annotations

from engine.reading.release_manifest import Figures, Manifest
from engine.schema import ANNOTATIONS
from pipelines.emit.markdown import counted, several, table

_LABELS = 20  # rows of the table of labels


def contents(manifest: Manifest) -> str:
    figures = manifest.get("figures")
    return "\n\n".join(
        filter(
            None,
            (
                "## What it contains",
                _counts(manifest),
                _averages(manifest, figures) if figures else "",
                _labels(figures) if figures else "",
                _sizes(figures) if figures else "",
            ),
        )
    )


def _counts(manifest: Manifest) -> str:
    """Annotations by kind, with their share of images. Kinds of which there are none have no row."""
    counts, images = manifest["counts"], manifest["counts"].get("images", 0)
    rows = [("images", f"{images:,}", "")]
    for column in ANNOTATIONS:
        inner = sorted(name for name in counts if name.startswith(f"{column}."))
        for name in (column, *inner):
            if counts.get(name) or name == column:
                shown = name if name == column else f"&nbsp;&nbsp;{name.partition('.')[2].replace('_', ' ')}"
                rows.append((shown.replace("_", " "), f"{counts.get(name, 0):,}", _mean(counts.get(name, 0), images)))
    return table(("what", "number", "per image"), rows)


def _mean(number: int, images: int) -> str:
    return f"{number / images:.2f}" if images else ""


def _averages(manifest: Manifest, figures: Figures) -> str:
    counts, sentences = manifest["counts"], []
    if figures["objects"]:
        sentences.append(f"{several(figures['objects'], 'region')} stand for one object each.")
    if figures["masks"]:
        sentences.append(f"{several(figures['masks'], 'region has a mask', 'regions have a mask')}.")
    if counts.get("texts"):
        sentences.append(f"A text has {figures['words'] / counts['texts']:.1f} words on average.")
    return " ".join(sentences)


def _labels(figures: Figures) -> str:
    labels = figures["labels"]
    if not labels:
        return ""
    number = several(figures["distinct_labels"], "distinct label")
    note = f"Objects have {number}."
    if figures["labels_cut"]:
        note = (
            f"Objects have at least {number}. Rare labels of "
            f"{several(figures['labels_cut'], 'shard')} were not counted, so each number is a least number."
        )
    most = dict(list(labels.items())[:_LABELS])
    return f"{note} The most frequent:\n\n{counted(('label', 'objects'), most, empty='no label')}"


def _sizes(figures: Figures) -> str:
    sides = figures["sides"]
    return counted(("longer side, pixels", "images"), sides) if sides else ""
