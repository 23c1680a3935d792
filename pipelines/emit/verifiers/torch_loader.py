"""Checks that a DataLoader of torch with two workers gives every sample of the tars once.

The check runs in another process (torch_program.py), because importing torch and starting workers would change this
one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from engine.extras import how_to_install
from engine.reading.release_manifest import Manifest, formats_of, shard_file
from pipelines.emit.verifiers.check import Check, one_line

PROGRAM = Path(__file__).with_name("torch_program.py")


def torch_checks(folder: Path, manifest: Manifest) -> list[Check]:
    """No check if the release has no tars. It is skipped, by name, where torch is not installed."""
    if "webdataset" not in formats_of(manifest) or not manifest["counts"].get("images"):
        return []
    check = Check("torch's DataLoader with 2 workers gives every sample once")
    names = [file["name"] for file in manifest["files"]]
    tars = [name for name in names if (match := shard_file(name)) and match["suffix"] == "tar"]
    answer = ask(folder, tars)
    if "missing" in answer:
        check.skipped.append(f"{answer['missing']} is not installed: {how_to_install(str(answer['missing']))}")
    elif "error" in answer:
        check.faults.append(one_line(answer["error"]))
    elif (answer["samples"], answer["distinct"]) != (images := manifest["counts"]["images"], images):
        check.faults.append(f"{answer['samples']} samples, {answer['distinct']} distinct, the manifest has {images}")
    else:
        check.detail = f"{answer['samples']} samples"
    return [check]


def ask(folder: Path, tars: list[str]) -> dict[str, int | str]:
    """Runs the program. Its answer: {"samples": n, "distinct": n}, {"missing": package} or {"error": text}."""
    command = [sys.executable, "-P", str(PROGRAM), *(str(folder / name) for name in tars)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, int | str] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last_line = (done.stderr.splitlines() or [""])[-1]
        return {"error": f"the program ended with exit code {done.returncode}: {last_line}"}
    return answer
