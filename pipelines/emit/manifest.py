"""The manifest of a release, made from the commit records of its shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from engine.layout import RELEASE_SPLITS, release_folder
from engine.reading.accounting import KEPT, PENDING, Account
from engine.reading.release_manifest import FormatTotals, LabelTotals, Manifest, ReleaseFile, ReleaseNode, ReleaseRound
from engine.running.graph import Node
from engine.schema import ANNOTATIONS, SCHEMA_VERSION
from engine.storage.commits import File, Record
from pipelines.emit.figures import sum_figures
from pipelines.emit.pairs import sum_totals
from pipelines.emit.source_names import released_recipe
from pipelines.emit.writers import FORMATS, chosen_formats
from pipelines.emit.writers.parquet import RELEASE
from pipelines.release_options import Emit


def release_manifest(
    name: str,
    content: str,
    records: Sequence[Record],
    further_files: Sequence[File],
    *,
    recipe: Mapping[str, Any],
    nodes: Sequence[Node],
    versions: Mapping[str, str],
    account: Account,
    left_out: Mapping[str, int] | None = None,
    merged_left_out: Mapping[str, Mapping[str, int]] | None = None,
    rounds: Sequence[ReleaseRound] = (),
) -> Manifest:
    """The manifest. `content`: from `content_key`. `further_files`: the files that hold data of all shards. `left_out`:
    kept training images that were not chosen, by reason. `merged_left_out`: {format: what its merge left out}.
    """
    counts, files = _counts(records), _released_files(records)
    return {
        "name": name,
        "content": content,
        "schema_version": SCHEMA_VERSION,
        "splits": {split: counts[f"splits.{split}"] for split in RELEASE_SPLITS if counts[f"splits.{split}"]},
        "formats": _formats(recipe, records, merged_left_out or {}),
        "left_out": dict(sorted((left_out or {}).items())),
        "labels": _labels(recipe, records),
        "counts": _shown(counts),
        "pairs": sum_totals(record.counts["pairs"] for record in records if "pairs" in record.counts),
        "accounting": {"inputs": account.inputs, **account.outcomes, "kept_to_measure": _to_measure(account.splits)},
        "files": [_file(file, name) for file in [*files, *further_files]],
        "image_extensions": sorted(key.removeprefix("images.") for key in counts if key.startswith("images.")),
        "schema": [{"name": field.name, "type": str(field.type)} for field in RELEASE],
        "figures": sum_figures(record.counts["figures"] for record in records if "figures" in record.counts),
        "dropped": _dropped(account),
        "rounds": list(rounds),
        "lost": [list(item) for record in records for item in record.counts.get("lost", ())],
        "recipe": released_recipe(dict(recipe)),
        "nodes": [_node(node) for node in nodes],
        "versions": dict(versions),
    }


def _shown(counts: Mapping[str, int]) -> dict[str, int]:
    """The numbers of images and annotations, without those that the manifest has in other fields."""
    shown = {key: count for key, count in sorted(counts.items()) if not key.startswith(("images.", "splits."))}
    return {"images": 0, **dict.fromkeys(ANNOTATIONS, 0)} | shown


def _to_measure(splits: Mapping[str, int]) -> int:
    """The number of kept images that are not released because they are in an audit split."""
    return sum(number for split, number in splits.items() if split != "train")


def _labels(recipe: Mapping[str, Any], records: Sequence[Record]) -> LabelTotals:
    """What emit.labels did. An entry that fits no label has the number 0."""
    options = Emit(**recipe.get("emit", {})).labels
    renamed = Counter({f"{old} -> {new}": 0 for old, new in options.rename.items()})
    dropped = Counter(dict.fromkeys(options.drop, 0))
    for record in records:
        renamed.update(record.counts.get("labels", {}).get("renamed", {}))
        dropped.update(record.counts.get("labels", {}).get("dropped", {}))
    return {"renamed": dict(sorted(renamed.items())), "dropped": dict(sorted(dropped.items()))}


def _dropped(account: Account) -> dict[str, dict[str, int]]:
    """The numbers of images and of annotations that each rule dropped in the data set."""
    found = {"images": account.filtered_by} | {name: column.outcomes for name, column in account.annotations.items()}
    others = (KEPT, PENDING)
    dropped = {
        name: {rule: number for rule, number in outcomes.items() if number and rule not in others}
        for name, outcomes in found.items()
    }
    return {name: rules for name, rules in dropped.items() if rules}


def _counts(records: Sequence[Record]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for record in records:
        counts.update({key: count for key, count in record.counts.items() if isinstance(count, int)})
    return counts


def _released_files(records: Sequence[Record]) -> list[File]:
    """The files of all shards that are in the release, without those that are only a part for `merge`."""
    return [
        file
        for record in records
        for part, file in sorted(record.files.items())
        if part not in FORMATS or FORMATS[part].suffix
    ]


def _formats(
    recipe: Mapping[str, Any], records: Sequence[Record], merged: Mapping[str, Mapping[str, int]]
) -> dict[str, FormatTotals]:
    """What each format left out, in the shards and in its merge."""
    chosen = chosen_formats(Emit(**recipe.get("emit", {})))
    totals = {name: Counter(merged.get(name, {})) for name in chosen}
    for record in records:
        for name, found in record.counts.get("formats", {}).items():
            totals[name].update(found)
    return {name: {"left_out": dict(sorted(found.items()))} for name, found in totals.items()}


def _file(file: File, release: str) -> ReleaseFile:
    """A file of the release, by its path below the folder of the release. `release`: the name of the release."""
    name = file.path.removeprefix(f"{release_folder(release)}/")
    return {"name": name, "sha256": file.sha256, "bytes": file.size, "rows": file.rows}


def _node(node: Node) -> ReleaseNode:
    found: ReleaseNode = {
        "name": node.name,
        "component": node.component,
        "version": node.version,
        "key": node.key,
        "deterministic": node.deterministic,
        "code_licence": node.code_licence,
        "weights_licence": node.weights_licence,
    }
    if node.resolved:
        found["resolved"] = dict(node.resolved)
    return found
