"""Stage emit: writes a release, which is a folder of files in the chosen formats, a card and a manifest.

A release never changes once its manifest exists. Its shards are committed like those of a node, so a run that was
killed continues where it stopped. The manifest is written last, so a release that has one is complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import ConfigError, DamageError, RunFailed
from engine.layout import CARD_FILE, IMAGES, MANIFEST, release_folder
from engine.reading.accounting import Account, account
from engine.reading.dataset import Dataset
from engine.reading.release_manifest import Manifest, read_manifest, sealed_manifest
from engine.running.failure_limits import COMPONENT_FAULTS, NodeCount, too_many
from engine.running.graph import Node
from engine.storage.commits import Commits, Record, record_name
from engine.storage.files import Storage
from pipelines.annotate.run_nodes import run_nodes
from pipelines.annotate.runtime import Runtime
from pipelines.emit.card import card
from pipelines.emit.check_recipe import check_release
from pipelines.emit.choice.plan import ReleasePlan, plan_release
from pipelines.emit.choice.unused import unused_labels
from pipelines.emit.content import accepted_keys, bookkeeping, choice_folder, content_key, release_node
from pipelines.emit.loose_files import LOOSE_PART, loose_files, read_loose_table
from pipelines.emit.manifest import release_manifest
from pipelines.emit.merge import merge_formats
from pipelines.emit.rounds import release_rounds
from pipelines.emit.writers import chosen_formats, is_of_a_format
from pipelines.ingest.splits import FIT, HELD, TEST
from pipelines.recipe import Recipe


def emit(runtime: Runtime, nodes: Sequence[Node], judge: Node, versions: Mapping[str, str]) -> tuple[str, Manifest]:
    """Writes the release, unless it is finished. Returns its folder and its manifest.

    Raises ConfigError if there is a release with this name and other content.
    """
    storage, recipe, made_from = runtime.storage, runtime.recipe, [*nodes, judge]
    check_release(recipe, nodes)
    verdicts = _verdict_records(storage, judge)
    content = content_key(storage, made_from, recipe)
    name = recipe.emit.name or f"r-{content[:8]}"
    folder = release_folder(name)
    existing = _existing(storage, folder, content, len(verdicts))
    if existing is not None and _is_finished(runtime, folder, existing, accepted_keys(storage, made_from, recipe)):
        return folder, existing
    storage.remove(f"{folder}/{MANIFEST}")  # an empty or damaged release is written again
    now = account(Dataset.open(storage.url))
    _check_failures(now, verdicts, recipe)
    _note_unused_labels(runtime)
    plan = plan_release(storage, nodes, judge, verdicts, recipe, choice_folder(content, folder))
    node = release_node(nodes, judge, folder, plan, content, recipe)
    records = _write_shards(runtime, node, made_from, plan, folder)
    if not any(record.files for record in records) and not recipe.emit.allow_empty:
        raise RunFailed(_nothing_to_release(now, plan.left_out))
    files, left_out = merge_formats(storage, folder, chosen_formats(recipe.emit), records, recipe.emit.label_list)
    manifest = release_manifest(
        name,
        content,
        records,
        files,
        recipe=recipe.model_dump(mode="json"),
        nodes=made_from,
        versions=versions,
        account=now,
        left_out=plan.left_out,
        merged_left_out=left_out,
        rounds=release_rounds(storage),
    )
    _finish(storage, folder, manifest)
    return folder, read_manifest(storage, folder)


def _note_unused_labels(runtime: Runtime) -> None:
    if runtime.on_note:
        for sentence in unused_labels(runtime.storage, runtime.recipe.emit):
            runtime.on_note(sentence)


def _write_shards(
    runtime: Runtime, node: Node, made_from: Sequence[Node], plan: ReleasePlan, folder: str
) -> list[Record]:
    """Writes the shards that are not committed, and returns the commit records of all."""
    commits = Commits(runtime.storage, node.folder)
    _forget_damaged(commits, folder)
    # The shards of a choice are not those of the nodes, whose answers the component therefore opens itself.
    if plan.chosen:
        run_nodes(runtime, "emit", [node], opened=made_from)
    else:
        run_nodes(runtime, "emit", [node], made_from)
    return [commits.record(shard, int(revision)) for shard, revision in enumerate(commits.revisions(plan.shards))]


def _is_finished(runtime: Runtime, folder: str, existing: Manifest, contents: Sequence[str]) -> bool:
    """Whether the release is complete. It is written again if it is damaged or has no images."""
    if existing["content"] in contents:
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


def _existing(storage: Storage, folder: str, content: str, shards: int) -> Manifest | None:
    """The manifest of the finished release, or None. A damaged manifest is removed if it belongs to this release.

    `shards`: the number of shards of the data set.
    """
    try:
        return existing_manifest(storage, folder)
    except DamageError:
        chosen = len(Commits(storage, choice_folder(content, folder)).revisions())
        written = Commits(storage, bookkeeping(content, folder)).revisions(chosen or shards)
        if (written < 0).any():  # then the damaged manifest may be that of another release
            raise
        storage.remove(f"{folder}/{MANIFEST}")
        return None


def altered(storage: Storage, folder: str, manifest: Manifest) -> str:
    """The first file of a finished release that is missing or has another size, as half a sentence. '' if none.

    The contents of the files are not compared: `verify` does that.
    """
    names = set(storage.tree(folder))
    for file in manifest["files"]:
        path = f"{folder}/{file['name']}"
        if file["name"] not in names:
            return f"'{path}' is gone"
        if storage.local and storage.size(path) != file["bytes"]:
            return f"'{path}' has {storage.size(path):,} bytes, the manifest has {file['bytes']:,}"
    gone = next((name for name, _, _ in loose_files(storage, folder, manifest) if name not in names), "")
    return f"'{folder}/{gone}' is gone" if gone else ""


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


def _nothing_to_release(now: Account, left_out: Mapping[str, int]) -> str:
    outcomes = ", ".join(f"{number} {name}" for name, number in now.outcomes.items() if number)
    reasons = ", ".join(f"{number} {reason}" for _, reason, number in now.failures[:5])
    why = f"{now.inputs} inputs are {outcomes or 'none'}" + (f" ({reasons})" if reasons else "")
    if measured := now.splits.get(FIT, 0) + now.splits.get(TEST, 0):
        why += f", {measured} of them only to measure with (ingest.audit)"
    if held := now.splits.get(HELD, 0):
        why += f", {held} of them held back from training"
    if left_out:
        why += ", and emit leaves out " + ", ".join(f"{number} ({reason})" for reason, number in left_out.items())
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


def existing_manifest(storage: Storage, folder: str) -> Manifest | None:
    """The manifest of the finished release in this folder, or None. Raises DamageError if the manifest was changed."""
    try:
        return read_manifest(storage, folder)
    except FileNotFoundError:
        return None


def _forget_damaged(commits: Commits, folder: str) -> None:
    """Removes the commit records of shards whose files were changed or removed, so that these shards are written again.

    File names in a release do not depend on content, so another attempt may have overwritten a file.
    """
    for shard, revision in enumerate(map(int, commits.revisions())):
        if revision >= 0 and not _is_whole(commits, shard, revision, folder):
            commits.storage.remove(f"{commits.folder}/{record_name(shard, revision)}")


def _is_whole(commits: Commits, shard: int, revision: int, folder: str) -> bool:
    storage = commits.storage
    try:
        files = commits.record(shard, revision).files
        whole = all(
            file.path.startswith((f"{folder}/", f"{commits.folder}/")) and storage.sha256(file.path) == file.sha256
            for file in files.values()
        )
        loose = read_loose_table(storage, files[LOOSE_PART].path) if whole and LOOSE_PART in files else ()
        return whole and all(storage.sha256(f"{folder}/{name}") == sha256 for name, sha256, _ in loose)
    except (DamageError, FileNotFoundError, IsADirectoryError):
        return False


def _finish(storage: Storage, folder: str, manifest: Manifest) -> None:
    """Removes files of an abandoned attempt under the same name, then writes the card and, last, the manifest."""
    for inner in sorted({name.rpartition("/")[0] for name in ("/", *storage.tree(folder))}):
        storage.sweep_temporaries(f"{folder}/{inner}".rstrip("/"))
    named = {file["name"] for file in manifest["files"]} | {
        name for name, _, _ in loose_files(storage, folder, manifest)
    }
    for name in storage.tree(folder):
        if is_of_a_format(name) and name not in named:
            storage.remove(f"{folder}/{name}")
    text = card(manifest).encode()
    storage.put(f"{folder}/{CARD_FILE}", text)
    storage.create(f"{folder}/{MANIFEST}", sealed_manifest(manifest, text))
