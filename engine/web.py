"""Bytes from hosts of the web. Whatever a host does is its image's failure, `unreachable`; 404 is "no such file".

Nobody's storage: hosts of a list of URLs come and go, so none of their failures ends a run. Python's own client, since
most URLs are of different hosts and no connection is used twice.
"""

from __future__ import annotations

import http.client
import socket
import time
import urllib.error
import urllib.request
from urllib.parse import quote

from engine.containers import split_uri
from engine.errors import ImageError
from engine.urls import scheme_of

ATTEMPTS, PAUSE_S = 3, 0.25
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
        try:
            return _get(url, offset, length, end)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                raise FileNotFoundError(url) from None
            told, again = f"its host says {error.code} {error.reason}".rstrip(), error.code in _AGAIN
            again = again or error.code >= 500
        except (OSError, http.client.HTTPException, ValueError) as error:
            told, again = _sentence(error)
        pause = PAUSE_S * 2**attempt
        if not again or attempt == ATTEMPTS or time.monotonic() + pause >= end:
            break
        time.sleep(pause)
    raise ImageError("unreachable", f"{told}: {url}")


def _get(url: str, offset: int, length: int, end: float) -> bytes:
    request = urllib.request.Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]|"), headers={"User-Agent": _AGENT})
    if offset:  # not from the start: of an empty file no range can be given
        request.add_header("Range", f"bytes={offset}-{offset + length - 1 if length >= 0 else ''}")
    with urllib.request.urlopen(request, timeout=max(0.1, min(SILENCE_S, end - time.monotonic()))) as response:
        if offset and response.status != 206:
            raise http.client.HTTPException("its host gives no parts of files")
        pieces: list[bytes] = []
        left = length if length >= 0 else None
        while left != 0 and (piece := response.read(_PIECE if left is None else min(left, _PIECE))):
            pieces.append(piece)
            left = None if left is None else left - len(piece)
            if time.monotonic() > end:
                raise TimeoutError
        if left != 0 and response.length:  # the client is silent about a body that ends early
            raise ConnectionResetError("it broke off")
        return b"".join(pieces)


def _sentence(error: Exception) -> tuple[str, bool]:
    """What happened, and whether it is worth another try."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "its host has no address", cause.errno == socket.EAI_AGAIN
    if isinstance(cause, TimeoutError):
        return "its host does not answer in time", True
    return f"its host does not give it ({cause or type(cause).__name__})", isinstance(cause, OSError)
