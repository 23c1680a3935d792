"""Replaces the ids and URIs of removed images in texts: records and logs of runs, reports, notes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

MARK = "(removed)"


class Redactor:
    """Replaces ids, with hex digits that follow them (a whole sha256), and whole URIs."""

    def __init__(self, images: Collection[str], uris: Collection[str]) -> None:
        parts = [f"(?:{'|'.join(sorted(images))})[0-9a-f]*"] if images else []
        if uris:
            longest_first = "|".join(re.escape(uri) for uri in sorted(uris, key=lambda uri: (-len(uri), uri)))
            parts.append(rf"(?<![\w.])(?:{longest_first})(?![\w/-])(?!\.\w)")
        self._pattern = re.compile("|".join(parts)) if parts else None

    def text(self, text: str) -> str:
        return self._pattern.sub(MARK, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """A copy of JSON content in which every text is redacted, also keys."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return self.text(value) if isinstance(value, str) else value
