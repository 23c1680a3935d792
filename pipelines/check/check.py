"""`engine check`: is everything that a data set holds as it was written, and does it belong together.

Commits are read by pipelines/check/commits.py, what else there is by pipelines/check/parts.py; what may be repaired,
and how, stands in pipelines/check/repair.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.errors import DamageError
from engine.reading.dataset import read_header
from engine.running.progress import LineDrawer
from engine.storage.files import Storage
from pipelines.check.commits import KINDS, RECORDED, Walk, Watch, walk
from pipelines.check.parts import check_parts
from pipelines.check.repair import repair as put_right
from pipelines.recipe import Recipe, load_recipe

RECIPE = "recipe.yaml"  # what -c is where it is left out


def check(url: str, recipe: Recipe | None = None, *, repair: bool = False, watch: Watch | None = None) -> Walk:
    """Everything that is wrong with a data set. ConfigError where there is none.

    With `repair` what is safe is done about it; `recipe` is what dataset.json and current.json are written from,
    by default that of the latest run.
    """
    storage = Storage(url)
    if not any(storage.names(folder) for folder in RECORDED):
        read_header(storage)
    found = walk(storage, watch)
    check_parts(found)
    if repair:
        put_right(found, recipe)
    return found


def check_named(recipe: str, dataset: str, *, repair: bool = False, watch: Watch | None = None) -> Walk:
    """The same of the data set that -d or the recipe names."""
    chosen = load_recipe(recipe) if not dataset or recipe != RECIPE else None
    return check(dataset or (chosen.dataset if chosen else ""), chosen, repair=repair, watch=watch)


class CheckLine:
    """The live line of a check: how many files were read."""

    def __init__(self) -> None:
        self.drawer = LineDrawer()

    def watch(self, done: int, total: int, size: int) -> None:
        parts = [
            (0, f"check {done / max(total, 1):4.0%}"),
            (1, f"{done:,}/{total:,} files"),
            (2, f"{size / 1e9:.1f} GB"),
        ]
        self.drawer.draw(lambda: parts)

    def close(self) -> None:
        self.drawer.close()


def render(found: Walk) -> str:
    """A table by folder, then everything that is wrong, and what was done about it or is to be done."""
    lines = list(_table(found))
    for finding in found.findings:
        done = f": {finding.repair}" if finding.repair else ""
        lines.append(f"{finding.kind:<9} {finding.path}  {finding.told}{done}")
    if not found.findings:
        lines.append(f"'{found.storage.url}' is sound.")
    elif found.sound:
        lines.append("Everything was repaired: run 'engine run' to make again what was removed.")
    return "\n".join(lines)


def not_sound(found: Walk, *, repair: bool) -> DamageError:
    """The sentence for a data set of which something is wrong still."""
    number = sum(not finding.repaired for finding in found.findings)
    todo = "do what the table says of each" if repair else "'engine check --repair' does what is safe"
    return DamageError(f"'{found.storage.url}' is not sound, {_things(number)} wrong: {todo}.")


def _things(number: int) -> str:
    return "1 thing is" if number == 1 else f"{number:,} things are"


def _table(found: Walk) -> Iterator[str]:
    rows = list(_rows(found))
    width = max([len(row[0]) for row in rows] + [6]) + 2
    yield f"{'folder':<{width}}{'commits':>8}{'files':>8}{'MB':>10}" + "".join(f"{kind:>10}" for kind in KINDS)
    for name, commits, files, size, counts in rows:
        yield f"{name:<{width}}{commits:>8,}{files:>8,}{size / 1e6:>10,.1f}" + "".join(
            f"{n or '-':>10}" for n in counts
        )


def _rows(found: Walk) -> Iterator[tuple[str, int, int, int, Sequence[int]]]:
    folders = {folder for folder, names in found.listed.items() if names}
    of = [(finding, _folder(finding.path, folders)) for finding in found.findings]
    for folder in sorted(folders | {name for _, name in of}):
        commits = sum(place[0] == folder for place in found.records)
        files = sum(path.rpartition("/")[0] == folder for path in found.files)
        counts = [sum(name == folder and finding.kind == kind for finding, name in of) for kind in KINDS]
        if commits or files or any(counts):
            yield folder or ".", commits, files, found.sizes.get(folder, 0), counts


def _folder(path: str, folders: set[str]) -> str:
    return path if path in folders else path.rpartition("/")[0]
