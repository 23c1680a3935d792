from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest

from engine.errors import ConfigError, StorageError
from engine.storage.open_uri import read_input
from pipelines.ingest.sources import folder as folder_source
from pipelines.ingest.sources.folder import Folder
from pipelines.ingest.sources.globs import Globs
from pipelines.ingest.sources.source import Entry
from tests.pipelines.ingest.sources.test_open import tree


def below(root: Path | str, source: Folder) -> list[str]:
    return [entry.uri.removeprefix(f"{root}/") for entry in source.entries()]


def refuse(monkeypatch: pytest.MonkeyPatch, *refused: Path, error: OSError) -> list[str]:
    """Make os.scandir raise `error` for these folders. Returns a list that gets each folder it is called for."""
    scanned: list[str] = []
    real = os.scandir

    def scandir(path: Any) -> Any:
        scanned.append(str(path))
        if Path(path) in refused:
            raise error
        return real(path)

    monkeypatch.setattr(folder_source.os, "scandir", scandir)
    return scanned


@pytest.mark.parametrize(
    "exclude",
    ["lost+found", "lost+found/", "/lost+found", "lost+found/*", "lost+found/**", "**/lost+found", "./lost+*"],
)
def test_an_excluded_folder_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclude: str) -> None:
    tree(tmp_path, "a.jpg", "lost+found/b.jpg", "z/c.jpg")
    scanned = refuse(monkeypatch, tmp_path / "lost+found", error=PermissionError(13, "Permission denied"))
    source = Folder(str(tmp_path), exclude=[exclude])
    assert below(tmp_path, source) == ["a.jpg", "z/c.jpg"]
    assert f"{tmp_path}/lost+found" not in scanned
    assert source.left_out == {"a file or folder that exclude matches": 1}
    assert source.notes == []


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (
            PermissionError(13, "Permission denied"),
            "unreadable",
            "the folder cannot be listed: no permission to read it",
        ),
        (FileNotFoundError(2, "No such file"), "missing", "the folder was removed while it was listed"),
        (OSError(36, "File name too long"), "unreadable", "the folder cannot be listed: its name is too long"),
    ],
)
def test_a_folder_that_cannot_be_listed_is_one_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str, message: str
) -> None:
    tree(tmp_path, "a.jpg", "shut/b.jpg", "z/c.jpg")
    refuse(monkeypatch, tmp_path / "shut", error=error)
    entries = list(Folder(str(tmp_path), licence="CC0-1.0").entries())
    assert [entry.uri.removeprefix(f"{tmp_path}/") for entry in entries] == ["a.jpg", "shut", "z/c.jpg"]
    assert (entries[1].reason, entries[1].licence) == (reason, "CC0-1.0")
    assert message in entries[1].error


def test_a_disk_that_fails_ends_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a.jpg", "b/c.jpg")
    refuse(monkeypatch, tmp_path / "b", error=OSError(5, "Input/output error"))
    with pytest.raises(StorageError, match="Input/output error"):
        list(Folder(str(tmp_path)).entries())


def test_a_root_that_cannot_be_listed_is_an_error_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, tmp_path, error=PermissionError(13, "Permission denied"))
    with pytest.raises(ConfigError, match=r"Cannot read the source '.*': no permission to read it; ask for the right"):
        list(Folder(str(tmp_path)).entries())


def test_folders_may_nest_deeper_than_the_recursion_limit_and_links_may_lead_back(tmp_path: Path) -> None:
    root = folder = tmp_path / "root"
    root.mkdir()
    levels = (4000 - len(str(root))) // 2
    assert levels > 1800
    here = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
        folder = folder / "d"
    os.close(here)
    try:
        (folder / "a.jpg").write_bytes(b"a")
        (folder / "up").symlink_to(root)
        (folder / "side").symlink_to(tmp_path)
        entries = list(Folder(str(root)).entries())
    finally:  # pytest's own removal recurses
        for name in ("a.jpg", "up", "side"):
            (folder / name).unlink()
        while folder != root:
            folder.rmdir()
            folder = folder.parent
    assert [entry.uri.rsplit("/d/", 1)[1] for entry in entries] == ["a.jpg"]


def test_names_that_are_not_unicode_are_inputs_with_a_reason(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    bad = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(bad)).write_bytes(b"b")
    good, other = Folder(str(tmp_path)).entries()
    assert (good.reason, other.reason, other.uri) == ("", "name_not_utf8", f"{tmp_path}/caf\\xe9.jpg")


def test_everything_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", ".b.jpg", ".git/c.jpg", "d.txt", "e/f.png", "thumbs/g.jpg")
    os.mkfifo(tmp_path / "h.jpg")
    source = Folder(str(tmp_path), include=["*.jpg", "*.gif"], exclude=["thumbs", ".git", "*.bmp"])
    assert below(tmp_path, source) == ["a.jpg"]
    assert source.left_out == {
        "a hidden file or folder": 2,
        "a file or folder that exclude matches": 1,
        "a file that include does not match": 2,
        "a pipe, socket or device": 1,
    }
    assert source.notes == [
        f"include: '*.gif' matches nothing in '{tmp_path}'.",
        f"exclude: '*.bmp' matches nothing in '{tmp_path}'.",
    ]


@pytest.mark.parametrize(
    ("globs", "matched"),
    [
        (["*"], ["a.jpg", "s", "s/b.jpg", "s/t", "s/t/c.png"]),
        (["*.jpg"], ["a.jpg", "s/b.jpg"]),
        (["b.jpg"], ["s/b.jpg"]),
        (["/b.jpg"], []),
        (["s/*.jpg"], ["s/b.jpg"]),
        (["s/**/c.png"], ["s/t/c.png"]),
        (["**/t"], ["s/t"]),
        (["s/**/t"], ["s/t"]),
        (["t/"], ["s/t"]),
        (["s/*"], ["s", "s/b.jpg", "s/t", "s/t/c.png"]),
        (["b.jpg/"], []),
        (["[ab].jpg", "*.png"], ["a.jpg", "s/b.jpg", "s/t/c.png"]),
    ],
)
def test_globs_match_paths_and_names(globs: Sequence[str], matched: list[str]) -> None:
    paths = {"a.jpg": False, "s": True, "s/b.jpg": False, "s/t": True, "s/t/c.png": False}
    parsed = Globs(globs)
    found = [path for path, folder in paths.items() if parsed.match(path, path.rsplit("/", 1)[-1], is_folder=folder)]
    assert found == matched
    assert parsed.unmatched == ([] if matched else list(globs))


def test_include_of_a_folder_includes_everything_in_it(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "s/b.jpg", "s/t/c.png", "u/d.jpg")
    assert below(tmp_path, Folder(str(tmp_path), include=["s/"], exclude=["*.png"])) == ["s/b.jpg"]


# --- object stores ------------------------------------------------------------------------------


def test_a_remote_prefix_that_cannot_be_listed_is_one_input(monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    for name in ("a.jpg", "shut/b.jpg", "z/c.jpg", "skipped/d.jpg"):
        store.pipe_file(f"/prefixes/{name}", b"x")
    real = type(store).ls

    def ls(self: Any, path: str, **options: Any) -> Any:
        if path.endswith(("shut", "skipped")):
            raise PermissionError(13, "Access Denied")
        return real(self, path, **options)

    monkeypatch.setattr(type(store), "ls", ls)
    entries = list(Folder("memory://prefixes", exclude=["skipped"]).entries())
    assert [(Path(entry.uri).name, entry.reason) for entry in entries] == [
        *(("a.jpg", ""), ("shut", "unreadable"), ("c.jpg", ""))
    ]


def test_keys_that_a_folder_listing_does_not_show_are_inputs(s3: tuple[dict[str, str], Any]) -> None:
    _, fs = s3
    keys = ["p/a.jpg", "p//b.jpg", "p//c//d.jpg", "p/full/", "p/full/x.jpg", "p/a::b.jpg", "p/é ?#%41.jpg", "p/dir/"]
    for key in keys:
        fs.call_s3("put_object", Bucket="photos", Key=key, Body=b"" if key == "p/dir/" else key.encode())
    found = {entry.uri: entry for entry in Folder("s3://photos/p").entries()}
    assert sorted(found) == sorted(f"s3://photos/{key}" for key in keys[:-1])
    assert {uri: entry.reason for uri, entry in found.items() if entry.reason} == {"s3://photos/p/full/": "unreadable"}
    for entry in readable(found.values()):
        assert read_input(entry.uri) == entry.uri.removeprefix("s3://photos/").encode()
        assert entry.fingerprint


def readable(entries: Any) -> Iterator[Entry]:
    return (entry for entry in entries if not entry.reason)


def test_a_bucket_that_cannot_be_read_is_an_error_in_one_sentence(
    s3: tuple[dict[str, str], Any], monkeypatch: Any
) -> None:
    with pytest.raises(ConfigError, match="No folder 's3://no-such-bucket/p': check the path"):
        list(Folder("s3://no-such-bucket/p").entries())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    type(s3[1]).clear_instance_cache()
    with pytest.raises(ConfigError, match="there are no credentials for its bucket; set AWS_PROFILE"):
        list(Folder("s3://photos/p").entries())
