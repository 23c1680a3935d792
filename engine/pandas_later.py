"""Keeps pyarrow from importing pandas, which takes a third of a second, until other code imports it.

pyarrow imports an installed pandas when it first converts a list or an array, only to recognise objects of pandas.
There are none before somebody imports pandas. When that happens, pyarrow imports it too, and behaves as it always does.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa

_NAME = "pandas"


def import_pandas_later() -> None:
    """Let pyarrow find no pandas for now. Does nothing if pandas is imported already."""
    if _NAME in sys.modules:
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    pa.array([0])  # pyarrow looks for pandas once
    finder.hides = False


class _Finder:
    """Finds pandas as the other finders do, except while it `hides` it. After its import, pyarrow looks once more."""

    hides = True

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _NAME:
            return None
        if self.hides:
            raise ModuleNotFoundError(f"No module named '{_NAME}'", name=_NAME)
        others = (one for one in sys.meta_path if one is not self)
        spec = next((found for one in others if (found := one.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            self._call_after(spec.loader.exec_module, spec)
        return spec

    def _call_after(self, execute: Callable[[ModuleType], None], spec: ModuleSpec) -> None:
        def execute_and_look_again(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            with contextlib.suppress(ImportError, AttributeError):  # pyarrow refuses a pandas that is too old
                _ = pa.lib._pandas_api.pd

        spec.loader.exec_module = execute_and_look_again  # type: ignore[union-attr, method-assign]
