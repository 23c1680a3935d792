"""The public Python API, the stages behind it, and the command line.

    from pipelines import load_recipe, open_dataset, query, run

    recipe = load_recipe("recipe.yaml", {"filter.min_score.floor": 0.5})
    print(run(recipe, stage="filter"))
    data = open_dataset(recipe.dataset)
    query(data, "SELECT label, count(*) FROM kept.regions GROUP BY label")

The functions return data. Printed, it looks like the output of the command with the same name. Errors are raised as
`engine.errors.EngineError`; the message is one sentence.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # before modules are read that an older Python cannot read
    found = f"{sys.version_info[0]}.{sys.version_info[1]}"
    sys.exit(f"engine: this is Python {found}, but 3.11 or later is needed: make another venv with python3.11.")

import importlib
from typing import TYPE_CHECKING, Any

import engine as engine  # makes Python find its sibling packages (engine/__init__.py)

if TYPE_CHECKING:
    from pipelines.analyse.report import report as report
    from pipelines.emit.verify import verify as verify
    from pipelines.evaluation.calibrate import calibrate as calibrate
    from pipelines.evaluation.evaluate import evaluate as evaluate
    from pipelines.explore.components import components as components
    from pipelines.explore.open_dataset import open_dataset as open_dataset
    from pipelines.explore.query import query as query
    from pipelines.explore.show import show as show
    from pipelines.explore.status import status as account  # noqa: F401
    from pipelines.explore.why import why as why
    from pipelines.recipe import load_recipe as load_recipe
    from pipelines.removal.remove import remove as remove
    from pipelines.stages.dry_run import dry_run as dry_run
    from pipelines.stages.run import run as run
    from pipelines.stages.what_if import what_if as what_if
    from pipelines.training.train import train as train

_API = {
    "load_recipe": "pipelines.recipe:load_recipe",
    "run": "pipelines.stages.run:run",
    "dry_run": "pipelines.stages.dry_run:dry_run",
    "what_if": "pipelines.stages.what_if:what_if",
    "open_dataset": "pipelines.explore.open_dataset:open_dataset",
    "account": "pipelines.explore.status:status",
    "query": "pipelines.explore.query:query",
    "why": "pipelines.explore.why:why",
    "show": "pipelines.explore.show:show",
    "evaluate": "pipelines.evaluation.evaluate:evaluate",
    "calibrate": "pipelines.evaluation.calibrate:calibrate",
    "train": "pipelines.training.train:train",
    "remove": "pipelines.removal.remove:remove",
    "verify": "pipelines.emit.verify:verify",
    "report": "pipelines.analyse.report:report",
    "components": "pipelines.explore.components:components",
}
__all__ = list(_API)


def __getattr__(name: str) -> Any:
    """Imports a function of the API when it is first used (PEP 562), so that `engine --help` stays fast."""
    if name not in _API:
        raise AttributeError(f"module 'pipelines' has no attribute '{name}': it has {', '.join(_API)}")
    module, _, function = _API[name].partition(":")
    return getattr(importlib.import_module(module), function)


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
