"""Every key of a recipe, every specialist and every filter, as one page.

    python -m pipelines.reference > docs/reference.md

Made of the code that reads recipes, so that it cannot say otherwise; a test holds the page to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.config import Recipe
from filters import CATALOG as FILTERS
from pipelines.components import render_components, type_name
from specialists import CATALOG as SPECIALISTS

_HEAD = """# Reference

Made by `python -m pipelines.reference`: do not edit. `engine components NAME` prints a part of it.

## Keys of a recipe

| key | type | default | what |
|---|---|---|---|"""


def reference() -> str:
    parts = ["\n".join([_HEAD, *_keys(Recipe, "")])]
    for title, catalog in (("Specialists", SPECIALISTS), ("Filters", FILTERS)):
        parts.append(f"## {title}")
        parts += [f"### {name}\n\n```\n{render_components(name)}\n```" for name in catalog]
    return "\n\n".join(parts) + "\n"


def _keys(section: type[BaseModel], path: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            told = " ".join((kind.__doc__ or "").split())
            yield f"| **`{path}{name}`** | | | {told} |"
            yield from _keys(kind, f"{path}{name}.")
        else:
            default = "must be given" if field.is_required() else f"`{_default(field)}`"
            yield f"| `{path}{name}` | {type_name(kind).replace('|', 'or')} | {default} | {field.description or ''} |"


def _default(field: FieldInfo) -> Any:
    return '""' if field.default == "" else field.default


if __name__ == "__main__":
    print(reference(), end="")
