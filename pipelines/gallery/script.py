"""The gallery's script and style as single texts, for pages whose policy allows no other files.

The script is written as ES modules. They are joined in the order of their imports: every file follows those that it
imports. Names are therefore unique over all files.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

_ASSETS = Path(__file__).parent / "assets"
_ENTRY = "gallery.js"
_STYLES = ("gallery.css", "pictures.css", "dialog.css")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) )", re.MULTILINE)
_PUBLIC = "mount, embedded, complete"
# Draws the gallery of a page that holds its images. The ids are those of the report's template.
EMBEDDED = """{
  const data = JSON.parse(document.getElementById("gallery-data").textContent);
  engineGallery.mount(document.getElementById("gallery-root"), engineGallery.embedded(data));
}
"""


@functools.cache
def gallery_script(start: str = "") -> str:
    """The script, without imports. It sets `globalThis.engineGallery`, then runs `start`."""
    parts = [_EXPORT.sub("", _IMPORT.sub("", _text(name))) for name in _in_order(_ENTRY, [])]
    return "(() => {\n" + "\n".join(parts) + f"\nglobalThis.engineGallery = {{ {_PUBLIC} }};\n}})();\n" + start


@functools.cache
def gallery_style() -> str:
    return "\n".join(map(_text, _STYLES))


def _in_order(name: str, found: list[str]) -> list[str]:
    """The files that a file imports, then the file itself. Adds to `found` and returns it."""
    for imported in _IMPORT.findall(_text(name)):
        _in_order(imported, found)
    if name not in found:
        found.append(name)
    return found


def _text(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
