"""What each case in ../shared/data/cases must give: exit code, message, and state afterwards. See benchmarks/cases.py.

Each check adds sentences to `wrong`. Messages of the engine are compared by their key words, not letter by letter.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.case_trial import Trial


def _one_path(trial: Trial) -> None:
    trial.run()
    trial.inputs(kept=2, quarantined=1)
    shutil.copy(trial.folder / "list-repaired.txt", trial.folder / "list.txt")
    trial.run()
    parts = trial.account()[1]
    trial.same("kept and pending after the repair", (parts.get("kept"), parts.get("pending")), (2, 0))


def _corrected_labels(trial: Trial) -> None:
    trial.run()
    trial.regions(8)
    shutil.copy(trial.folder / "inst-corrected.json", trial.folder / "inst.json")
    trial.run("--set", "emit.name=v2")
    found = [(r["uri"].rsplit("/", 1)[-1], r["label"], r["x1"], r["y1"]) for r in trial.regions(7)]
    right = [("astronaut.jpg", "cat", 25.0, 20.0), ("astronaut.jpg", "cat", 50.0, 40.0)]
    right += [("chelsea.jpg", "cat", 20.0, 20.0), ("chelsea.jpg", "dog", 50.0, 40.0)]
    right += [("coffee.jpg", "cat", 20.0, 20.0), ("coffee.jpg", "dog", 50.0, 40.0), ("rocket.jpg", "cat", 20.0, 20.0)]
    trial.same("labels", found, right)
    parts = trial.account()[1]
    trial.same("kept and duplicates", (parts.get("kept"), parts.get("duplicates")), (4, 0))


def _files_of_one_name(trial: Trial) -> None:
    trial.run()
    done = trial.engine("eval", "--truth", "inst.json")
    trial.expect_output(done, r"\b4 images\b", r"\bAP\b.*1\.000")
    trial.inputs(kept=4)


def _audit_list(trial: Trial) -> None:
    trial.run()
    held = trial.query("SELECT count(*) AS n FROM images WHERE split LIKE 'audit%' AND uri LIKE '%chelsea%'")
    trial.same("chelsea.jpg kept apart", held, [{"n": 1}])
    trial.inputs(kept=4)
    trial.dataset = "ds2"
    done = trial.run("--set", "ingest.audit.list=audit-typo.txt", "--set", "dataset=ds2", code=2)
    trial.expect_output(done, r"chelsea\.jpeg")
    trial.nothing_placed()
    trial.dataset = "ds3"
    done = trial.run("--set", "ingest.audit.list=audit-utf16.txt", "--set", "dataset=ds3", code=None)
    if done.code == 0:
        held = trial.query("SELECT count(*) AS n FROM images WHERE split LIKE 'audit%'")
        trial.same("images kept apart by a list in UTF-16", held, [{"n": 1}])


def _of_no_image(trial: Trial) -> None:
    done = trial.run(code=2)
    trial.expect_output(done, r"8 of (its )?8 annotations", r"inst\.json")
    trial.nothing_placed()


def _one_id(trial: Trial) -> None:
    done = trial.run(code=2)
    trial.expect_output(done, r"inst\.json", r"id 1\b|id '?1'?", r"astronaut\.jpg", r"chelsea\.jpg")
    trial.nothing_placed()


def _nan_polygon(trial: Trial) -> None:
    trial.memory = 6_000_000 * 1024 if trial.runner == "local" else 0  # Ray reserves more than it takes
    done = trial.run()
    trial.expect_output(done, r"\bmask\b")
    trial.same("masks", sum(bool(r["rle"]) for r in trial.regions(8)), 7)
    trial.expect_output(trial.inputs(kept=4), r"\bmask\b")


def _null_caption(trial: Trial) -> None:
    done = trial.run()
    trial.expect_output(done, r"left out: 1 x a caption that is no text, 1 x an empty caption")
    target = "SELECT target FROM read_parquet('ds/releases/v1/pairs-*.parquet') WHERE task = '<CAPTION>'"
    trial.same("captions", trial.query(target), [{"target": "a cat"}])
    trial.expect_output(trial.inputs(kept=4), r"caption")


def _tar_loses(trial: Trial) -> None:
    for name, count in (("dotted", 3), ("twice", 2), ("concatenated", 2)):
        trial.dataset = f"ds-{name}"
        trial.run("--set", f"ingest.sources.0.webdataset={name}.tar", "--set", f"dataset={trial.dataset}")
        kept = trial.query("SELECT count(*) AS n FROM images WHERE kept")
        kept_count = int(kept[0]["n"]) if kept else 0
        if kept_count < 1:
            trial.wrong.append(f"{name}.tar: no photo is kept")
        else:
            trial.inputs(kept=kept_count, **({"quarantined": count - kept_count} if kept_count < count else {}))


def _left_out(trial: Trial) -> None:
    done = trial.run()
    trial.expect_output(done, r"\b1\b[^.;,]*\bbox", r"\bmasks?\b")
    trial.expect_output(trial.inputs(kept=4), r"\bbox", r"\bmasks?\b")
    trial.regions(7)


def _rle_size(trial: Trial) -> None:
    done = trial.run()
    from engine.records import masks

    for row in trial.regions(8):
        if row["rle"]:
            x1, y1, x2, y2 = _bounds(masks.decode(row["rle"], width=row["width"], height=row["height"]))
            trial.same(f"mask on {row['uri'][-14:]}", [x1, y1, x2, y2], [row["x1"], row["y1"], row["x2"], row["y2"]])
        else:
            trial.expect_output(done, r"\b6\b[^.;]*\bmasks?\b")
    trial.inputs(kept=4)


def _bounds(mask: Any) -> list[float]:
    import numpy as np

    ys, xs = np.nonzero(mask)
    return [float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)]


def _both_frames(trial: Trial) -> None:
    done = trial.run()
    upright = [[r["x1"], r["y1"], r["x2"], r["y2"]] for r in trial.regions(3)] == [[10.0, 10.0, 60.0, 50.0]] * 3
    if not upright or "frame" in done.text:  # either frame may be taken, but an uncertain choice must be reported
        trial.expect_output(done, r"\b3\b.*(frame|EXIF)", r"upright", r"stored")
    trial.run("--set", "ingest.sources.0.coco.frame=upright", "--set", "dataset=ds-upright", "--set", "emit.name=v1")
    trial.dataset = "ds-upright"
    boxes = [[r["x1"], r["y1"], r["x2"], r["y2"]] for r in trial.regions(3)]
    trial.same("boxes with frame: upright", boxes, [[10.0, 10.0, 60.0, 50.0]] * 3)
    trial.inputs(kept=3)


def _file_uri(trial: Trial) -> None:
    trial.run()
    trial.inputs(kept=2)
    (trial.folder / "list.txt").write_bytes(b"photos/coffee.jpg\nphotos/a\0b.jpg\nhttp://[::1/x.jpg\n")
    trial.dataset = "ds2"
    trial.run("--set", "dataset=ds2")
    trial.inputs(kept=1, quarantined=2)


def _dripping(trial: Trial) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("server.py", "list.txt"):
        path = trial.folder / name
        path.write_text(path.read_text().replace("18767", str(port)))
    server = subprocess.Popen([sys.executable, "server.py"], cwd=trial.folder, stdout=subprocess.DEVNULL)
    try:
        time.sleep(2)
        done = trial.run()
        if done.seconds > 75:
            trial.wrong.append(f"took {done.seconds:.0f} s; a host has 30 s")
        trial.inputs(kept=4, quarantined=1)
    finally:
        server.kill()
        server.wait()


def _exclude(trial: Trial) -> None:
    subprocess.run(["sh", "setup.sh"], cwd=trial.folder, check=True)
    if os.geteuid() == 0:
        lost = "-dac_override,-dac_read_search"
        trial.before = ("setpriv", f"--bounding-set={lost}", f"--inh-caps={lost}")
    trial.run()
    trial.inputs(kept=4)
    trial.dataset = "ds2"
    trial.run("--set", "dataset=ds2", "--set", "ingest.sources.0.exclude=[]")
    trial.inputs(kept=4, quarantined=1)


def _coco_tracebacks(trial: Trial) -> None:
    done = trial.run(code=None)
    if done.code == 0:
        trial.expect_output(done, r"\bbox")
        trial.regions(7)
        trial.expect_output(trial.inputs(kept=4), r"\bbox")
    else:
        trial.expect_output(done, r"inst\.json", r"annotation.*\b1\b", r"bbox")
    for number, (path, value) in enumerate(_ODD if trial.runner == "local" else ()):
        trial.dataset = f"ds-{number}"
        _write_odd(trial.folder / "inst.json", path, value)
        done = trial.run("--set", f"dataset={trial.dataset}", code=None)
        if done.code not in (0, 2):
            trial.wrong.append(f"{path} = {value!r}: exit code {done.code}: {done.sentence}")
        elif done.code:
            trial.expect_output(done, r"inst\.json")
        elif not trial.account()[1]:
            trial.wrong.append(f"{path} = {value!r}: no account")


# {path in a COCO json: an odd value}, tried one by one.
_ODD: tuple[tuple[tuple[str | int, ...], Any], ...] = (
    (("annotations", 0, "bbox"), [None, 1, 2, 3]),
    (("annotations", 0, "bbox"), {"x": 1, "y": 2, "w": 3, "h": 4}),
    (("annotations", 0, "image_id"), [1]),
    (("annotations", 0, "category_id"), [1]),
    (("annotations", 0), None),
    (("categories", 0), {"id": 1}),
    (("categories",), ["cat", "dog"]),
    (("images", 0, "width"), "512.0"),
    (("images", 0, "width"), 10**12),
    (("images", 0, "license"), [1]),
    (("licenses",), ["MIT"]),
    (("licenses",), {"id": 1, "name": "MIT"}),
    (("images",), None),
)


def _write_odd(path: Path, place: tuple[str | int, ...], value: Any) -> None:
    first = path.with_suffix(".first")
    if not first.exists():
        shutil.copy(path, first)
    data: Any = json.loads(first.read_text())
    data["annotations"][0]["bbox"] = data["annotations"][0]["bbox"] or [20, 20, 80, 60]
    inside = data
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    path.write_text(json.dumps(data))


def _key_twice(trial: Trial) -> None:
    done = trial.run(code=2)
    trial.expect_output(done, r"recipe\.yaml", r"'filter' twice", r"\b4\b.*\b6\b")
    trial.nothing_placed()


def _duplicate_of_nothing(trial: Trial) -> None:
    done = trial.run()
    trial.expect_output(done, r"release releases/v1: 3 images")
    trial.inputs(kept=3)


def _heic(trial: Trial) -> None:
    trial.run(code=1)
    errors = " ".join(str(r["error"]) for r in trial.query("SELECT uri, error FROM failures"))
    for word in ("HEIC", "JPEG XL|JXL", "convert", "git lfs pull"):
        if not re.search(word, errors):
            trial.wrong.append(f"no failure has /{word}/: {errors[:300]}")
    trial.inputs(quarantined=4)
    if (trial.folder / "ds/releases/v1/manifest.json").exists():
        trial.wrong.append("a release of no image took the name v1")
    from tests.runs import draw_photos

    draw_photos(trial.folder / "photos", 24)  # so that four failures stay below run.max_failed_share
    done = trial.run()
    trial.expect_output(done, r"release releases/v1: 24 images")


CHECKS: dict[str, Callable[[Trial], None]] = {
    "01": _one_path,
    "02": _corrected_labels,
    "03": _files_of_one_name,
    "04": _audit_list,
    "05": _of_no_image,
    "06": _one_id,
    "07": _nan_polygon,
    "08": _null_caption,
    "09": _tar_loses,
    "10": _left_out,
    "11": _rle_size,
    "13": _both_frames,
    "16": _file_uri,
    "18": _dripping,
    "19": _exclude,
    "20": _coco_tracebacks,
    "22": _key_twice,
    "23": _duplicate_of_nothing,
    "24": _heic,
}
