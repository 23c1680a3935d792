"""Which images a page shows, and in which order: the parameters of a URL, checked.

They are those of a query in assets/source.js, and `where` and `seed`. All conditions must hold. `label`, `rule`,
`producer` and the last two values of `kept` are about the same annotation: label=dog with rule=min_score finds images
in which min_score dropped a dog.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import ConfigError, unknown

LARGEST_PAGE = 100
_LONGEST = 10_000  # characters of a condition
_VERDICTS = ("image-kept", "image-dropped", "kept", "dropped")
_PLACES = frozenset({"seed", "image", "offset", "limit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """'' and None: no condition.

    label: of a region or a tag.
    kept: image-kept (or not judged yet), image-dropped, or kept or dropped, which are verdicts on an annotation.
    text: characters in a text, a label, a file name or the image id, in upper or lower case.
    where: a condition on the view `images`, or a SELECT with a column image_id, as in `engine show`.
    seed: puts the images in a random order, which is that of `engine show --random --seed`.
    """

    label: str = ""
    rule: str = ""
    producer: str = ""
    stratum: str = ""
    kept: str = ""
    text: str = ""
    where: str = ""
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.kept and self.kept not in _VERDICTS:
            raise unknown("verdict", self.kept, _VERDICTS)


@dataclass(frozen=True, slots=True)
class Page:
    """The images `offset` to `offset + limit` of a choice. If `image` is not '', only the image with this id."""

    choice: Choice
    offset: int = 0
    limit: int = 24
    image: str = ""


def page_of(given: Mapping[str, str]) -> Page:
    """The page that the parameters of a URL ask for.

    Raises ConfigError for an unknown parameter and for a value that is too long or out of range.
    """
    conditions = {name: value for name, value in given.items() if name in Choice.__slots__ and name != "seed"}
    for name in given.keys() - conditions.keys() - _PLACES:
        raise unknown("parameter", name, [*Choice.__slots__, *_PLACES])
    for name, value in given.items():
        if len(value) > _LONGEST:
            raise ConfigError(f"'{name}' has {len(value)} characters: give at most {_LONGEST}.")
    seed = _whole_number(given, "seed", 0, 2**63 - 1) if given.get("seed") else None
    offset = _whole_number(given, "offset", 0, 2**40, 0)
    limit = _whole_number(given, "limit", 1, LARGEST_PAGE, 24)
    return Page(Choice(**conditions, seed=seed), offset, limit, given.get("image", ""))


def _whole_number(given: Mapping[str, str], name: str, least: int, most: int, default: int = 0) -> int:
    text = given.get(name, "") or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise ConfigError(f"'{name}' is '{text[:40]}': expected a whole number from {least} to {most}.")
    return int(text)
