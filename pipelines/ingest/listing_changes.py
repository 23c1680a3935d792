"""Describes what changed in the sources between two listings: files that are gone, back or changed, and new labels.

If a file has a new fingerprint, it must be probed again before its change can be described.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.storage.listings import CURRENT, GONE, IN_FORCE, IN_SOURCE, MISSING, REPLACED, WITHDRAWN, Key, Listing
from engine.storage.uris import short_name
from pipelines.ingest.probed_inputs import ProbedInputs
from pipelines.ingest.rows import LabelColumns, ProbedRow, labels_of

_BACK, _AGAIN, _RELABELLED, _CHANGED, _READABLE = "back", "again", "relabelled", "changed", "readable"

_SENTENCES = {
    GONE: "{n} of '{source}' {is_} gone{names}: annotations made so far stay; nodes that still have to read {it} wait "
    "until {they} {is_} back.",
    MISSING: "'{source}' lists {n} whose file{s_of_files} do{es} not exist now{names}: labels stay; nodes that still "
    "have to read {it} wait until {they} {is_} back.",
    WITHDRAWN: "'{source}' no longer lists {n}{names}: the labels it gave for {it} are removed, images stay.",
    _BACK: "{n} of '{source}' {is_} back{names}.",
    _AGAIN: "{n} of '{source}' {was} rewritten with the same content{names}: nothing to do.",
    _RELABELLED: "'{source}' has other labels for {n}{names}: they replace the labels before.",
    _CHANGED: "{n} of '{source}' {was} replaced by {another}{names}: what is there now counts as new; what was there "
    "before is held back from training and releases unless another source has it.",
    _READABLE: "{n} of '{source}' that could not be read before can be read now{names}.",
}


def state_changes(before: Listing, now: Listing) -> dict[Key, tuple[str, str]]:
    """{input: (state before, state now)} for each input whose state changed."""
    keys = dict.fromkeys((*before.states, *now.states))
    pairs = ((key, (before.state(key), now.state(key))) for key in keys)
    return {key: states for key, states in pairs if states[0] != states[1]}


def describe_changes(
    changes: Mapping[Key, tuple[str, str]], images: Mapping[Key, str], probed: ProbedInputs
) -> list[str]:
    """A sentence for each source and kind of change.

    `images`: the image id of each input; '' or missing if not an image.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for key, (before, now) in changes.items():
        if kind := _kind(key, before, now, images.get(key, ""), probed):
            found.setdefault((key[0], kind), []).append(key[1])
    return [_sentence(source, kind, uris) for (source, kind), uris in sorted(found.items())]


def _kind(key: Key, before: str, now: str, image: str, probed: ProbedInputs) -> str | None:
    if now == CURRENT:
        return _BACK if image and before != REPLACED else None
    if before not in IN_FORCE:
        return None
    if not image:  # then it could not be read before
        return _READABLE if now == REPLACED and any(probed.now(key[0], key[1])) else None
    if now != REPLACED:
        return now
    if image not in probed.now(key[0], key[1]):
        return _CHANGED
    versions = [one for one in probed.of(image) if (one.row["source"], one.row["uri"]) == key[:2]]
    if not versions:  # then it was gone before its image got into a shard
        return None
    old = [_labels_and_licence(one.row) for one in versions if one.row["fingerprint"] == key[2]]
    new = [_labels_and_licence(one.row) for one in versions if one.state in IN_SOURCE]
    return _AGAIN if any(labels in new for labels in old) else _RELABELLED


def _labels_and_licence(row: ProbedRow) -> tuple[LabelColumns, str]:
    return labels_of(row), row["licence"]


def _sentence(source: str, kind: str, uris: list[str]) -> str:
    one = len(uris) == 1
    names = ", ".join(short_name(uri) for uri in uris[:3]) + (", ..." if len(uris) > 3 else "")
    return _SENTENCES[kind].format(
        source=source,
        n="1 image" if one else f"{len(uris)} images",
        names=f" ({names})",
        is_="is" if one else "are",
        was="was" if one else "were",
        it="it" if one else "them",
        they="it" if one else "they",
        s_of_files="" if one else "s",
        es="es" if one else "",
        another="another image" if one else "other images",
    )


def count_changes(changes: Mapping[Key, tuple[str, str]]) -> Iterator[str]:
    """Yields sentences with the number of changes of each kind. For a dry run, which reads no images."""
    kinds = {GONE: "gone", MISSING: "missing", WITHDRAWN: "no longer listed", REPLACED: "changed", CURRENT: "back"}
    for state, kind in kinds.items():
        if number := sum(now == state and (now == CURRENT or before in IN_FORCE) for before, now in changes.values()):
            yield f"{number} {kind}"
