"""Plain loops beside which the engine races, each a whole process.

python -m benchmarks.race_loops headers FOLDER COUNT     reads, hashes and parses the headers of photos
python -m benchmarks.race_loops pipe|parse TEXTS.json COUNT    spaCy's nlp.pipe, and spacy_parse with its rules
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from pathlib import Path

BATCH = 64


def headers(folder: str, count: int) -> None:
    from PIL import Image

    for name in sorted(os.listdir(folder))[:count]:
        data = Path(folder, name).read_bytes()
        hashlib.sha256(data).hexdigest()
        with Image.open(io.BytesIO(data)) as image:
            assert image.size


def pipe(texts: str, count: int) -> None:
    from specialists.spacy_parse.specialist import PACKAGED_PIPELINE, load_pipeline

    nlp = load_pipeline(PACKAGED_PIPELINE)
    for _ in nlp.pipe(json.loads(Path(texts).read_text())[:count], batch_size=BATCH):
        pass


def parse(texts: str, count: int) -> None:
    from specialists.spacy_parse.specialist import SpacyParse

    parser = SpacyParse(batch_size=BATCH)
    parser.load()
    given = json.loads(Path(texts).read_text())[:count]
    for start in range(0, len(given), BATCH):
        parser.parse(given[start : start + BATCH])


def main() -> None:
    side, source, count = sys.argv[1:]
    {"headers": headers, "pipe": pipe, "parse": parse}[side](source, int(count))


if __name__ == "__main__":
    main()
