"""Licences of what makes annotations: of a component's code and of its weights, in SPDX's names in lower case.

A component states both as `code_licence` and `weights_licence`; a recipe may state others beside `use`. They are no
part of a node's key. Nothing is looked up here: a wrong statement is not noticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ENGINE = "apache-2.0"  # of this project's code
UNKNOWN = "unknown"  # not stated; refused by a recipe that lists licences
OWN = "own"  # weights trained in this data set
NO_WEIGHTS = ""
STATED = ("code_licence", "weights_licence")


def stated(component: Any) -> tuple[str, str]:
    """(code, weights) as a class or an instance states them; UNKNOWN if it does not."""
    code, weights = (str(getattr(component, name, UNKNOWN)) for name in STATED)
    return code, weights


def is_allowed(licence: str, allowed: Iterable[str]) -> bool:
    """Whether a list of licences allows this one. Of "mit or gpl-3.0" one must be in the list, joined by "and" both."""
    names = {name.casefold() for name in allowed} | {NO_WEIGHTS, OWN}
    return any(
        all(part.strip() in names for part in choice.split(" and ")) for choice in licence.casefold().split(" or ")
    )
