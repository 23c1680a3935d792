"""Replies to requests, and the headers that all of them have.

The pages show text and pictures from untrusted files, so no reply may be sniffed as another type, framed, stored or
read by another origin, and a page loads only what this server sends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)


@dataclass(frozen=True, slots=True)
class Reply:
    status: HTTPStatus
    kind: str  # the content type
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(content: object, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """A reply of JSON. Numbers that JSON lacks (NaN, infinity) become null."""
    try:
        text = json.dumps(content, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(content), allow_nan=False)
    return Reply(status, "application/json", text.encode())


def refused(status: HTTPStatus, sentence: str, **headers: str) -> Reply:
    """A reply of one sentence, as JSON."""
    reply = as_json({"error": " ".join(sentence.split())}, status)
    return Reply(reply.status, reply.kind, reply.body, {name.replace("_", "-"): text for name, text in headers.items()})


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and content - content != 0 else content
