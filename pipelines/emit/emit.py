"""Stage emit: writes a release, which is a folder of tars, tables, training pairs, a card and a manifest.

A release never changes once its manifest exists. Its shards are committed like those of a node, so a run that was
killed continues where it stopped. The manifest is written last, so a release that has one is complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import ConfigError, DamageError, RunFailed
from engine.keys import stable_hash
from engine.layout import CARD_FILE, IMAGES, MANIFEST, release_folder
from engine.reading.accounting import Account, account
from engine.reading.dataset import Dataset
from engine.reading.release_manifest import Manifest, read_manifest, sealed_manifest
from engine.running.engine_node import engine_node
from engine.running.failure_limits import COMPONENT_FAULTS, NodeCount, too_many
from engine.running.graph import Node
from engine.storage.commits import Commits, File, Record, record_name
from engine.storage.files import Storage
from pipelines.annotate.run_nodes import run_nodes
from pipelines.annotate.runtime import Runtime
from pipelines.emit.card import card
from pipelines.emit.embedding_nodes import check_embeddings
from pipelines.emit.licences import check_licences
from pipelines.emit.manifest import release_manifest
from pipelines.emit.writers import FORMATS, is_of_a_format
from pipelines.filter.judge import shard_options
from pipelines.ingest.splits import FIT, HELD, TEST
from pipelines.recipe import Recipe

EMIT_VERSION = 2


def emit(runtime: Runtime, nodes: Sequence[Node], judge: Node, versions: Mapping[str, str]) -> tuple[str, Manifest]:
    """Writes the release, unless it is finished. Returns its folder and its manifest.

    Raises ConfigError if there is a release with this name and other content.
    """
    storage, recipe = runtime.storage, runtime.recipe
    check_licences(recipe, nodes)
    check_embeddings(recipe, nodes)
    verdicts = _verdict_records(storage, judge)
    content = content_key(storage, [*nodes, judge], recipe)
    name = recipe.emit.name or f"r-{content[:8]}"
    folder = release_folder(name)
    node = _emit_node(nodes, judge, folder, _numbers(verdicts), content, recipe)
    commits = Commits(storage, node.folder)
    existing = _existing(storage, folder, commits, len(verdicts))
    if existing is not None:
        if _is_finished(runtime, folder, existing, content):
            return folder, existing
        storage.remove(f"{folder}/{MANIFEST}")  # an empty or damaged release is written again
    now = account(Dataset.open(storage.url))
    _check_failures(now, verdicts, recipe)
    _forget_damaged(commits, folder)
    run_nodes(runtime, "emit", [node], [*nodes, judge])
    records = [commits.record(shard, int(revision)) for shard, revision in enumerate(commits.revisions(len(verdicts)))]
    if not any(record.files for record in records) and not recipe.emit.allow_empty:
        raise RunFailed(_nothing_to_release(now))
    manifest = release_manifest(
        name,
        content,
        records,
        _finish_formats(storage, folder, records),
        recipe=recipe.model_dump(mode="json"),
        nodes=[*nodes, judge],
        versions=versions,
        account=now,
    )
    _finish(storage, folder, manifest)
    return folder, read_manifest(storage, folder)


def _is_finished(runtime: Runtime, folder: str, existing: Manifest, content: str) -> bool:
    """Whether the release is complete. It is written again if it is damaged or has no images."""
    if existing["content"] == content:
        damage = altered(runtime.storage, folder, existing)
        if damage and runtime.on_note:
            runtime.on_note(f"{damage}: the release is made again.")
        return not damage
    if existing["counts"].get("images"):
        name = folder.rpartition("/")[2]
        raise ConfigError(
            f"The release '{name}' exists and holds other content: choose another name with --set emit.name=NAME."
        )
    return False


def _numbers(verdicts: Sequence[Record]) -> dict[int, int]:
    """{number of a shard in the data set: its number in the release}. A release has no shards without images."""
    filled = [shard for shard, record in enumerate(verdicts) if record.counts["released"]["images"]]
    return {shard: number for number, shard in enumerate(filled)}


def _existing(storage: Storage, folder: str, commits: Commits, shards: int) -> Manifest | None:
    """The manifest of the finished release, or None. A damaged manifest is removed if it belongs to this release."""
    try:
        return existing_manifest(storage, folder)
    except DamageError:
        if (commits.revisions(shards) < 0).any():  # then the damaged manifest may be that of another release
            raise
        storage.remove(f"{folder}/{MANIFEST}")
        return None


def altered(storage: Storage, folder: str, manifest: Manifest) -> str:
    """The first file of a finished release that is missing or has another size, as half a sentence. '' if none.

    The contents of the files are not compared: `verify` does that.
    """
    names = set(storage.names(folder))
    for file in manifest["files"]:
        path = f"{folder}/{file['name']}"
        if file["name"] not in names:
            return f"'{path}' is gone"
        if storage.local and storage.size(path) != file["bytes"]:
            return f"'{path}' has {storage.size(path):,} bytes, the manifest has {file['bytes']:,}"
    return ""


def _check_failures(now: Account, verdicts: Sequence[Record], recipe: Recipe) -> None:
    """Raises RunFailed if a component failed on a larger share of the images than `run.max_failed_share`."""
    images = sum(record.files["data"].rows for record in verdicts)
    found: dict[str, NodeCount] = {}
    for component, reason, number in now.failures:
        if reason in COMPONENT_FAULTS:
            count = found.setdefault(component, NodeCount(attempted=images, first=reason))
            count.faults += number
            count.unanswered += number
    for name, count in found.items():
        if sentence := too_many(name, count, recipe.run.max_failed_share):
            raise RunFailed(sentence)


def _nothing_to_release(now: Account) -> str:
    outcomes = ", ".join(f"{number} {name}" for name, number in now.outcomes.items() if number)
    reasons = ", ".join(f"{number} {reason}" for _, reason, number in now.failures[:5])
    why = f"{now.inputs} inputs are {outcomes or 'none'}" + (f" ({reasons})" if reasons else "")
    if measured := now.splits.get(FIT, 0) + now.splits.get(TEST, 0):
        why += f", {measured} of them only to measure with (ingest.audit)"
    if held := now.splits.get(HELD, 0):
        why += f", {held} of them held back from training"
    return (
        f"No image is left to release: {why}. See 'engine status', or make an empty release with "
        "--set emit.allow_empty=true."
    )


def _verdict_records(storage: Storage, judge: Node) -> list[Record]:
    """The commit records of the verdicts, one for each shard. Raises ConfigError if some shards are not judged yet."""
    commits = Commits(storage, judge.folder)
    revisions = commits.revisions(len(Commits(storage, IMAGES).revisions()))
    if (revisions < 0).any():
        raise ConfigError(
            f"{int((revisions < 0).sum())} of {len(revisions)} shards are not judged yet: run the stages before "
            "emit, or all stages without --stage."
        )
    return [commits.record(shard, int(revision)) for shard, revision in enumerate(revisions)]


def content_key(storage: Storage, nodes: Sequence[Node], recipe: Recipe) -> str:
    """A hash of what determines the release: nodes, shards and their revisions, licence, options of pairs.

    emit.embeddings is hashed only if it is given, so that releases from before this option keep their keys.
    """
    folders = [IMAGES, *(node.folder for node in nodes)]
    state = {folder: Commits(storage, folder).revisions().tolist() for folder in folders}
    pairs = recipe.emit.pairs.model_dump(mode="json")
    embeddings = [{"embeddings": recipe.emit.embeddings}] if recipe.emit.embeddings else []
    return stable_hash([EMIT_VERSION, state, [node.key for node in nodes], recipe.emit.licence, pairs, *embeddings])


def existing_manifest(storage: Storage, folder: str) -> Manifest | None:
    """The manifest of the finished release in this folder, or None. Raises DamageError if the manifest was changed."""
    try:
        return read_manifest(storage, folder)
    except FileNotFoundError:
        return None


def _emit_node(
    nodes: Sequence[Node], judge: Node, folder: str, numbers: Mapping[int, int], content: str, recipe: Recipe
) -> Node:
    pairs = recipe.emit.pairs.model_dump(mode="json")
    return engine_node(
        "emit",
        "pipelines.emit.shard:Release",
        EMIT_VERSION,
        key_parts=["emit", content, folder],
        options=shard_options(nodes)
        | {"folder": folder, "numbers": dict(numbers), "pairs": pairs, "embeddings": recipe.emit.embeddings},
        inputs={node.name: node.gives for node in nodes} | {"judge": ()},
    )


def _forget_damaged(commits: Commits, folder: str) -> None:
    """Removes the commit records of shards whose files were changed or removed, so that these shards are written again.

    File names in a release do not depend on content, so another attempt may have overwritten a file.
    """
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


def _finish_formats(storage: Storage, folder: str, records: Sequence[Record]) -> list[File]:
    """Writes the files that hold data of all shards, for the formats that have such files."""
    written = [file for record in records for file in record.files.values()]
    return [file for form in FORMATS.values() if form.finish for file in form.finish(storage, folder, written)]


def _finish(storage: Storage, folder: str, manifest: Manifest) -> None:
    """Removes files of an abandoned attempt under the same name, then writes the card and, last, the manifest."""
    storage.sweep_temporaries(folder)
    named = {file["name"] for file in manifest["files"]}
    for name in storage.names(folder):
        if is_of_a_format(name) and name not in named:
            storage.remove(f"{folder}/{name}")
    text = card(manifest).encode()
    storage.put(f"{folder}/{CARD_FILE}", text)
    storage.create(f"{folder}/{MANIFEST}", sealed_manifest(manifest, text))
