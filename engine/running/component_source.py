"""The source file of a component: finds the line that raised an error, and whether the file changed."""

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
    """The error with the line of the component that raised it, such as 'ValueError: bad box (my_detector.py:41)'.

    The text of an error is the same with both backends.
    """
    name = type(error).__name__
    try:
        message = f"{name}: {error}" if str(error) else name
    except Exception:  # noqa: BLE001  str() of an error class of the component may raise
        message = name
    return message[:400] + _line_of(error.__traceback__, component)


def _line_of(trace: TracebackType | None, component: type) -> str:
    """' (file:line)' of the innermost call in the component's file. Without one, of the first call outside `engine`."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(trace)]
    foreign = [(file, line) for file, line in frames if not os.path.abspath(file).startswith(_ENGINE + os.sep)]
    own = [(file, line) for file, line in foreign if os.path.abspath(file) == source_file(component)]
    frame = own[-1] if own else foreign[0] if foreign else None
    return f" ({os.path.basename(frame[0])}:{frame[1]})" if frame else ""


def source_file(component: type) -> str:
    """The path of a component's source file. '' if it has none, such as a class that was typed into an interpreter."""
    try:
        return os.path.abspath(inspect.getsourcefile(component) or "")
    except (TypeError, OSError):
        return ""


def changed_source(storage: Storage, node: Node) -> str:
    """A warning for the user of a component whose source file changed since its latest answers; '' if there is none.

    There is none if the component's version changed too, because its answers are then made again.
    """
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
        f"'{node.name}': {file} changed but the version of {name} did not, so the answers of {shards} are kept: "
        f"raise 'version' to make them again."
    )


def source_digest(target: str) -> str:
    """12 hex digits of a hash of the source file of "module:Name"; '' if it cannot be read.

    Comments and blank lines do not affect it.
    """
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
