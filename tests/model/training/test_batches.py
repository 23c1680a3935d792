from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from engine.errors import ConfigError
from engine.images.decode import decode
from model import florence2_tasks as prompts
from model.network.florence import Florence
from model.training.batches import Batches, normalised
from model.training.objective import IGNORED
from model.training.pair_store import PixelStore, open_pairs, stretched
from model.training.sampling import Schedule
from tests.model.world_pairs import TASKS, untrained, write_pairs

World = tuple[str, Florence]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    file = write_pairs(tmp_path_factory.mktemp("world"))
    return file, untrained(file)


def batches(of: World, scratch: Path, **options: int) -> Batches:
    file, florence = of
    store = open_pairs([file], florence, scratch)
    return Batches(store, PixelStore(florence.size), florence, Schedule(store.counts), **{"batch_size": 8, **options})


def test_a_batch_equals_the_output_of_the_checkpoints_processor(world: World, tmp_path: Path) -> None:
    _, florence = world
    made = batches(world, tmp_path)
    (batch,) = made.step(0)
    tasks, rows = made.schedule.at(np.arange(8))

    for place, (task, row) in enumerate(zip(tasks, rows, strict=True)):
        pair = made.store.pair(made.schedule.tasks[task], int(row))
        pixels = decode(Path(pair["uri"]).read_bytes())
        due = florence.processor(images=pixels, text=pair["prompt"], return_tensors="pt")
        length = due["input_ids"].shape[1]
        assert batch.tensors["input_ids"][place, :length].tolist() == due["input_ids"][0].tolist()
        assert batch.tensors["attention_mask"][place].sum() == length
        assert torch.allclose(batch.tensors["pixel_values"][place], due["pixel_values"][0], atol=1e-5)
        labels = [token for token in batch.tensors["labels"][place].tolist() if token != IGNORED]
        assert florence.tokenizer.decode(labels) == f"<s>{pair['target']}</s>"


@pytest.mark.parametrize("shape", [(96, 96), (480, 640), (37, 800)])
def test_pixels_equal_those_of_the_processor(world: World, shape: tuple[int, int]) -> None:
    _, florence = world
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)

    own = normalised([stretched(photo, florence.size)])

    assert torch.allclose(own, florence.pixel_values([photo]), atol=1e-5)


def test_workers_and_micro_batches_split_the_same_step(world: World, tmp_path: Path) -> None:
    (whole,) = batches(world, tmp_path / "0").step(3)
    cut = [
        part.tensors["pixel_values"]
        for rank in range(2)
        for part in batches(world, tmp_path / f"{rank + 1}", accumulate=2, rank=rank, world=2).step(3)
    ]

    assert [len(part) for part in cut] == [2, 2, 2, 2]
    sums = sorted(float(image.double().sum()) for part in cut for image in part)
    assert sums == sorted(float(image.double().sum()) for image in whole.tensors["pixel_values"])


def test_a_batch_that_cannot_be_split_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A batch of 8 cannot be split into 3 parts"):
        batches(world, tmp_path, accumulate=3)


def test_a_missing_or_broken_image_is_counted_and_has_no_labels(tmp_path: Path) -> None:
    file = write_pairs(tmp_path, images=8, tasks=["<OD>"])
    florence = untrained(file)
    (tmp_path / "2.png").unlink()
    (tmp_path / "5.png").write_bytes(b"GIF89a no more")
    made = batches((file, florence), tmp_path / "scratch")

    (batch,) = made.step(0)  # all eight

    assert dict(made.unreadable) == {"missing": 1, "changed": 1}
    assert int((batch.tensors["labels"] == IGNORED).all(dim=1).sum()) == 2


def test_steps_prepared_ahead_equal_those_made_one_by_one(world: World, tmp_path: Path) -> None:
    made = batches(world, tmp_path)

    ahead = [parts[0].tensors["labels"] for parts in made.steps(2, 12)]

    assert len(ahead) == 10
    for number, labels in enumerate(ahead, start=2):
        assert torch.equal(labels, made.step(number)[0].tensors["labels"])


def test_pairs_are_grouped_by_task_in_the_order_of_their_files(world: World, tmp_path: Path) -> None:
    file, florence = world
    store = open_pairs([file], florence, tmp_path)
    table = pq.read_table(file)

    assert list(store.tables) == [task for task in prompts.TASKS if task in TASKS]
    for task, count in store.counts.items():
        own = table.filter(pc.equal(table["task"], task))
        assert [store.pair(task, row)["target"] for row in range(count)] == own["target"].to_pylist()


def test_only_chosen_tasks_and_images_are_read(world: World, tmp_path: Path) -> None:
    file, florence = world
    images = pq.read_table(file)["image_id"].unique().to_pylist()[:3]

    store = open_pairs([file], florence, tmp_path, tasks=["<OD>"], only={"image_id": images})

    assert store.counts == {"<OD>": 3}


def test_pairs_too_long_for_the_network_are_left_out_and_counted(world: World, tmp_path: Path) -> None:
    file, florence = world
    rows = pq.read_table(file).to_pylist()
    rows[0]["target"] = "a very long story " * 600
    rows[1]["prompt"] = "what about " * 900
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(file)), tmp_path / "pairs.parquet")

    store = open_pairs([str(tmp_path / "pairs.parquet")], florence, tmp_path / "scratch")

    assert dict(store.left_out) == {"target_too_long": 1, "prompt_too_long": 1}
    assert sum(store.counts.values()) == len(rows) - 2


def test_pairs_of_audit_images_are_refused(world: World, tmp_path: Path) -> None:
    file, florence = world
    rows = pq.read_table(file).to_pylist()
    rows[3]["split"] = "audit-test"
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(file)), tmp_path / "pairs.parquet")

    with pytest.raises(ConfigError, match="holds 1 pairs of images outside the train split"):
        open_pairs([str(tmp_path / "pairs.parquet")], florence, tmp_path / "scratch")
