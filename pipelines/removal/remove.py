"""`engine remove`: the function behind the command, and the text that it prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.errors import ConfigError
from engine.layout import HEADER
from engine.storage.files import Storage
from engine.storage.going import REMOVAL_KIND, going
from engine.storage.removals import unfinished_removals
from pipelines.ingest.name_list import read_name_list
from pipelines.recipe import Recipe
from pipelines.removal.complete import Proof, complete, complete_removals
from pipelines.removal.find import Found, find, intention_of
from pipelines.removal.intention import Intention
from pipelines.removal.readable import require_readable

WHAT = "list of images to remove"
SHOWN = 20  # how many lines or files are printed of each kind


@dataclass(slots=True)
class Removal:
    """What a removal did, or would do. str() is the text that `engine remove` prints.

    found: what the lines name. intention: None if no line names an image that is still there. completed: removals
    that were killed before and were completed first. proof: None in a dry run.
    """

    dataset: str
    found: Found
    intention: Intention | None = None
    proof: Proof | None = None
    completed: list[tuple[Intention, Proof]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every line was found and the search at the end found nothing."""
        proofs = [proof for _, proof in self.completed] + ([self.proof] if self.proof else [])
        return not (self.found.unknown or self.found.several or any(proof.left for proof in proofs))

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def remove(recipe: Recipe, ids_file: str, *, dry_run: bool = False, releases: bool = False) -> Removal:
    """Removes the images that the lines of a file name from the recipe's data set, and everything made from them.

    `dry_run`: changes nothing. `releases`: also deletes the releases that hold the images. Lines that name no image are
    in the result, and the images of the other lines are removed. Raises ConfigError if the file or the data set cannot
    be read, or if a run is going on; DamageError if a file that would be rewritten is damaged.
    """
    lines = read_name_list(ids_file, WHAT)
    storage = Storage(recipe.dataset)
    if not storage.exists(HEADER):
        raise ConfigError(f"'{storage.url}' is no data set, it has no {HEADER}: give its recipe with -c.")
    if dry_run:
        return _plan(storage, lines, releases=releases)
    completed = complete_removals(storage)
    with going(storage, REMOVAL_KIND):
        planned = _plan(storage, lines, releases=releases)
        planned.completed = completed
        if planned.intention is not None:
            planned.intention.write(storage)
            planned.intention, planned.proof = complete(storage, planned.intention)
    return planned


def _plan(storage: Storage, lines: Sequence[str], *, releases: bool) -> Removal:
    if unfinished_removals(storage):
        raise ConfigError(
            f"A removal of images from '{storage.url}' was killed: repeat the command without --dry-run to complete it."
        )
    found = find(storage, lines)
    if found.lines:
        require_readable(storage, found)
    intention = intention_of(storage, found, delete_releases=releases) if found.lines else None
    return Removal(storage.url, found, intention)


# --- the text --------------------------------------------------------------------------------------


def _lines(removal: Removal) -> Iterator[str]:
    for intention, proof in removal.completed:
        yield f"completed a removal of {_count(len(intention.images), 'image')} that had been killed"
        yield from _proof(intention, proof)
    yield from _found(removal.found)
    one = removal.intention
    if one is None:
        yield "Nothing to remove."
        return
    verb = "removed" if removal.proof else "would remove"
    yield (
        f"{verb} {_count(len(one.images), 'image')} ({_count(len(one.inputs), 'input')}) from '{removal.dataset}', "
        f"in {_count(len(one.shards), 'shard')}"
    )
    yield from _made_before(one, done=removal.proof is not None)
    if removal.proof:
        yield from _proof(one, removal.proof)


def _found(found: Found) -> Iterator[str]:
    if found.before:
        yield f"removed before: {_count(len(found.before), 'line')}"
    yield from _shown("not found", {line: f"is it '{hint}'?" if hint else "" for line, hint in found.unknown.items()})
    several = {line: f"the end of {number} names: give a longer part" for line, number in found.several.items()}
    yield from _shown("not removed", several)


def _made_before(one: Intention, *, done: bool) -> Iterator[str]:
    """Yields what was made with the images before: models, which stay, and releases."""
    yield from _shown("model", one.models)
    what = (
        ("deleted" if done else "would be deleted") if one.delete_releases else "stays as it is (--releases deletes it)"
    )
    for folder, files in one.releases.items():
        more = f" and {len(files) - 5} more" if len(files) > 5 else ""
        yield f"release {folder} holds them in {', '.join(files[:5])}{more}: {what}"
    if one.releases and not one.delete_releases:
        yield "The next release has other content: if the recipe has an emit.name, give it another."


def _proof(one: Intention, proof: Proof) -> Iterator[str]:
    what = f"{_count(len(one.images), 'id')} and {_count(proof.pieces, 'piece')} of bytes"
    where = f"{_count(proof.files, 'file')}" + (f", without {', '.join(proof.kept)}" if proof.kept else "")
    if one.unread:
        yield f"{_count(len(one.unread), 'image')} could not be read, so the bytes of these were not searched for"
    if not proof.left:
        yield f"searched {where} for {what}: found nothing"
        return
    yield f"searched {where} for {what}: FOUND in {_count(len(proof.left), 'file')}"
    yield from _shown("left", {path: ", ".join(found[:3]) for path, found in proof.left.items()})


def _shown(what: str, items: Mapping[str, str]) -> Iterator[str]:
    for name, detail in list(items.items())[:SHOWN]:
        yield f"{what}: '{name}'" + (f" ({detail})" if detail else "")
    if len(items) > SHOWN:
        yield f"{what}: {len(items) - SHOWN:,} more"


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"
