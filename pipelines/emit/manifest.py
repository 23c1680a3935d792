"""The manifest of a release, made from the commit records of its shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from engine.reading.accounting import Account
from engine.reading.release_manifest import Manifest, ReleaseFile, ReleaseNode
from engine.running.graph import Node
from engine.schema import ANNOTATIONS, SCHEMA_VERSION
from engine.storage.commits import File, Record
from pipelines.emit.pairs import sum_totals
from pipelines.emit.source_names import released_recipe
from pipelines.emit.writers.parquet import RELEASE


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
) -> Manifest:
    """The manifest. `content`: the key from `content_key`. `further_files`: the files that hold data of all shards."""
    counts: Counter[str] = Counter()
    for record in records:
        counts.update({key: count for key, count in record.counts.items() if key not in ("lost", "pairs")})
    files = [file for record in records for _, file in sorted(record.files.items())]
    return {
        "name": name,
        "content": content,
        "schema_version": SCHEMA_VERSION,
        "counts": {"images": 0, **dict.fromkeys(ANNOTATIONS, 0)}
        | {key: count for key, count in sorted(counts.items()) if not key.startswith("images.")},
        "pairs": sum_totals(record.counts["pairs"] for record in records if "pairs" in record.counts),
        "accounting": {"inputs": account.inputs, **account.outcomes, "kept_to_measure": _to_measure(account.splits)},
        "files": [_file(file) for file in [*files, *further_files]],
        "image_extensions": sorted(key.removeprefix("images.") for key in counts if key.startswith("images.")),
        "schema": [{"name": field.name, "type": str(field.type)} for field in RELEASE],
        "lost": [list(item) for record in records for item in record.counts.get("lost", ())],
        "recipe": released_recipe(dict(recipe)),
        "nodes": [_node(node) for node in nodes],
        "versions": dict(versions),
    }


def _to_measure(splits: Mapping[str, int]) -> int:
    """The number of kept images that are not released because they are in an audit split."""
    return sum(number for split, number in splits.items() if split != "train")


def _file(file: File) -> ReleaseFile:
    return {"name": file.path.rsplit("/", 1)[-1], "sha256": file.sha256, "bytes": file.size, "rows": file.rows}


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
