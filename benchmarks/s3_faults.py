"""Runs on a misbehaving object store and on a local disk must give the same files, byte for byte.

    python -m benchmarks.s3_faults [--runs 2] [--seed 0] [--share 0.05] [--ray]

Each run writes to its own store (benchmarks/faulty_s3.py), with faults drawn by seed: slow answers, bursts of 500 and
503, resets, lost responses of conditional puts that succeeded. Exits 1 on any difference, failed run or traceback.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.commands import command
from benchmarks.faulty_s3 import Faults, faulty_s3
from benchmarks.kills import differences, recipe

LONGEST = 500.0  # seconds of a run


def remote_contents(environment: dict[str, str]) -> dict[str, str]:
    """{name: sha256} of every object of the data set outside of runs/, read without the proxy."""
    import s3fs

    keys = {"key": environment["AWS_ACCESS_KEY_ID"], "secret": environment["AWS_SECRET_ACCESS_KEY"]}
    fs = s3fs.S3FileSystem(**keys, endpoint_url=environment["AWS_ENDPOINT_URL"], skip_instance_cache=True)
    files = {name.removeprefix("sets/ds/"): name for name in fs.find("sets/ds")}
    return {name: _digest(name, fs.cat_file(path)) for name, path in files.items() if not name.startswith("runs/")}


def local_contents(dataset: Path) -> dict[str, str]:
    files = {str(path.relative_to(dataset)): path for path in dataset.rglob("*") if path.is_file()}
    return {name: _digest(name, path.read_bytes()) for name, path in files.items() if not name.startswith("runs/")}


def _digest(name: str, data: bytes) -> str:
    """sha256 of the bytes; for a manifest without the URL of the data set."""
    if name.endswith("/manifest.json"):
        manifest = json.loads(data)
        manifest.pop("digest", None)
        manifest["recipe"].pop("dataset")
        data = json.dumps(manifest).encode()
    return hashlib.sha256(data).hexdigest()


def attempt(folder: Path, right: dict[str, str], faults: Faults, runner: str) -> list[str]:
    """One run on its own store. Returns a sentence for each fault."""
    with faulty_s3(faults) as (through, past):
        place = ("-c", "recipe.yaml", "--set", "dataset=s3://sets/ds")
        done = command("run", "--runner", runner, *place, cwd=folder, env=through, hangs_after=LONGEST)
        wrong = done.faults()
        if done.code:
            wrong.append(f"exit code {done.code}: {done.sentence}")
        wrong += differences(right, remote_contents(past))
        status = command("status", "-d", "s3://sets/ds", cwd=folder, env=past, hangs_after=LONGEST)
        if status.code:
            wrong.append(f"status: {status.text[:300]}")
        return wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=2)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--share", type=float, default=0.05, help="of requests that begin a fault")
    options.add_argument("--ray", action="store_true", help="on Ray, not in the run's own process")
    given = options.parse_args()
    failed = 0
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="s3-") as temporary:
        folder = Path(temporary)
        data = recipe(rounds=0)
        data["ingest"]["pack"] = True
        (folder / "recipe.yaml").write_text(json.dumps(data))
        local = command("run", "--runner", "inline", cwd=folder, hangs_after=LONGEST)
        if local.code:
            raise SystemExit(f"The local run failed: {local.text[-500:]}")
        right = local_contents(folder / "ds")
        for number in range(given.runs):
            faults, started = Faults(given.seed + number, share=given.share), time.monotonic()
            wrong = attempt(folder, right, faults, "ray" if given.ray else "local")
            failed += bool(wrong)
            seconds, counts = time.monotonic() - started, ", ".join(f"{n} {what}" for what, n in faults.counts.items())
            outcome = "; ".join(wrong)[:1500] or f"{len(right)} files the same"
            print(f"seed {faults.seed}: {outcome} ({seconds:.0f} s; {counts})", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
