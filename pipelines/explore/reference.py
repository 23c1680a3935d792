"""Every key of a recipe, every specialist and every filter, as one page.

    python -m pipelines.explore.reference > docs/reference.md

Made from the code that reads recipes; a test fails if the page differs from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from filters import CATALOG as FILTERS
from pipelines.explore.components import describe, type_name
from pipelines.ingest.sources.open import KINDS, source_kind
from pipelines.recipe import Recipe
from specialists import CATALOG as SPECIALISTS
from specialists import DOUBLES

_HEAD = """# Reference

Made by `python -m pipelines.explore.reference`: do not edit. `engine components NAME` prints a part of it.

## Keys of a recipe

| key | type | default | what |
|---|---|---|---|"""


_SOURCES = """## Sources

What `ingest.sources` may list: a kind with the first of its options behind it, or all of them by name, such as
`coco: {instances: i.json, images: photos, frame: upright}`. The guide's first page has an example of each."""


def reference() -> str:
    parts = ["\n".join([_HEAD, *_keys(Recipe, "")]), "\n".join([f"{_SOURCES}\n", *_sources()])]
    for title, kind, names in (("Specialists", "specialist", SPECIALISTS), ("Filters", "filter", FILTERS)):
        parts.append(f"## {title}")
        parts += [f"### {name}\n\n```\n{describe(kind, name)}\n```" for name in names if name not in DOUBLES]
    return "\n\n".join(parts) + "\n"


def _sources() -> Iterator[str]:
    yield "| kind | option | what |"
    yield "|---|---|---|"
    for name in KINDS:
        kind = source_kind(name)
        for option, meaning in kind.options.items():
            must = " (must be given)" if option in kind.required else ""
            yield f"| `{name}` | `{option}` | {meaning}{must} |"


def _keys(section: type[BaseModel], path: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            purpose = " ".join((kind.__doc__ or "").split())
            yield f"| **`{path}{name}`** | | | {purpose} |"
            yield from _keys(kind, f"{path}{name}.")
        else:
            default = "must be given" if field.is_required() else f"`{_default(field)}`"
            yield f"| `{path}{name}` | {type_name(kind).replace('|', 'or')} | {default} | {field.description or ''} |"


def _default(field: FieldInfo) -> Any:
    return '""' if field.default == "" else field.default


if __name__ == "__main__":
    print(reference(), end="")
