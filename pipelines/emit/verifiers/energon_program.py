"""Makes Energon's index of a release and reads every sample. `ask` runs this file in another process.

A process of its own is needed because `energon prepare` ends the process on some errors, changes how processes are
started and prints to the terminal. The program imports nothing of the engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

_DIGITS = 1 << 256
_LISTED = 3


class Part(TypedDict):
    """What was read of one part. `digest`: of the keys, in any order. `faults`: the first of them, as sentences."""

    samples: int
    digest: int
    faults: list[str]


class Answer(TypedDict):
    """`error`: why the parts could not be read; '' if they could."""

    parts: dict[str, Part]
    error: str


def ask(folder: Path, parts: Sequence[str]) -> Answer:
    """Runs the program. `folder`: a release or links to its files. The index is written there. `parts`: to read."""
    command = [sys.executable, "-P", __file__, str(folder), *parts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer: Answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last_line = (done.stderr.splitlines() or [""])[-1]
        return {"parts": {}, "error": f"it ended with exit code {done.returncode}: {last_line}"}
    return answer


def digest(keys: Sequence[str]) -> int:
    """A number for a set of keys, which does not depend on their order. That of two sets is the sum of theirs."""
    return sum(int.from_bytes(hashlib.sha256(key.encode()).digest()) for key in keys) % _DIGITS


def main(folder: str, *parts: str) -> None:
    """The program: prints the answer that `ask` returns as one line of json."""
    answer: Answer = {"parts": {}, "error": ""}
    with contextlib.redirect_stdout(sys.stderr):
        try:
            _prepare(folder)
            answer["parts"] = {part: _read(folder, part) for part in parts}
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a foreign reader raises anything
            answer["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(answer))


def _prepare(folder: str) -> None:
    from megatron.energon.tools.prepare import command

    command.main(["--tar-index-only", "--no-progress", "--num-workers", "1", folder], standalone_mode=False)


def _read(folder: str, part: str) -> Part:
    from megatron.energon import Cooker, DefaultTaskEncoder, WorkerConfig, get_loader, get_val_dataset, stateless

    # Without a decoder, samples keep the bytes of their members.
    encoder = type("Encoder", (DefaultTaskEncoder,), {"cookers": [Cooker(stateless(_whole))], "decoder": None})
    workers = WorkerConfig(rank=0, world_size=1, num_workers=0)
    dataset = get_val_dataset(folder, split_part=part, worker_config=workers, batch_size=None, task_encoder=encoder())
    found: Part = {"samples": 0, "digest": 0, "faults": []}
    for sample in get_loader(dataset):
        found["samples"] += 1
        found["digest"] = (found["digest"] + digest([sample["__key__"]])) % _DIGITS
        fault = _fault(sample)
        if fault and len(found["faults"]) < _LISTED:
            found["faults"].append(f"{sample['__key__']} {fault}")
    return found


def _whole(sample: Any) -> Any:
    """A cooker that takes a sample as it is."""
    return sample


def _fault(sample: Any) -> str:
    """What is wrong with a sample; '' if nothing is. Its key is the first half of the digest of its image."""
    members = [name for name in sample if not name.startswith("__")]
    images = [name for name in members if name != "json"]
    if len(images) != 1 or "json" not in members:
        return f"has the members {', '.join(members)}, not one image and its json"
    if json.loads(sample["json"])["image_id"] != sample["__key__"]:
        return "has the json of another image"
    if hashlib.sha256(sample[images[0]]).hexdigest()[:32] != sample["__key__"]:
        return "has the bytes of another image"
    return ""


if __name__ == "__main__":
    main(*sys.argv[1:])
