"""Runs inputs that once failed, each in a copy, and checks that the engine does what their `case.md` asks for.

    python -m benchmarks.cases [NN ...] [--runner local|ray|both] [--data FOLDER]

The folders are in ../shared/data/cases beside this checkout (or $FLD_SHARED_DATA/cases); missing ones are skipped and
reported. After every command the account must add up, and no command may hang, crash or print a traceback. Exits 1 if
anything is wrong. benchmarks/case_checks.py defines what each case must give.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.case_checks import CHECKS
from benchmarks.case_trial import Trial

FOLDER = Path(os.environ.get("FLD_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")) / "cases"


def copy_of(case: Path, scratch: Path) -> Path:
    """A writable copy, in whose text files FOLDER is replaced by the path of the copy."""
    target = scratch / case.name
    shutil.copytree(case, target)
    for path in [target, *target.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o700 if path.is_dir() else 0o600))
        if path.is_file() and b"FOLDER" in (data := path.read_bytes()):
            path.write_bytes(data.replace(b"FOLDER", str(target).encode()))
    return target


def attempt(case: Path, runner: str) -> list[str]:
    """A sentence for each fault."""
    with tempfile.TemporaryDirectory(prefix="case-") as scratch:
        trial = Trial(copy_of(case, Path(scratch)), runner)
        try:
            CHECKS[case.name[:2]](trial)
        except Exception as error:  # noqa: BLE001 a check that stumbles over what it found is a finding too
            trial.wrong.append(f"the check ended with {type(error).__name__}: {error}")
        for path in Path(scratch).rglob("*"):
            if path.is_dir():
                path.chmod(0o700)  # case 19 removes permissions
        return trial.wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cases", nargs="*", metavar="NN", help="the first two digits of a folder; default: all")
    options.add_argument("--runner", choices=("local", "ray", "both"), default="both")
    options.add_argument("--data", type=Path, default=FOLDER, help="folder of the cases")
    given = options.parse_args()
    found = {path.name[:2]: path for path in sorted(given.data.glob("[0-9]*")) if path.is_dir()}
    failed = 0
    print(f"{'case':<44}{'runner':<8}{'s':>5}  outcome")
    for number in given.cases or sorted({*CHECKS, *found}):
        if number not in found or number not in CHECKS:
            print(f"{number:<44}{'-':<8}{'':>5}  skipped: {'no check' if number in found else 'not there'}")
            continue
        for runner in ("local", "ray") if given.runner == "both" else (given.runner,):
            started = time.monotonic()
            wrong = attempt(found[number], runner)
            failed += bool(wrong)
            seconds = time.monotonic() - started
            print(f"{found[number].name:<44}{runner:<8}{seconds:>5.0f}  {'; '.join(wrong) or 'right'}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
