"""The same photos in the forms that people have: tars by webdataset, Parquet by `datasets`, lists; and a web server."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def photographs(folder: Path, count: int, *, size: int = 64) -> list[Path]:
    """Drawn photos with some grain, as JPEG and PNG in turns, in the order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
        path = folder / f"{number:05d}.{('jpg', 'png')[number % 2]}"
        coarse.resize((size + number, size), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def write_tars(
    folder: Path, photos: Sequence[Path], captions: Mapping[str, str] = {}, *, a_tar: int = 5, key: str = "{}"
) -> list[Path]:
    """Writes tars like img2dataset: for each photo the image, its caption as text, and a json with the caption."""
    import webdataset

    folder.mkdir(parents=True, exist_ok=True)
    with webdataset.ShardWriter(f"{folder}/%05d.tar", maxcount=a_tar, verbose=0) as writer:
        for path in photos:
            caption = captions.get(path.stem, "")
            notes = {
                "caption": caption or None,
                "url": f"http://host/{path.name}",
                "key": path.stem,
                "status": "success",
            }
            sample: dict[str, Any] = {"__key__": key.format(path.stem), path.suffix[1:]: path.read_bytes()}
            writer.write(sample | {"json": json.dumps(notes).encode()} | ({"txt": caption} if caption else {}))
    return sorted(folder.glob("*.tar"))


def write_parquet(path: Path, photos: Sequence[Path], captions: Mapping[str, str] = {}) -> Path:
    """Writes a Parquet file with `datasets`, with the bytes of the images in it."""
    import datasets

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {
        "image": [{"bytes": photo.read_bytes(), "path": photo.name} for photo in photos],
        "caption": [captions.get(photo.stem, "") for photo in photos],
    }
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(path), batch_size=4)
    return path


def write_list(path: Path, photos: Sequence[Path], captions: Mapping[str, str] = {}) -> Path:
    """Writes JSON lines if there are captions, else plain lines. Paths are relative to the list if it is above them."""
    names = [str(photo.relative_to(path.parent) if photo.is_relative_to(path.parent) else photo) for photo in photos]
    lines = names
    if path.suffix == ".jsonl":
        rows = zip(names, photos, strict=True)
        lines = [json.dumps({"url": name, "caption": captions.get(photo.stem)}) for name, photo in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def web_host(answers: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """(URL, requested paths) of a server. An answer is bytes, an error code, or a list of these in turn."""
    requests: list[str] = []

    class Host(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            answer = answers.get(self.path, 404)
            if isinstance(answer, list):
                answer = answer[min(requests.count(self.path), len(answer)) - 1]
            if isinstance(answer, int):
                self.send_error(answer)
                return
            wanted = self.headers.get("Range", "")
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            self.send_response(206 if wanted else 200)
            part = answer[int(first or 0) : int(last) + 1 if last else None]
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
