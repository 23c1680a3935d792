"""Which checkpoint is loaded: folders and their files, hub ids and their commits."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def test_a_hub_out_of_reach_leaves_the_cached_commit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    put_ref(cache, "main", COMMIT)
    assert Checkpoint("owner/model").resolved == {"revision": COMMIT}
    with pytest.raises(ConfigError, match=r"no known revision 'v3': the hub cannot be reached \(ConnectError\)"):
        _ = Checkpoint("owner/model", "v3").resolved


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub on loopback that has one model, with the branch main."""
    from huggingface_hub import constants

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.startswith("/api/models/owner/model/revision/main")
            body = json.dumps({"id": "owner/model", "sha": "c" * 40} if known else {"error": "not found"}).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("hub")
def test_the_commit_of_the_hub_counts_more_than_that_of_the_cache(cache: Path) -> None:
    put_ref(cache, "main", COMMIT)
    assert Checkpoint("owner/model").resolved == {"revision": "c" * 40}


@pytest.mark.usefixtures("hub")
def test_a_revision_that_the_hub_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="no known revision 'v4': the hub answers 404"):
        _ = Checkpoint("owner/model", "v4").resolved


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
    expected = "cannot be loaded as AutoModelForObjectDetection: it holds Bart, a model of another kind; give a"
    with pytest.raises(StartError, match=expected):
        Checkpoint(str(tmp_path)).load(AutoModelForObjectDetection)


def test_a_worker_without_a_gpu_runs_on_the_cpu() -> None:
    assert device_of(0) == "cpu"
