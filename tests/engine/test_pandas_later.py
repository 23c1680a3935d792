"""pyarrow imports pandas only if other code imports it, and then behaves as it always does."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("pandas")


def printed(*lines: str) -> str:
    """What a new process prints after it imported the engine."""
    code = "\n".join(("import sys, engine.schema, pyarrow as pa, numpy as np", *lines))
    return subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_converting_lists_and_arrays_does_not_import_pandas() -> None:
    convert = "pa.array([1]), pa.array(np.zeros(1)), pa.table({'a': ['b']}).to_pylist(), pa.scalar(1.5)"
    assert printed(convert, "print('pandas' in sys.modules)") == "False"


def test_looking_for_pandas_finds_it_without_importing_it() -> None:
    lines = ("import importlib.util", "found = importlib.util.find_spec('pandas')")
    assert printed(*lines, "print(found.name, 'pandas' in sys.modules)") == "pandas False"


def test_once_pandas_is_imported_arrow_knows_its_objects() -> None:
    series = "print(pa.array(pd.Series([1.0, None])).null_count, end=' ')"
    tables = "print(pa.Table.from_pandas(pd.DataFrame({'a': [1, 2]})).num_rows, pa.table({'a': [1]}).to_pandas().shape)"
    assert printed("import pandas as pd", series, tables) == "1 2 (1, 1)"


def test_arrow_can_import_pandas_itself() -> None:
    assert printed("print(pa.table({'a': [1, 2]}).to_pandas()['a'].sum())") == "3"


def test_if_pandas_was_imported_first_nothing_changes() -> None:
    before = "import pandas, sys; count = len(sys.meta_path); import pyarrow as pa; import engine.schema"
    code = f"{before}; print(pa.array(pandas.Series([None, 1.0])).null_count, len(sys.meta_path) - count)"
    found = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert found.split() == ["1", "1"]  # the one that finds the engine's own packages
