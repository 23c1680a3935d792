"""A component's own source file: where in it an error was raised, and a digest that tells whether it has changed."""

from __future__ import annotations

import hashlib
import inspect
import io
import os
import sys
import tokenize
import traceback
from types import TracebackType

_OF_NO_EFFECT = (tokenize.COMMENT, tokenize.NL)
_ENGINE = os.path.dirname(os.path.abspath(__file__))


def describe_error(error: BaseException, component: type) -> str:
    """As in 'ValueError: bad box (my_detector.py:41)': the error, and the line of the component that it came through.

    The same error is the same text on every runner.
    """
    name = type(error).__name__
    try:
        message = f"{name}: {error}" if str(error) else name
    except Exception:  # noqa: BLE001  an error of the component's own may not even be printed
        message = name
    return message[:400] + _place(error.__traceback__, component)


def _place(trace: TracebackType | None, component: type) -> str:
    """The deepest frame in the component's own file; else the first one outside the engine's package `engine`."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(trace)]
    foreign = [(file, line) for file, line in frames if not os.path.abspath(file).startswith(_ENGINE + os.sep)]
    own = [(file, line) for file, line in foreign if os.path.abspath(file) == source_file(component)]
    place = own[-1] if own else foreign[0] if foreign else None
    return f" ({os.path.basename(place[0])}:{place[1]})" if place else ""


def source_file(component: type) -> str:
    """'' where there is none, as for what was typed into an interpreter."""
    try:
        return os.path.abspath(inspect.getsourcefile(component) or "")
    except (TypeError, OSError):
        return ""


def source_digest(target: str) -> str:
    """12 hex digits of the file that "module:Name" is written in, without comments and blank lines; '' if unknown."""
    module, _, name = target.partition(":")
    component = getattr(sys.modules.get(module), name, None)
    try:
        with open(source_file(component) if isinstance(component, type) else "", "rb") as file:
            words = [
                f"{token.type} {token.string}"
                for token in tokenize.tokenize(io.BytesIO(file.read()).readline)
                if token.type not in _OF_NO_EFFECT
            ]
    except (OSError, SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        return ""
    return hashlib.sha256("\n".join(words).encode(errors="surrogatepass")).hexdigest()[:12]
