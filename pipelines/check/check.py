"""`engine check`: the functions behind the command, and the text it prints.

commits.py checks commits, parts.py checks everything else, and repair.py repairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.errors import DamageError
from engine.reading.dataset import read_header
from engine.running.progress import LineDrawer
from engine.storage.files import Storage
from engine.storage.removals import require_no_removal
from pipelines.check.commits import KINDS, RECORDED, OnProgress, Report, check_commits
from pipelines.check.parts import check_parts
from pipelines.check.repair import repair as put_right
from pipelines.recipe import Recipe, load_recipe

RECIPE = "recipe.yaml"  # default of the option -c


def check(
    url: str, recipe: Recipe | None = None, *, repair: bool = False, on_progress: OnProgress | None = None
) -> Report:
    """Checks a data set, and with `repair` also repairs what is safe to repair.

    `recipe`: dataset.json and current.json are repaired from it. The default is the recipe of the latest run. Raises
    ConfigError if there is no data set.
    """
    storage = Storage(url)
    require_no_removal(storage)
    if not any(storage.names(folder) for folder in RECORDED):
        read_header(storage)
    report = check_commits(storage, on_progress)
    check_parts(report)
    if repair:
        put_right(report, recipe)
    return report


def check_named(recipe: str, dataset: str, *, repair: bool = False, on_progress: OnProgress | None = None) -> Report:
    """Checks the data set at the URL `dataset`. If that is empty, checks the data set of the recipe file."""
    chosen = load_recipe(recipe) if not dataset or recipe != RECIPE else None
    return check(dataset or (chosen.dataset if chosen else ""), chosen, repair=repair, on_progress=on_progress)


class CheckLine:
    """The live line of a check, with the number of files read."""

    def __init__(self) -> None:
        self.drawer = LineDrawer()

    def on_progress(self, done: int, total: int, size: int) -> None:
        parts = [
            (0, f"check {done / max(total, 1):4.0%}"),
            (1, f"{done:,}/{total:,} files"),
            (2, f"{size / 1e9:.1f} GB"),
        ]
        self.drawer.draw(lambda: parts)

    def close(self) -> None:
        self.drawer.close()


def render(report: Report) -> str:
    """A table of the folders, then each finding with what was done about it or what the user should do."""
    lines = list(_table(report))
    for finding in report.findings:
        done = f": {finding.repair}" if finding.repair else ""
        lines.append(f"{finding.kind:<9} {finding.path}  {finding.problem}{done}")
    if not report.findings:
        lines.append(f"'{report.storage.url}' is sound.")
    elif report.sound:
        lines.append("Everything was repaired. Run 'engine run' to make again what was removed.")
    return "\n".join(lines)


def not_sound(report: Report, *, repair: bool) -> DamageError:
    """The error for a data set that still has findings."""
    number = sum(not finding.repaired for finding in report.findings)
    todo = "follow the advice beside each" if repair else "'engine check --repair' does what is safe"
    return DamageError(f"'{report.storage.url}' is not sound, {_things(number)} wrong: {todo}.")


def _things(number: int) -> str:
    return "1 thing is" if number == 1 else f"{number:,} things are"


def _table(report: Report) -> Iterator[str]:
    rows = list(_rows(report))
    width = max([len(row[0]) for row in rows] + [6]) + 2
    yield f"{'folder':<{width}}{'commits':>8}{'files':>8}{'MB':>10}" + "".join(f"{kind:>10}" for kind in KINDS)
    for name, commits, files, size, counts in rows:
        yield f"{name:<{width}}{commits:>8,}{files:>8,}{size / 1e6:>10,.1f}" + "".join(
            f"{n or '-':>10}" for n in counts
        )


def _rows(report: Report) -> Iterator[tuple[str, int, int, int, Sequence[int]]]:
    folders = {folder for folder, names in report.listed.items() if names}
    located = [(finding, _folder(finding.path, folders)) for finding in report.findings]
    for folder in sorted(folders | {name for _, name in located}):
        commits = sum(commit.folder == folder for commit in report.records)
        files = sum(path.rpartition("/")[0] == folder for path in report.files)
        counts = [sum(name == folder and finding.kind == kind for finding, name in located) for kind in KINDS]
        if commits or files or any(counts):
            yield folder or ".", commits, files, report.sizes.get(folder, 0), counts


def _folder(path: str, folders: set[str]) -> str:
    return path if path in folders else path.rpartition("/")[0]
