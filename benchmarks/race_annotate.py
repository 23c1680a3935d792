"""Scripts that a user would write to detect objects in a folder of photos with YOLOX, each a whole process.

    python -m benchmarks.race_annotate pool|daft WEIGHTS.onnx PHOTOS OUT COUNT

Both read, decode, letterbox, run the network in onnxruntime with one thread, suppress boxes per class, and write
Parquet. `pool` uses two processes of multiprocessing and writes one file for each 50 photos. `daft` uses a class with
two processes of Daft. They import nothing of the engine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

SIZE, MIN_SCORE, IOU, MOST = 416, 0.05, 0.5, 100
WORKERS, CHUNK = 2, 50


class Detector:
    def __init__(self, weights: str) -> None:
        import cv2
        import numpy as np
        import onnxruntime

        cv2.setNumThreads(1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        grids = [np.mgrid[: SIZE // step, : SIZE // step][::-1].reshape(2, -1).T for step in (8, 16, 32)]
        self.cells = np.concatenate(grids).astype(np.float32)
        steps = [np.full((len(grid), 1), step) for grid, step in zip(grids, (8, 16, 32), strict=True)]
        self.steps = np.concatenate(steps).astype(np.float32)

    def __call__(self, path: str) -> list[dict[str, Any]]:
        """The boxes in a photo, best first."""
        import cv2
        import numpy as np

        pixels = cv2.imread(path)  # BGR, as the network expects
        assert pixels is not None
        height, width = pixels.shape[:2]
        scale = min(SIZE / width, SIZE / height)
        inner = int(width * scale), int(height * scale)
        canvas = np.full((SIZE, SIZE, 3), 114, np.uint8)
        canvas[: inner[1], : inner[0]] = cv2.resize(pixels, inner)
        blob = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
        raw = self.session.run(None, {self.input: blob})[0][0]
        centres, sides = (raw[:, :2] + self.cells) * self.steps, np.exp(raw[:, 2:4]) * self.steps
        scores = raw[:, 5:] * raw[:, 4:5]
        rows, classes = np.nonzero(scores >= MIN_SCORE)
        corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)[rows] / scale
        corners = corners.clip(0, [width, height, width, height])
        chosen = scores[rows, classes]
        return self._best(corners, chosen, classes)

    def _best(self, corners: Any, scores: Any, classes: Any) -> list[dict[str, Any]]:
        import cv2
        import numpy as np

        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), classes.tolist(), MIN_SCORE, IOU)
        return [
            {"box": corners[row].tolist(), "label": int(classes[row]), "score": float(scores[row])}
            for row in list(kept)[:MOST]
        ]


# --- a pool of processes -------------------------------------------------------------------------

_detector: Any = None  # of a process of the pool


def load(weights: str) -> None:
    global _detector  # noqa: PLW0603 - as such scripts do
    _detector = Detector(weights)


def detect_chunk(job: tuple[Sequence[str], str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths, out = job
    rows = [{"file": os.path.basename(path), "boxes": _detector(path)} for path in paths]
    pq.write_table(pa.Table.from_pylist(rows), out, compression="zstd")


def by_pool(weights: str, paths: Sequence[str], out: str) -> None:
    import multiprocessing

    os.makedirs(out)
    jobs = [(paths[start : start + CHUNK], f"{out}/{start:06d}.parquet") for start in range(0, len(paths), CHUNK)]
    with multiprocessing.Pool(WORKERS, load, (weights,)) as pool:
        for _ in pool.imap_unordered(detect_chunk, jobs):
            pass


# --- Daft ----------------------------------------------------------------------------------------


def by_daft(weights: str, paths: Sequence[str], out: str) -> None:
    import daft

    kind = daft.DataType.list(
        daft.DataType.struct(
            {
                "box": daft.DataType.list(daft.DataType.float64()),
                "label": daft.DataType.int64(),
                "score": daft.DataType.float64(),
            }
        )
    )

    @daft.cls(max_concurrency=WORKERS, use_process=True)
    class Detects:
        def __init__(self, weights: str) -> None:
            self.detector = Detector(weights)

        @daft.method(return_dtype=kind)  # type: ignore[untyped-decorator]
        def boxes(self, path: str) -> list[dict[str, Any]]:
            return self.detector(path)

    photos = daft.from_pydict({"path": list(paths)}).into_batches(CHUNK)
    photos.with_column("boxes", Detects(weights).boxes(daft.col("path"))).write_parquet(out, compression="zstd")


def main() -> None:
    side, weights, photos, out, count = sys.argv[1:]
    paths = [f"{photos}/{name}" for name in sorted(os.listdir(photos))[: int(count)]]
    {"pool": by_pool, "daft": by_daft}[side](weights, paths, out)


if __name__ == "__main__":
    main()
