"""What several folders of tests share, made once a session: a small private Ray cluster, the data set of the demo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).parents[1] / "pipelines" / "recipes" / "quickstart.yaml"


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Four logical CPUs, one logical GPU."""
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker died or was killed")
    import ray

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        num_cpus=4,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=128 * 2**20,
        _system_config={"prestart_worker_first_driver": False},  # workers that no test uses
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set that `make demo` makes. Tests only read it."""
    from pipelines.recipe import load_recipe
    from pipelines.stages import run as stages

    folder = tmp_path_factory.mktemp("quickstart")
    stages.run(load_recipe(QUICKSTART, [f"dataset={folder}"]), runner="inline")
    return folder
