"""The images of the next shard are decoded while the current one is finished."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engine.images import decode as decoding
from engine.images.decode import image_id
from engine.running import image_items
from engine.schema import Answer, Sample
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import commits, draw_photos, failures

SHARD = 4
decoded_ahead = threading.Event()


class WaitsForTheNextShard:
    """Answers the last batch of its first shard when an image of another shard was decoded, or after 10 seconds."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version, deterministic, batch_size = 1, True, SHARD
    in_time: ClassVar[list[bool]] = []

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        self.in_time.append(decoded_ahead.wait(10))
        return [Answer() for _ in batch]


def run(tmp_path: Path, runner: str, use: str, **options: Any) -> None:
    data = {
        "dataset": str(tmp_path / "set"),
        "ingest": {"sources": [{"folder": str(tmp_path / "photos")}], "shard_size": SHARD},
        "annotate": {"node": {"use": use, **options}},
        "run": {"max_workers": 1},
    }
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    stages.run(parse_recipe(data), stage="annotate", runner=runner)


def test_the_next_shard_is_decoded_before_the_current_one_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = draw_photos(tmp_path / "photos", 2 * SHARD)

    def decode(data: bytes, *limits: Any) -> Any:
        if image_id(data) in ids[SHARD:]:
            decoded_ahead.set()
        return decoding.decode(data, *limits)

    monkeypatch.setattr(image_items, "decode", decode)
    run(tmp_path, "inline", f"{__name__}:WaitsForTheNextShard")
    assert WaitsForTheNextShard.in_time == [True, True]
    assert failures(tmp_path / "set", "node") == []


def test_an_image_that_kills_its_worker_while_it_is_decoded_ahead_fails_alone(tmp_path: Path) -> None:
    ids = draw_photos(tmp_path / "photos", 4 * SHARD)
    run(tmp_path, "local", "tests.engine.running.hostile:DecoderKills", deadly=ids[2 * SHARD + 1])
    found = failures(tmp_path / "set", "node")
    assert [(failure["image_id"], failure["reason"]) for failure in found] == [(ids[2 * SHARD + 1], "crash")]
    assert len(commits(tmp_path / "set", "node")) == 4
