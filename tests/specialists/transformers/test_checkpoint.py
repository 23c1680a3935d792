"""Which checkpoint is loaded: folders and their files, hub ids and their commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigError, StartError
from specialists.transformers.checkpoint import Checkpoint, device_of

COMMIT = "a" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which cannot be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put_ref(cache: Path, name: str, commit: str) -> None:
    folder = cache / "models--owner--model" / "refs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(commit, encoding="utf-8")


def test_without_the_hub_a_branch_is_the_cached_commit(cache: Path) -> None:
    put_ref(cache, "main", COMMIT)
    assert Checkpoint("owner/model").resolved == {"revision": COMMIT}


def test_a_run_uses_one_commit_although_the_branch_moves(cache: Path) -> None:
    put_ref(cache, "main", COMMIT)
    first = Checkpoint("owner/model").resolved
    put_ref(cache, "main", "b" * 40)
    assert Checkpoint("owner/model").resolved == first


def test_a_commit_is_taken_as_given(cache: Path) -> None:
    assert Checkpoint("owner/model", COMMIT).resolved == {"revision": COMMIT}


def test_an_unknown_revision_is_refused(cache: Path) -> None:
    put_ref(cache, "main", COMMIT)
    with pytest.raises(ConfigError, match=r"'owner/model' has no known revision 'v2': HF_HUB_OFFLINE is set, and"):
        _ = Checkpoint("owner/model", "v2").resolved


def test_a_folder_names_its_weights_and_settings(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json", "notes.md", "training.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    checkpoint = Checkpoint(str(tmp_path))
    assert [Path(path).name for path in checkpoint.weights] == ["config.json", "model.safetensors"]
    assert checkpoint.resolved == {}


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="holds no safetensors"):
        _ = Checkpoint(str(tmp_path)).weights


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="is a folder, but has the revision 'v1'"):
        _ = Checkpoint(str(tmp_path), "v1").weights


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "one", "a/b/c"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="No checkpoint at"):
        _ = Checkpoint(name).weights


def test_a_checkpoint_of_another_kind_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    from transformers import AutoModelForObjectDetection

    (tmp_path / "config.json").write_text('{"model_type": "bart"}', encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(StartError, match="cannot be loaded as AutoModelForObjectDetection"):
        Checkpoint(str(tmp_path)).load(AutoModelForObjectDetection)


def test_a_worker_without_a_gpu_runs_on_the_cpu() -> None:
    assert device_of(0) == "cpu"
