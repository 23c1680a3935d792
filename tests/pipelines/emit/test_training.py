"""Other tools train on the pairs that `engine train` trains on: the same images, prompts, targets and tensors.

The programs are those of docs/guide/8-training-elsewhere.md, with another checkpoint, release and batch size.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from engine.images.decode import image_id, probe
from engine.images.locate import Locator, read_exactly
from model.florence2_tasks import TASKS
from model.network.florence import MEAN, STD, load
from model.pairs.locations import BINS
from model.pairs.prefixes import expand
from model.training.batches import Batches, normalised
from model.training.loop import Training
from model.training.objective import Objective
from model.training.options import TrainOptions
from model.training.pair_store import PixelStore, open_pairs
from model.training.sampling import Schedule
from pipelines.emit.writers import chosen_formats
from pipelines.recipe import parse_recipe
from tests.builders import Row
from tests.model.tiny import saved
from tests.pipelines.emit.every_task import noise, shards

PAGE = Path(__file__).resolve().parents[3] / "docs/guide/8-training-elsewhere.md"
BLOCK = re.compile(r"^```python\n# (\w+)\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAIRS = 39  # in the release

Sample = tuple[str, str, str]  # sha256 of the image file, prompt, target
Tensors = tuple[str, tuple[int, ...], tuple[int, ...]]  # hash of the pixels, ids of the prompt, ids of the target


class Seen(NamedTuple):
    """What a way of reading gave: its samples, the tensors of its batches, and the first loss of a training step."""

    samples: Counter[Sample]
    tensors: Counter[Tensors]
    loss: float


class Release(NamedTuple):
    folder: Path
    checkpoint: str


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """For small networks a second thread costs more time than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def release(every_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(every_task, saved(tmp_path_factory.mktemp("checkpoint")))


@pytest.fixture(scope="module")
def by_engine(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """One step of `engine train` over all pairs."""
    florence = load(release.checkpoint)
    files = sorted(map(str, release.folder.glob("pairs-*.parquet")))
    store = open_pairs(files, florence, tmp_path_factory.mktemp("scratch"))
    schedule = Schedule(store.counts)
    batches = Batches(store, PixelStore(florence.size), florence, schedule, batch_size=len(schedule))
    objective = Objective(florence.model, first_location=florence.vocabulary.first_location, bins=BINS)
    options = TrainOptions(steps=1, batch_size=len(schedule), warmup=0, learning_rate=1e-5, precision="float32")
    (batch,) = batches.step(0)
    (step,) = Training(objective, batches, options).run()
    pairs = [store.pair(task, row) for task, number in store.counts.items() for row in range(number)]
    samples = Counter((_digest(_file(pair)), pair["prompt"], pair["target"]) for pair in pairs)
    return Seen(samples, Counter(_tensors(batch.tensors)), step.loss)


def _file(pair: Mapping[str, Any]) -> bytes:
    return read_exactly(Locator(pair["uri"], pair["offset"], pair["length"]), pair["image_id"])


@pytest.fixture
def page(tmp_path: Path, release: Release, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The programs of the page, to import. Their batches hold all pairs."""
    changes = {"florence-community/Florence-2-base": release.checkpoint, "releases/v1": str(release.folder)}
    changes |= {"batch_size=4": f"batch_size={PAIRS}", '"paligemma.jsonl"': repr(str(tmp_path / "paligemma.jsonl"))}
    names = []
    for name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        for before, after in changes.items():
            text = text.replace(before, after)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        names.append(name)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in names:
        sys.modules.pop(name, None)


def _tensors(batch: Mapping[str, torch.Tensor]) -> Iterator[Tensors]:
    """The samples of a batch without padding. Pixels are compared as whole numbers from 0 to 255."""
    mean, std = (torch.tensor(of).view(3, 1, 1) for of in (MEAN, STD))
    for pixels, ids, mask, labels in zip(
        batch["pixel_values"], batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True
    ):
        whole = ((pixels * std + mean) * 255).round().to(torch.uint8).numpy()
        yield _digest(whole.tobytes()), tuple(ids[mask == 1].tolist()), tuple(labels[labels >= 0].tolist())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def seen(program: ModuleType, samples: Iterator[tuple[bytes, str, str]], release: Release) -> Seen:
    """What a program of the page read. The loss is that of an untrained model over all its batches."""
    from transformers import Florence2ForConditionalGeneration

    model: Any = Florence2ForConditionalGeneration.from_pretrained(release.checkpoint)
    tensors: Counter[Tensors] = Counter()
    total, tokens = 0.0, 0
    for batch in program.loader:
        tensors.update(_tensors(batch))
        number = int((batch["labels"] >= 0).sum())
        with torch.no_grad():
            total += float(model(**batch).loss) * number
        tokens += number
    found = Counter((_digest(data), prompt, target) for data, prompt, target in samples)
    return Seen(found, tensors, total / tokens)


def assert_same(found: Seen, expected: Seen) -> None:
    assert found.samples == expected.samples
    assert found.tensors == expected.tensors
    assert found.loss == pytest.approx(expected.loss, abs=1e-4)


def changed(trained: Any, release: Release) -> bool:
    """Whether a training step changed the weights."""
    before = load(release.checkpoint).model.lm_head.weight
    return not torch.equal(trained.lm_head.weight, before)


def test_the_release_has_pairs_of_every_task(release: Release, by_engine: Seen) -> None:
    proven = json.loads((release.folder / "manifest.json").read_text())["pairs"]["proven"]
    assert list(proven) == sorted(TASKS)
    assert sum(proven.values()) == sum(by_engine.samples.values()) == sum(by_engine.tensors.values()) == PAIRS


@pytest.mark.usefixtures("page")
def test_datasets_reads_the_pairs_that_the_engine_trains_on(
    release: Release, by_engine: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    program = importlib.import_module("from_pairs")
    assert program.loader.num_workers == 2
    assert_same(seen(program, map(program.read, program.pairs), release), by_engine)
    assert changed(program.model, release)


@pytest.mark.usefixtures("page")
def test_webdataset_reads_the_pairs_that_the_engine_trains_on(release: Release, by_engine: Seen) -> None:
    pytest.importorskip("webdataset")
    program = importlib.import_module("from_tars")
    assert program.loader.num_workers == 2
    assert_same(seen(program, iter(program.samples), release), by_engine)
    assert changed(program.model, release)


@pytest.mark.usefixtures("page")
def test_json_lines_are_the_pairs_that_the_engine_trains_on(release: Release, by_engine: Seen) -> None:
    program = importlib.import_module("from_json_lines")
    samples = [(data, expand(prefix), target) for data, prefix, target in map(program.read, program.lines)]
    assert_same(seen(program, iter(samples), release), by_engine)
    assert changed(program.model, release)


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_that_exif_turns_gives_the_pixels_that_the_engine_trains_on(
    release: Release, tmp_path: Path, orientation: int
) -> None:
    file, exif = tmp_path / "photo.png", Image.Exif()
    exif[274] = orientation
    Image.open(io.BytesIO(noise(40, 24))).save(file, exif=exif)
    program = importlib.import_module("training")
    batch = program.collate([(file.read_bytes(), "<OD>", "cat<loc_0><loc_1><loc_2><loc_3>")])
    size = load(release.checkpoint).size
    expected = normalised([PixelStore(size).read(str(file), 0, -1)])
    assert torch.allclose(batch["pixel_values"], expected, atol=1e-5)


def test_the_recipe_of_the_page_is_valid() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    recipe = parse_recipe({"dataset": "data", **yaml.safe_load(text)})
    assert chosen_formats(recipe.emit) == ["webdataset", "parquet", "pairs", "florence2"]


@pytest.mark.usefixtures("page")
def test_boxes_for_paligemma_parse_back(release: Release, tmp_path: Path) -> None:
    importlib.import_module("to_paligemma")
    lines = [json.loads(line) for line in (tmp_path / "paligemma.jsonl").read_text(encoding="utf-8").splitlines()]
    objects = {image_id(data): objects_of(item) for shard in shards() for data, item in shard}
    expected = {name: found for name, found in objects.items() if found}
    assert len(lines) == len(expected) == 4
    for line in lines:
        with (release.folder / line["tar"]).open("rb") as tar:
            tar.seek(line["offset"])
            data = tar.read(line["length"])
        regions = expected.pop(image_id(data))
        header = probe(data)
        found = paligemma_boxes(line["suffix"], header.width, header.height)
        labels = {label for label, _ in regions}
        assert line["prefix"] == "detect " + " ; ".join(sorted(labels))
        assert [label for label, _ in found] == [label for label, _ in regions]
        steps = np.array([header.width, header.height] * 2) / 1024
        for (_, read), (_, box) in zip(found, regions, strict=True):
            assert (np.abs(np.array(read) - box) <= steps + 1e-9).all()


def objects_of(item: Row) -> list[tuple[str, tuple[float, ...]]]:
    """(label, box) of each object of an image."""
    corners = ("x1", "y1", "x2", "y2")
    return [
        (region["label"], tuple(region[corner] for corner in corners))
        for region in item.get("regions", [])
        if region["kind"] == "object"
    ]


def paligemma_boxes(suffix: str, width: int, height: int) -> list[tuple[str, tuple[float, ...]]]:
    """(label, box) of each answer: y before x, in steps of 1/1024. supervision must read the same, if installed."""
    found = []
    for answer in suffix.split(" ; "):
        match = re.fullmatch(r"((?:<loc\d{4}>){4}) (.+)", answer)
        assert match
        y1, x1, y2, x2 = (int(digits) / 1024 for digits in re.findall(r"\d{4}", match[1]))
        found.append((match[2], (x1 * width, y1 * height, x2 * width, y2 * height)))
    if importlib.util.find_spec("supervision"):
        from supervision.detection.vlm import from_paligemma

        boxes, _, labels = from_paligemma(suffix, (width, height))
        assert [(label, tuple(box)) for label, box in zip(labels.tolist(), boxes.tolist(), strict=True)] == found
    return found
