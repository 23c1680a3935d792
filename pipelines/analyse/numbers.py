"""How the page writes a value of a table."""

from __future__ import annotations

import math
from datetime import date, datetime

from engine.running.terminal_text import one_line

LONGEST = 160  # characters of a string in a table
NONE = "–"


def written(value: object, *, share: bool = False) -> str:
    """The text of a value. `share`: a number between 0 and 1 that is written as per cent."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if share and isinstance(value, int | float):
        return f"{100 * value:,.1f} %"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, datetime | date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, list | tuple):
        return short(", ".join(str(item) for item in value))
    return short(str(value))


def short(text: str, longest: int = LONGEST) -> str:
    """The text on one line, cut after `longest` characters. Control characters become visible escapes."""
    shown = one_line(text[: longest + 1])
    return shown if len(text) <= longest else f"{shown[: longest - 3]}..."


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _decimal(value: float) -> str:
    """The number with four significant digits or, from 100 on, at most two decimals, without zeros at the end."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    decimals = 2 if abs(value) >= 10 else min(3 - math.floor(math.log10(abs(value))), 12)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
