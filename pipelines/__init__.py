"""The path of the data: ingest, annotate, filter, emit; the recipes and the command line."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # before modules are read that an older Python cannot read
    found = f"{sys.version_info[0]}.{sys.version_info[1]}"
    sys.exit(f"engine: this is Python {found}, but 3.11 or later is needed: make another venv with python3.11.")
