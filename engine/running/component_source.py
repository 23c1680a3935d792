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

from engine.running.graph import Node
from engine.storage.commits import Commits
from engine.storage.files import Storage

_OF_NO_EFFECT = (tokenize.COMMENT, tokenize.NL)
_ENGINE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


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


def changed_source(storage: Storage, node: Node) -> str:
    """A sentence if the file of the user's own component is another than the one its latest answers were made with."""
    if not node.own_code or not (now := source_digest(node.target)):
        return ""
    commits = Commits(storage, node.folder)
    revisions = commits.revisions()
    made = [shard for shard, revision in enumerate(revisions) if revision >= 0]
    if not made:
        return ""
    records = [commits.record(shard, int(revisions[shard])) for shard in {made[0], made[-1]}]
    if not {record.counts.get("source", now) for record in records} - {now}:
        return ""
    module, _, name = node.target.partition(":")
    file = os.path.basename(source_file(getattr(sys.modules[module], name)))
    shards = "1 shard" if len(made) == 1 else f"{len(made):,} shards"
    return (
        f"'{node.name}': {file} was changed and the version of {name} was not, so {shards} of answers stay as they "
        f"were: raise 'version' to make them again."
    )


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
