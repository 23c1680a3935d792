"""The base of the other packages: records, images, storage, running and reading.

On import, it makes Python find the engine's six packages in the folder that holds this one, even if the folder of a
notebook or a script has its own `model.py` or `filters/`.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

PACKAGES = ("engine", "model", "specialists", "filters", "refinement", "pipelines")
_ROOT = Path(__file__).resolve().parent.parent


class _OwnPackages:
    """Finds the six packages in the folder that holds this one, even if sys.path lists another folder first."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(_ROOT)]) if name in PACKAGES and path is None else None


def _refuse_foreign_modules() -> None:
    """Raise ImportError if a user's module is already imported under the name of one of the six packages."""
    for name in PACKAGES:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file).resolve() != _ROOT / name / "__init__.py":
            raise ImportError(
                f"'{file}' was imported as '{name}', which is the name of a package of the engine: "
                f"import the engine first, or rename that file."
            )


def hidden_packages() -> list[str]:
    """The engine's packages for which sys.path alone would find other code.

    If there are any, a new process must import this package before the others.
    """
    found = {name: PathFinder.find_spec(name) for name in PACKAGES}
    return [name for name, spec in found.items() if spec and spec.origin != str(_ROOT / name / "__init__.py")]


def use_own_packages() -> None:
    """Does nothing by itself. A worker process calls it in order to import this module."""


_refuse_foreign_modules()
sys.meta_path.insert(0, _OwnPackages)
