"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Recipe = Annotated[str, typer.Option("-c", "--recipe", help="The recipe, a YAML file.")]
Data = Annotated[str, typer.Option("-d", "--dataset", help="The data set; default: the recipe's.")]
Format = Annotated[str, typer.Option("--format", help="table or json.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Change a recipe key: a.b=c (repeatable).")]
Address = Annotated[str, typer.Option(help="Address of a Ray cluster; by default, --runner ray starts a private one.")]
