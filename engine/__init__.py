"""Records, images, storage, running and reading: what the other packages are built on.

Importing it makes sure that the six packages of the engine are found beside this one, also where the folder of a
notebook or a script has a `model.py` or a `filters/` of its own.
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
    """ImportError if a module of the user's has taken the name of one of the six."""
    for name in PACKAGES:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file).resolve() != _ROOT / name / "__init__.py":
            raise ImportError(
                f"'{file}' was imported as '{name}', which is the name of a package of the engine: "
                f"import the engine first, or rename that file."
            )


def hidden_packages() -> list[str]:
    """Those of the six that sys.path alone would find elsewhere. A new process must import this package first."""
    found = {name: PathFinder.find_spec(name) for name in PACKAGES}
    return [name for name, spec in found.items() if spec and spec.origin != str(_ROOT / name / "__init__.py")]


def use_own_packages() -> None:
    """For workers of other processes: importing this module has done it."""


_refuse_foreign_modules()
sys.meta_path.insert(0, _OwnPackages)
