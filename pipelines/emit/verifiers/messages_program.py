"""Reads JSONL files of messages with `datasets` and TRL, in another process, and counts their rows.

Trainers read JSONL with `datasets`, which takes the types of the columns from the first lines and refuses later lines
with other types. A process of its own is needed because `datasets` decides on import where its cache is and whether it
may use the network. The program imports nothing of the engine, so that it reads what any other user would read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

Answer = dict[str, int | str]  # {"rows": number}, {"missing": package} or {"error": text}
Answers = dict[str, Answer]  # by package


def read_jsonl(wanted: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> dict[str, Answers]:
    """Runs the program once for all formats, because importing TRL takes seconds.

    `wanted`: {format: (its files, the packages that read them)}. Returns, for each format and package, the number of
    rows in all files, or why the package cannot read them.
    """
    with tempfile.TemporaryDirectory(prefix="verify-jsonl-") as cache:
        environment = os.environ | {"HF_HOME": cache, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        # -P, because this folder has files named like the libraries (datasets.py), which Python would import.
        command = [sys.executable, "-P", __file__, json.dumps(wanted)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        answers: dict[str, Answers] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last_line = (done.stderr.splitlines() or [""])[-1]
        failed: Answer = {"error": f"it ended with exit code {done.returncode}: {last_line}"}
        return {form: dict.fromkeys(packages, failed) for form, (_, packages) in wanted.items()}
    return answers


def main(wanted: str) -> None:
    """The program: prints the answers that `read_jsonl` returns as one line of JSON."""
    answers = {
        form: {package: _answer(package, paths) for package in packages}
        for form, (paths, packages) in json.loads(wanted).items()
    }
    print(json.dumps(answers))


def _answer(package: str, paths: Sequence[str]) -> Answer:
    try:
        return {"rows": sum(_READERS[package](path) for path in paths)}
    except ImportError as error:
        return {"missing": error.name or str(error)}
    except Exception as error:  # noqa: BLE001  # a foreign loader raises anything
        cause = error.__cause__ or error
        return {"error": f"{type(cause).__name__}: {cause}"}


def _by_datasets(path: str) -> int:
    return len(_loaded(path))


def _by_trl(path: str) -> int:
    """The number of rows that TRL turns to messages with one image before the question."""
    from trl.data_utils import prepare_multimodal_messages

    count = 0
    for row in _loaded(path):
        bare = [turn | {"content": turn["content"].removeprefix("<image>")} for turn in row["messages"]]
        user, assistant = prepare_multimodal_messages(bare, images=row["images"])
        kinds = [[part["type"] for part in turn["content"]] for turn in (user, assistant)]
        if kinds != [["image", "text"], ["text"]]:
            raise ValueError(f"row {count + 1} becomes messages of {kinds}")
        count += 1
    return count


def _loaded(path: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset("json", data_files=path, split="train")


_READERS = {"datasets": _by_datasets, "trl": _by_trl}

if __name__ == "__main__":
    main(*sys.argv[1:])
