"""Licences of the code and the weights that make annotations, written as SPDX names in lower case.

A component states its licences as `code_licence` and `weights_licence`. A recipe may state others beside `use`. They
are not part of a node's key. The statements are not checked.
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
    """The licences that a component's class or instance states: (code, weights).

    A licence that it does not state is UNKNOWN.
    """
    code, weights = (str(getattr(component, name, UNKNOWN)) for name in STATED)
    return code, weights


def is_allowed(licence: str, allowed: Iterable[str]) -> bool:
    """Whether a list of licences allows this one.

    If licences are joined by "or" ("mit or gpl-3.0"), one of them must be in the list; if joined by "and", all.
    """
    names = {name.casefold() for name in allowed} | {NO_WEIGHTS, OWN}
    return any(
        all(part.strip() in names for part in choice.split(" and ")) for choice in licence.casefold().split(" or ")
    )
