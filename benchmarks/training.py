"""Cost of Ray Train, checkpoints and prefetched batches compared with a bare loop; and the speed of making batches.

    python -m benchmarks.training [--steps 300] [--turns 3]

The bare loop has all its batches in memory before the clock starts, and uses the library's own loss and a fused AdamW.
Both sides train the tiny preset on the same pairs, in turns; the first tenth of the steps is not counted. Then batches
alone are timed, of 384-pixel JPEGs that are decoded each time, in two threads.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.learn import draw
from benchmarks.photos import drawn
from engine.storage.files import Storage
from model.network.florence import load
from model.training.batches import Batches
from model.training.job import Progress
from model.training.options import TrainOptions
from model.training.pair_store import PairStore, PixelStore, open_pairs
from model.training.sampling import Schedule

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--local", action="store_true", help="`--runner inline` instead of Ray Train")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        pairs = str(draw(folder / "pairs", 1000, ["<OD>"], seed=0))
        ratios = []
        for turn in range(options.turns):
            ours = engine(folder, pairs, options.steps, f"turn-{turn}", "local" if options.local else "ray")
            bare = plain(folder / "models" / "turn-0" / "init", pairs, options.steps)
            ratios.append(ours / bare)
            print(f"engine {ours:.0f} samples/s, bare loop {bare:.0f}: {ratios[-1]:.3f}", flush=True)
        print(f"median {statistics.median(ratios):.3f}")
        print(f"batches of 384-pixel photos: {photos(folder, pairs):.0f} samples/s in two threads")


def engine(folder: Path, pairs: str, steps: int, name: str, runner: str) -> float:
    """Samples a second, from a tenth of the steps to the end."""
    from pipelines.training.train import fit

    times: list[tuple[float, int]] = []
    train = TrainOptions(name=name, vocabulary=300, steps=steps, batch_size=BATCH, checkpoint_every=steps // 3)

    def note_time(progress: Progress) -> None:
        if not times or progress.step > times[-1][1]:
            times.append((time.perf_counter(), progress.step))

    fit(Storage(str(folder)), train, [pairs], pairs, runner=runner, on_progress=note_time)
    first = next(one for one in times if one[1] >= steps // 10)
    return BATCH * (times[-1][1] - first[1]) / (times[-1][0] - first[0])


def plain(init: Path, pairs: str, steps: int) -> float:
    import torch

    torch.set_num_threads(1)
    florence = load(str(init))
    with tempfile.TemporaryDirectory() as scratch:
        made = batches(open_pairs([pairs], florence, Path(scratch)), florence)
        all_of_them = [made.step(number)[0].tensors for number in range(steps)]
    optimizer = torch.optim.AdamW(florence.model.parameters(), lr=1e-3, fused=True)
    florence.model.train()
    for number, tensors in enumerate(all_of_them):
        if number == steps // 10:
            started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        florence.model(**tensors).loss.backward()
        torch.nn.utils.clip_grad_norm_(florence.model.parameters(), 1.0)
        optimizer.step()
    return BATCH * (steps - steps // 10) / (time.perf_counter() - started)


def batches(store: PairStore, florence: Any, pixels: PixelStore | None = None) -> Batches:
    return Batches(store, pixels or PixelStore(florence.size), florence, Schedule(store.counts), batch_size=BATCH)


def photos(folder: Path, pairs: str, steps: int = 40) -> float:
    """Times batches without any cache: each photo is read, decoded and resized every time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    drawn(folder / "photos", 200, width=384, height=384)
    rows = pq.read_table(pairs).slice(0, 200).to_pylist()
    for number, row in enumerate(rows):
        row |= {"uri": f"{number:06d}.jpg", "width": 384, "height": 384}
    file = folder / "photos" / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(pairs)), file)
    florence = load(str(folder / "models" / "turn-0" / "init"))
    florence.size = 384
    with tempfile.TemporaryDirectory() as scratch:
        made = batches(open_pairs([str(file)], florence, Path(scratch)), florence, PixelStore(384, keep_bytes=1))
        made.step(0)
        started = time.perf_counter()
        for _ in made.steps(1, steps + 1):
            pass
        return BATCH * steps / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
