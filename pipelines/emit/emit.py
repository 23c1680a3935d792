"""Write what is kept as a release: tars of original bytes and json, Parquet, pairs, a manifest, a card.

A release never changes once its manifest is there. Its shards are committed like any node's, so a run that was
killed goes on where it stopped; the manifest is written last, so its existence means complete.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import ConfigError, DamageError, RunFailed, SourcesGone, StorageError
from engine.images.locate import image_bytes
from engine.keys import stable_hash
from engine.layout import CARD_FILE, IMAGES, MANIFEST, PAIR_FILES, SAMPLE_FILES, release_folder
from engine.reading.accounting import Account, account
from engine.reading.dataset import Dataset
from engine.running.failure_limits import COMPONENT_FAULTS, NodeCount, too_many
from engine.running.graph import Node, Resources
from engine.running.shard_inputs import ShardInputs
from engine.schema import ANNOTATIONS
from engine.storage.commits import Commits, File, Record, record_name
from engine.storage.files import Storage, sha256_file
from filters.judging.apply_rules import keep
from model.pairs.pair import Options
from pipelines.annotate.annotate import Runtime, run_nodes
from pipelines.emit.card import card
from pipelines.emit.pairs import pair_options, sum_of_told
from pipelines.emit.shard import (
    ShardFiles,
    Written,
    extension_of,
    manifest,
    read_manifest,
    release_rows,
    sealed_manifest,
    shard_names,
    write_shard,
)
from pipelines.filter.judge import Output, shard_options, shard_record
from pipelines.ingest.splits import FIT, HELD, TEST
from pipelines.recipe import Pairs, Recipe

EMIT_VERSION = 2


class Release:
    """The component that writes the release shard of one shard."""

    def __init__(
        self, *, folder: str, numbers: dict[int, int], record: list[Any], parses: list[str], pairs: dict[str, Any]
    ) -> None:
        self.folder, self.numbers, self.record, self.parses = folder, numbers, record, parses
        self.options = pair_options(Pairs(**pairs))

    def load(self) -> None:
        return None

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        """The tar and the Parquet files of what is kept; images whose bytes are gone are counted as lost."""
        record, _ = shard_record(inputs, self.record, self.parses)
        kept = _for_training(keep(record, inputs.table("judge")), inputs.images)
        if not kept.num_rows:
            return Output({}, 0, counts={})
        images = _rows_of(inputs.images, kept["image_id"].to_pylist())
        rows, read = release_rows(kept, images), _reader(inputs.storage, images)
        give_up = inputs.unit.give_up
        files, written = _write(inputs.storage, self.folder, self.numbers[shard], rows, read, self.options, give_up)
        lost = written.lost
        if lost:
            gone = {image_id for image_id, _, _ in lost}
            there = pa.array([image_id not in gone for image_id in images["image_id"].to_pylist()])
            kept, images = kept.filter(there), images.filter(there)
        counts = _counts(kept, images) if kept.num_rows else {}
        counts |= {"lost": [list(item[:2]) for item in lost], "pairs": written.pairs.told()}
        return Output(files, kept.num_rows, len(lost), counts)


def _for_training(kept: pa.Table, images: pa.Table) -> pa.Table:
    """Without images of the audit split: they are measured with, never trained on."""
    training = images.filter(pc.equal(images["split"], "train"))["image_id"]
    return kept.filter(pc.is_in(kept["image_id"], value_set=training.combine_chunks()))


def _rows_of(images: pa.Table, wanted: Sequence[str]) -> pa.Table:
    position = {image_id: row for row, image_id in enumerate(images["image_id"].to_pylist())}
    return images.take([position[image_id] for image_id in wanted])


def _reader(storage: Storage, images: pa.Table) -> Callable[[str], bytes]:
    """Original bytes by image id; ImageError where they are gone."""
    rows = {
        row["image_id"]: row for row in images.select(["image_id", "uri", "offset", "length", "sources"]).to_pylist()
    }

    def read(image_id: str) -> bytes:
        return image_bytes(storage, rows[image_id])

    return read


def _write(
    storage: Storage,
    folder: str,
    number: int,
    rows: pa.Table,
    read: Callable[[str], bytes],
    options: Options,
    give_up: bool,
) -> tuple[dict[str, File], Written]:
    """The files of a shard. SourcesGone where images cannot be read now, unless they are given up."""
    names = shard_names(number)
    local = ShardFiles(*(storage.scratch(f"{folder}/{name}") for name in names))
    try:
        written = write_shard(local, rows, read, names.tar, options)
        kept = rows.num_rows - len(written.lost)
        if not kept or (written.lost and not give_up):  # loaders refuse empty shards
            for path in local:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            if not give_up:
                raise SourcesGone(written.lost)
            return {}, written
        held = {"tar": kept, "parquet": kept, "pairs": written.pairs.proven.total()}
        files = {}
        for part, path, name in zip(ShardFiles._fields, local, names, strict=True):
            if held[part]:
                size, digest = os.path.getsize(path), sha256_file(path)
                storage.upload(path, f"{folder}/{name}")
                files[part] = File(f"{folder}/{name}", digest, held[part], size)
        return files, written
    except OSError as error:
        raise StorageError(f"The release shard '{folder}/{names.tar}' could not be written: {error}") from error


def _counts(kept: pa.Table, images: pa.Table) -> dict[str, Any]:
    """Images (also by file extension), annotations of each column, and those of each granularity or kind."""
    counts: dict[str, Any] = {"images": kept.num_rows}
    for item in images["format"].combine_chunks().value_counts().to_pylist():
        counts[f"images.{extension_of(item['values'])}"] = item["counts"]
    for column in ANNOTATIONS:
        values = kept[column].combine_chunks().flatten()
        counts[column] = len(values)
        for field in ("granularity", "kind"):
            if values.type.get_field_index(field) >= 0:
                for item in values.field(field).value_counts().to_pylist():
                    counts[f"{column}.{item['values']}"] = item["counts"]
    return counts


# --- driving ---------------------------------------------------------------------------------


def emit(
    runtime: Runtime, nodes: Sequence[Node], judge: Node, run_info: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Make the release, or find it made. (folder, manifest); ConfigError if its name is taken by other content."""
    storage, recipe = runtime.storage, runtime.recipe
    records = _judged(storage, judge)
    content = content_key(storage, [*nodes, judge], recipe)
    name = recipe.emit.name or f"r-{content[:8]}"
    folder = release_folder(name)
    node = _emit_node(nodes, judge, folder, _numbers(records), content, recipe)
    commits = Commits(storage, node.folder)
    if (existing := _existing(storage, folder, commits, len(records))) is not None:
        if existing["content"] == content and not (damage := altered(storage, folder, existing)):
            return folder, existing
        if existing["content"] == content and runtime.tell:
            runtime.tell(f"{damage}: the release is made again.")
        if existing["content"] != content and existing["counts"].get("images"):
            raise ConfigError(
                f"The release '{name}' exists and holds other content: choose another name with --set emit.name=NAME."
            )
        storage.remove(f"{folder}/{MANIFEST}")  # a release of no image keeps no name, a damaged one is made again
    told = account(Dataset.open(storage.url))
    _check_share(told, records, recipe)
    _forget_damaged(commits, folder)
    run_nodes(runtime, "emit", [node], [*nodes, judge])
    made = [commits.record(shard, int(revision)) for shard, revision in enumerate(commits.revisions(len(records)))]
    if not any(record.files for record in made) and not recipe.emit.allow_empty:
        raise RunFailed(_nothing_to_release(told))
    written = _manifest(runtime, nodes, judge, made, content, name, run_info, told)
    _finish(storage, folder, made, written)
    return folder, read_manifest(storage, folder)


def _numbers(judged: Sequence[Record]) -> dict[int, int]:
    """The number each shard has in the release: those without images are left out."""
    filled = [shard for shard, record in enumerate(judged) if record.counts["released"]["images"]]
    return {shard: number for number, shard in enumerate(filled)}


def _existing(storage: Storage, folder: str, commits: Commits, shards: int) -> dict[str, Any] | None:
    """The manifest of the finished release; a damaged one of the release that is to be made is written again."""
    try:
        return existing_manifest(storage, folder)
    except DamageError:
        if (commits.revisions(shards) < 0).any():  # it may be of any other release
            raise
        storage.remove(f"{folder}/{MANIFEST}")
        return None


def altered(storage: Storage, folder: str, manifest: Mapping[str, Any]) -> str:
    """Which file of a finished release is gone, or has another size; '' for none. What is in them `verify` reads."""
    names = set(storage.names(folder))
    for file in manifest["files"]:
        path = f"{folder}/{file['name']}"
        if file["name"] not in names:
            return f"'{path}' is gone"
        if storage.local and storage.size(path) != file["bytes"]:
            return f"'{path}' has {storage.size(path):,} bytes, the manifest says {file['bytes']:,}"
    return ""


def _check_share(told: Account, judged: Sequence[Record], recipe: Recipe) -> None:
    """RunFailed where a component failed on too many of the data set: the run that committed them has failed too."""
    images = sum(record.files["data"].rows for record in judged)
    found: dict[str, NodeCount] = {}
    for component, reason, number in told.failures:
        if reason in COMPONENT_FAULTS:
            count = found.setdefault(component, NodeCount(asked=images, first=reason))
            count.faults += number
            count.refused += number
    for name, count in found.items():
        if sentence := too_many(name, count, recipe.run.max_failed_share):
            raise RunFailed(sentence)


def _nothing_to_release(told: Account) -> str:
    outcomes = ", ".join(f"{number} {name}" for name, number in told.outcomes.items() if number)
    reasons = ", ".join(f"{number} {reason}" for _, reason, number in told.failures[:5])
    why = f"{told.inputs} inputs are {outcomes or 'none'}" + (f" ({reasons})" if reasons else "")
    if apart := told.splits.get(FIT, 0) + told.splits.get(TEST, 0):
        why += f", {apart} of them only to measure with (ingest.audit)"
    if held := told.splits.get(HELD, 0):
        why += f", {held} of them held back from training"
    return (
        f"No release is made, because no image is left for one: {why}. See 'engine status', or make an empty one with "
        "--set emit.allow_empty=true"
    )


def _judged(storage: Storage, judge: Node) -> list[Record]:
    commits = Commits(storage, judge.folder)
    revisions = commits.revisions(len(Commits(storage, IMAGES).revisions()))
    if (revisions < 0).any():
        raise ConfigError(
            f"{int((revisions < 0).sum())} of {len(revisions)} shards are not judged yet: run the stages before, "
            "or all of them without --stage."
        )
    return [commits.record(shard, int(revision)) for shard, revision in enumerate(revisions)]


def content_key(storage: Storage, nodes: Sequence[Node], recipe: Recipe) -> str:
    """What the release depends on: which nodes, which shards, which revisions."""
    folders = [IMAGES, *(node.folder for node in nodes)]
    state = {folder: Commits(storage, folder).revisions().tolist() for folder in folders}
    pairs = recipe.emit.pairs.model_dump(mode="json")
    return stable_hash([EMIT_VERSION, state, [node.key for node in nodes], recipe.emit.licence, pairs])


def existing_manifest(storage: Storage, folder: str) -> dict[str, Any] | None:
    """What the manifest of a finished release says; DamageError where it is not as it was written."""
    try:
        return read_manifest(storage, folder)
    except FileNotFoundError:
        return None


def _emit_node(
    nodes: Sequence[Node], judge: Node, folder: str, numbers: Mapping[int, int], content: str, recipe: Recipe
) -> Node:
    return Node(
        name="emit",
        target="pipelines.emit.emit:Release",
        options=shard_options(nodes)
        | {"folder": folder, "numbers": dict(numbers), "pairs": recipe.emit.pairs.model_dump(mode="json")},
        needs=(),
        gives=(),
        key=stable_hash(["emit", content, folder]),
        inputs={node.name: node.gives for node in nodes} | {"judge": ()},
        over="shard",
        resources=Resources(cpus=1.0),
        component="emit",
        version=EMIT_VERSION,
    )


def _forget_damaged(commits: Commits, folder: str) -> None:
    """Shards of a release have plain names: where another attempt, or a hand, changed one, it is to be made again."""
    for shard, revision in enumerate(map(int, commits.revisions())):
        if revision >= 0 and not _is_whole(commits, shard, revision, folder):
            commits.storage.remove(f"{commits.folder}/{record_name(shard, revision)}")


def _is_whole(commits: Commits, shard: int, revision: int, folder: str) -> bool:
    try:
        files = commits.record(shard, revision).files.values()
        return all(
            file.path.startswith(f"{folder}/") and commits.storage.sha256(file.path) == file.sha256 for file in files
        )
    except (DamageError, FileNotFoundError, IsADirectoryError):
        return False


def _manifest(
    runtime: Runtime,
    nodes: Sequence[Node],
    judge: Node,
    records: Sequence[Record],
    content: str,
    name: str,
    run_info: Mapping[str, Any],
    told: Account,
) -> dict[str, Any]:
    counts: dict[str, int] = {}
    lost: list[list[str]] = []
    for record in records:
        lost += record.counts.get("lost", [])
        for key, count in record.counts.items():
            if key not in ("lost", "pairs"):
                counts[key] = counts.get(key, 0) + count
    return manifest(
        name=name,
        content=content,
        counts={"images": 0, **dict.fromkeys(ANNOTATIONS, 0)}
        | {key: count for key, count in sorted(counts.items()) if not key.startswith("images.")},
        files=[file for record in records for _, file in sorted(record.files.items())],
        recipe=runtime.recipe.model_dump(mode="json"),
        nodes=[*nodes, judge],
        lost=lost,
        versions=run_info["versions"],
        accounting={"inputs": told.inputs, **told.outcomes, "kept_to_measure": _to_measure(told.splits)},
        extensions=sorted({name.split(".", 1)[1] for name in counts if name.startswith("images.")}),
        pairs=sum_of_told(record.counts["pairs"] for record in records if "pairs" in record.counts),
    )


def _to_measure(splits: Mapping[str, int]) -> int:
    """How many kept images are not released because they are measured with."""
    return sum(number for split, number in splits.items() if split != "train")


def _finish(storage: Storage, folder: str, records: Iterable[Record], written: Mapping[str, Any]) -> None:
    """Card first, manifest last; files of an abandoned attempt under the same name go."""
    storage.sweep_temporaries(folder)
    named = {file.path.rsplit("/", 1)[-1] for record in records for file in record.files.values()}
    for name in storage.names(folder):
        if name.startswith((SAMPLE_FILES, PAIR_FILES)) and name not in named:
            storage.remove(f"{folder}/{name}")
    text = card(written).encode()
    storage.put(f"{folder}/{CARD_FILE}", text)
    storage.create(f"{folder}/{MANIFEST}", sealed_manifest(written, text))
