"""Imports the user's own modules (`use: module:Name`), and turns errors into one sentence."""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import sys
import traceback
from types import ModuleType

from engine.errors import ConfigError
from engine.extras import how_to_install


def import_module(kind: str, name: str, module_name: str) -> ModuleType:
    """Import a module. The working folder is searched too. Raises ConfigError if the import fails.

    `kind` and `name` describe the component in the error message.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise ConfigError(_no_module(kind, name, module_name, missing)) from error
        raise ConfigError(f"The {kind} '{name}' needs the package {missing}: {how_to_install(missing)}.") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"The {kind} '{name}' cannot be imported: {error_with_line(error)}.") from error


def error_with_line(error: BaseException) -> str:
    """The error with the file and line that raised it, leaving out lines of libraries."""
    message = " ".join(str(error).split())
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "<frozen" not in frame.filename]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {message}{where}" if message else f"{type(error).__name__}{where}"


def _no_module(kind: str, name: str, module_name: str, missing: str) -> str:
    if not all(part.isidentifier() for part in module_name.split(".")):
        return f"The {kind} '{name}' is not a module:Name: write it as Python imports it, such as my_module:MyClass."
    parent, _, last = missing.rpartition(".")
    near = difflib.get_close_matches(last, _siblings(parent), n=1, cutoff=0.6)
    hint = f"did you mean '{'.'.join([*([parent] if parent else []), near[0]])}'?" if near else ""
    advice = hint or "put its file into the folder where the command runs, or install it."
    return f"There is no module '{missing}' for the {kind} '{name}': {advice}"


def _siblings(parent: str) -> list[str]:
    """The names of modules that are in the same package or folder as the missing one."""
    paths = list(getattr(sys.modules.get(parent), "__path__", [])) if parent else [os.getcwd()]
    return [module.name for module in pkgutil.iter_modules(paths)]
