"""Downloads images by http and https.

A failed download is a failure of one image (`unreachable`, or missing for 404).

Hosts in a list of URLs come and go, so the failure of a host never stops a run. Connections are not reused, because
most URLs are on different hosts. Python's own client is therefore enough. Each image has a deadline that a slow host
cannot extend (engine.storage.web_connection).
"""

from __future__ import annotations

import email.utils
import http.client
import re
import socket
import time
import urllib.error
import urllib.request
import zlib
from typing import Any
from urllib.parse import quote

from engine.errors import ImageError
from engine.storage.uris import split_uri
from engine.storage.urls import scheme_of
from engine.storage.web_connection import opener

ATTEMPTS = 3  # most requests for one image; a worker sets this to the recipe's run.web_attempts
PAUSE_S = 0.25
SILENCE_S = 10.0  # longest wait for the next byte
DEADLINE_S = 30.0  # for all attempts at one image: 256 images on 32 threads must finish within the time-out of ingest
_RETRIED = (408, 425, 429)  # HTTP statuses worth another request, besides 500 and above
_PIECE = 1 << 16  # bytes read at a time
_AGENT = "Mozilla/5.0 (compatible; fld5b-engine)"  # many hosts refuse clients that do not look like a browser


def is_web(uri: str) -> bool:
    """Whether the URI is a file at an http or https URL, or is inside one."""
    return scheme_of(split_uri(uri)[2]) in ("http", "https")


def fetch(url: str, offset: int = 0, length: int = -1) -> bytes:
    """Download `length` bytes from `offset`; -1 stands for all that follow.

    Raises FileNotFoundError if the host answers 404, and ImageError `unreachable` for any other failure.
    """
    end = time.monotonic() + DEADLINE_S
    for attempt in range(1, ATTEMPTS + 1):
        pause = PAUSE_S * 2**attempt
        try:
            return _get(url, offset, length, end)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                raise FileNotFoundError(url) from None
            reason = f"its host answers {error.code} {error.reason}".rstrip()
            retry = error.code in _RETRIED or error.code >= 500
            if retry and (wait := _retry_after(error.headers)):
                reason, pause = f"{reason}, retry after {wait:.0f} s", max(pause, wait)
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            reason, retry = _reason(error)
        if not retry or attempt == ATTEMPTS or time.monotonic() + pause >= end:
            break
        time.sleep(pause)
    raise ImageError("unreachable", f"{' '.join(reason.split())[:300]}: {url}")


def _get(url: str, offset: int, length: int, end: float) -> bytes:
    request = urllib.request.Request(_quoted(url), headers={"User-Agent": _AGENT})
    if offset:  # without an offset no range is requested: for an empty file it would be an error
        request.add_header("Range", f"bytes={offset}-{offset + length - 1 if length >= 0 else ''}")
    with opener(end, SILENCE_S).open(request, timeout=SILENCE_S) as response:
        if offset and response.status != 206:
            raise http.client.HTTPException("its host does not support byte ranges")
        if not offset and response.status not in (200, 203):
            raise http.client.HTTPException(f"status {response.status} {response.reason}")
        coding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
        if coding != "identity":
            return _decompressed(response, coding, length)
        return b"".join(_pieces(response, length))


def _pieces(response: Any, length: int) -> list[bytes]:
    pieces: list[bytes] = []
    left = length if length >= 0 else None
    while left != 0 and (piece := response.read(_PIECE if left is None else min(left, _PIECE))):
        pieces.append(piece)
        left = None if left is None else left - len(piece)
    if left != 0 and response.length:  # Python's client does not report a body that ends early
        raise ConnectionResetError("the connection broke off")
    return pieces


def _decompressed(response: Any, coding: str, length: int) -> bytes:
    """The decompressed body of a response, at most `length` bytes.

    Some hosts compress although the request forbids it.
    """
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise http.client.HTTPException(f"it is compressed as {coding[:20]}, which was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    parts: list[bytes] = []
    left = length
    while (length < 0 or left > 0) and not unpacker.eof:
        packed = unpacker.unconsumed_tail or response.read(_PIECE)
        if not packed:
            raise ConnectionResetError("the connection broke off")
        parts.append(unpacker.decompress(packed, max(left, 0)))
        left -= len(parts[-1]) if length >= 0 else 0
    return b"".join(parts)


def _quoted(url: str) -> str:
    """The URL for the request: spaces, characters outside ASCII and lone percent signs are quoted."""
    start, host, rest = re.match(r"(\w+://)([^/?#]*)(.*)", url, re.DOTALL).groups()  # type: ignore[union-attr]
    if not host.isascii():
        host = host.encode("idna").decode()  # UnicodeError is a ValueError
    rest = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", rest)
    return f"{start}{host}{quote(rest, safe='%/:=&?~#+!$,;@()*[]|' + chr(39))}"


def _retry_after(headers: Any) -> float:
    """The seconds to wait that the header Retry-After gives. 0 without the header."""
    value = ((headers and headers.get("Retry-After")) or "").strip()
    if value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _reason(error: Exception) -> tuple[str, bool]:
    """What happened, in a few words, and whether another request may succeed."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "its host has no address", cause.errno == socket.EAI_AGAIN
    if isinstance(cause, TimeoutError):
        return "its host does not answer in time", True
    if isinstance(cause, http.client.IncompleteRead):
        return "its host does not send it (the connection broke off)", True
    return f"its host does not send it ({cause or type(cause).__name__})", isinstance(cause, OSError)
