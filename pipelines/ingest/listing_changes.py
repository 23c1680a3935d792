"""What changed in the sources from one listing to a later one, as sentences: gone, back, touched, another image, other
labels. What became of a file whose fingerprint changed is known only now that it has been read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.schema import ANNOTATIONS
from engine.storage.listings import CURRENT, GONE, HELD, IN_FORCE, MISSING, REPLACED, WITHDRAWN, Key, Listing
from engine.storage.uris import short_name
from pipelines.ingest.probed_inputs import ProbedInputs

_BACK, _AGAIN, _RELABELLED, _CHANGED, _READABLE = "back", "again", "relabelled", "changed", "readable"
_SAID = (*ANNOTATIONS, "licence")

_SENTENCES = {
    GONE: "{n} that '{source}' gave {is_} gone{names}: what was made of {it} stays, and what cannot be read without "
    "{it} waits until {they} {is_} back.",
    MISSING: "{n} that '{source}' names {is_} not there any more{names}: labels stay, and what cannot be read without "
    "{it} waits until {they} {is_} back.",
    WITHDRAWN: "'{source}' does not name {n} any more{names}: its labels of {it} are gone, images stay.",
    _BACK: "{n} of '{source}' {is_} back{names}.",
    _AGAIN: "{n} of '{source}' {was} written anew and hold{s} what {they} held before{names}: nothing is to be done.",
    _RELABELLED: "'{source}' gives other labels for {n}{names}: they replace those it gave before.",
    _CHANGED: "{n} of '{source}' hold{s} another image than before{names}: {they} {is_} taken as new, and what was "
    "there before is held back from training and releases unless it can be read elsewhere.",
    _READABLE: "{n} of '{source}' that could not be read before can be read now{names}.",
}


def state_changes(before: Listing, now: Listing) -> dict[Key, tuple[str, str]]:
    """The inputs whose states differ, and the two states."""
    keys = dict.fromkeys((*before.states, *now.states))
    pairs = ((key, (before.state(key), now.state(key))) for key in keys)
    return {key: states for key, states in pairs if states[0] != states[1]}


def told_changes(changes: Mapping[Key, tuple[str, str]], images: Mapping[Key, str], probed: ProbedInputs) -> list[str]:
    """A sentence for each source and kind of change. `images`: what each input gave; '' or missing: nothing."""
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
    if not image:  # it was no image before
        return _READABLE if now == REPLACED and any(probed.now(key[0], key[1])) else None
    if now != REPLACED:
        return now
    if image not in probed.now(key[0], key[1]):
        return _CHANGED
    versions = [one for one in probed.of(image) if (one.row["source"], one.row["uri"]) == key[:2]]
    if not versions:  # it was taken back before it had a place
        return None
    said = [one.row for one in versions if one.row["fingerprint"] == key[2]]
    again = [one.row for one in versions if one.state in HELD]
    same = any(all(old[name] == new[name] for name in _SAID) for old in said for new in again)
    return _AGAIN if same else _RELABELLED


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
        s="s" if one else "",
    )


def would_tell(changes: Mapping[Key, tuple[str, str]]) -> Iterator[str]:
    """The same for a dry run, which reads no image: what is gone, back, or given in another version."""
    kinds = {GONE: "gone", MISSING: "missing", WITHDRAWN: "not named any more", REPLACED: "given anew", CURRENT: "back"}
    for state, told in kinds.items():
        if number := sum(now == state and (now == CURRENT or before in IN_FORCE) for before, now in changes.values()):
            yield f"{number} {told}"
