"""Records, images, storage, running and reading: what the other packages are built on.

Importing this package puts the engine's six packages first: Python finds them in the folder of this one, even if the
folder of a notebook or a script has its own `model.py` or `filters/`.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

PACKAGES = ("engine", "model", "specialists", "filters", "refinement", "pipelines")
_ROOT = Path(__file__).resolve().parent.parent


class _OwnPackages:
    """Finds the six packages in the folder that holds this one, whatever comes earlier on sys.path."""

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
    """The packages that sys.path alone would find elsewhere. If there are any, new processes must import this first."""
    found = {name: PathFinder.find_spec(name) for name in PACKAGES}
    return [name for name, spec in found.items() if spec and spec.origin != str(_ROOT / name / "__init__.py")]


def use_own_packages() -> None:
    """Does nothing by itself. A worker process calls it in order to import this module."""


_refuse_foreign_modules()
sys.meta_path.insert(0, _OwnPackages)
