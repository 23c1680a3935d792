"""Bytes from hosts of the web. Whatever a host does is its image's failure, `unreachable`; 404 is "no such file".

Nobody's storage: hosts of a list of URLs come and go, so none of their failures ends a run. Python's own client, since
most URLs are of different hosts and no connection is used twice. The deadline holds whatever a host does: the clock is
asked before each look at the socket (engine.storage.web_connection).
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

ATTEMPTS = 3  # requests for one image; a worker sets it to the recipe's run.web_attempts
PAUSE_S = 0.25
SILENCE_S = 10.0  # without a byte
DEADLINE_S = 30.0  # for one image, all attempts: a batch of 256 by 32 threads must end within the time-out of ingest
_AGAIN = (408, 425, 429)  # and everything from 500 on
_PIECE = 1 << 16
_AGENT = "Mozilla/5.0 (compatible; fld5b-engine)"  # many hosts refuse a client that does not look like one


def is_web(uri: str) -> bool:
    """Whether it, or the container it lies in, is on a host of the web."""
    return scheme_of(split_uri(uri)[2]) in ("http", "https")


def fetch(url: str, offset: int = 0, length: int = -1) -> bytes:
    """The bytes [offset, offset + length), or to the end. FileNotFoundError for 404, else ImageError `unreachable`."""
    end = time.monotonic() + DEADLINE_S
    for attempt in range(1, ATTEMPTS + 1):
        pause = PAUSE_S * 2**attempt
        try:
            return _get(url, offset, length, end)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                raise FileNotFoundError(url) from None
            told, again = f"its host says {error.code} {error.reason}".rstrip(), error.code in _AGAIN
            again = again or error.code >= 500
            if again and (wait := _retry_after(error.headers)):
                told, pause = f"{told}, to be asked again in {wait:.0f} s", max(pause, wait)
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            told, again = _sentence(error)
        if not again or attempt == ATTEMPTS or time.monotonic() + pause >= end:
            break
        time.sleep(pause)
    raise ImageError("unreachable", f"{' '.join(told.split())[:300]}: {url}")


def _get(url: str, offset: int, length: int, end: float) -> bytes:
    request = urllib.request.Request(_quoted(url), headers={"User-Agent": _AGENT})
    if offset:  # not from the start: of an empty file no range can be given
        request.add_header("Range", f"bytes={offset}-{offset + length - 1 if length >= 0 else ''}")
    with opener(end, SILENCE_S).open(request, timeout=SILENCE_S) as response:
        if offset and response.status != 206:
            raise http.client.HTTPException("its host gives no parts of files")
        if not offset and response.status not in (200, 203):
            raise http.client.HTTPException(f"it says {response.status} {response.reason}")
        coding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
        if coding != "identity":
            return _unpacked(response, coding, length)
        return b"".join(_pieces(response, length))


def _pieces(response: Any, length: int) -> list[bytes]:
    pieces: list[bytes] = []
    left = length if length >= 0 else None
    while left != 0 and (piece := response.read(_PIECE if left is None else min(left, _PIECE))):
        pieces.append(piece)
        left = None if left is None else left - len(piece)
    if left != 0 and response.length:  # the client is silent about a body that ends early
        raise ConnectionResetError("it broke off")
    return pieces


def _unpacked(response: Any, coding: str, length: int) -> bytes:
    """What a host packs although nobody asked it to; no more than `length` bytes of it."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise http.client.HTTPException(f"it packs it as {coding[:20]}, which nobody asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    parts: list[bytes] = []
    left = length
    while (length < 0 or left > 0) and not unpacker.eof:
        packed = unpacker.unconsumed_tail or response.read(_PIECE)
        if not packed:
            raise ConnectionResetError("it broke off")
        parts.append(unpacker.decompress(packed, max(left, 0)))
        left -= len(parts[-1]) if length >= 0 else 0
    return b"".join(parts)


def _quoted(url: str) -> str:
    """As a host is asked for it: spaces, letters beyond ASCII and lone percent signs are quoted."""
    start, host, rest = re.match(r"(\w+://)([^/?#]*)(.*)", url, re.DOTALL).groups()  # type: ignore[union-attr]
    if not host.isascii():
        host = host.encode("idna").decode()  # UnicodeError is a ValueError
    rest = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", rest)
    return f"{start}{host}{quote(rest, safe='%/:=&?~#+!$,;@()*[]|' + chr(39))}"


def _retry_after(headers: Any) -> float:
    """Seconds a host asks to wait, 0 if it does not say."""
    told = ((headers and headers.get("Retry-After")) or "").strip()
    if told.isdigit():
        return float(told[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _sentence(error: Exception) -> tuple[str, bool]:
    """What happened, and whether it is worth another try."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "its host has no address", cause.errno == socket.EAI_AGAIN
    if isinstance(cause, TimeoutError):
        return "its host does not answer in time", True
    if isinstance(cause, http.client.IncompleteRead):
        return "its host does not give it (it broke off)", True
    return f"its host does not give it ({cause or type(cause).__name__})", isinstance(cause, OSError)
