"""The section of the data card about what was chosen."""

from __future__ import annotations

from engine.reading.release_manifest import LabelTotals, Manifest
from pipelines.emit.markdown import escape, table
from pipelines.release_options import Emit

_REASONS = {
    "where": "the SQL of `emit.where` does not select it",
    "cap_cluster": "its group of similar images has enough images (`emit.caps.cluster`)",
    "cap_label": "each of its labels is in enough images (`emit.caps.label`)",
    "mixture": "the proportions of the sources leave it out (`emit.mixture`)",
}


def choice_section(manifest: Manifest) -> str:
    """The section, with its heading; '' if the release holds all kept training images, in one split."""
    options = Emit(**manifest["recipe"].get("emit", {}))
    parts = [_splits(manifest, options), _left_out(manifest), _labels(manifest)]
    if options.shuffle is not None:
        parts.append(f"The images are shuffled in blocks of shards, with the seed {options.shuffle}.")
    text = "\n\n".join(filter(None, parts))
    return f"## How it was chosen\n\n{text}" if text else ""


def _splits(manifest: Manifest, options: Emit) -> str:
    if not options.splits.wanted:
        return ""
    together = {
        "near_duplicate": "Near-duplicates are in one split",
        "semantic": f"Images with embeddings within a distance of {options.splits.distance:g} are in one split",
        "image": "Near-duplicates may be in different splits",
    }[options.splits.by]
    rows = [(f"`{name}`", f"{number:,}") for name, number in manifest.get("splits", {}).items()]
    return f"{together}; the seed is {options.splits.seed}.\n\n{table(('split', 'images'), rows)}"


def _left_out(manifest: Manifest) -> str:
    found = manifest.get("left_out", {})
    if not found:
        return ""
    rows = [(_REASONS[reason], f"{number:,}") for reason, number in found.items()]
    return f"Kept images that are not in this release:\n\n{table(('an image is left out because', 'images'), rows)}"


def _labels(manifest: Manifest) -> str:
    found = manifest.get("labels") or LabelTotals(renamed={}, dropped={})
    rows = [("renamed", escape(name), f"{number:,}") for name, number in found["renamed"].items()]
    rows += [("left out", escape(name), f"{number:,}") for name, number in found["dropped"].items()]
    if not rows:
        return ""
    return "Labels were changed for this release; the data set has the old ones.\n\n" + table(
        ("change", "label", "regions and tags"), rows
    )
