"""Runs the experiments that are not done, then writes their tables and the plot into docs/experiments.md.

make experiments                                     (at most two hours on two cores; resumes if it was stopped)
python -m benchmarks.experiments [NAME ..] [--list] [--again] [--jobs 2] [--out data/experiments]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.experiments.ablations import ABLATIONS
from benchmarks.experiments.book import Book, perform
from benchmarks.experiments.report import write
from benchmarks.experiments.rounds import ROUNDS
from benchmarks.experiments.texts import TEXTS

EXPERIMENTS = {one.name: one for one in (*ROUNDS, *TEXTS, *ABLATIONS)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of experiments; default: all")
    parser.add_argument("--out", type=Path, default=Path("data/experiments"), help="folder for data sets and models")
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time, one thread each")
    parser.add_argument("--list", action="store_true", help="list the experiments")
    parser.add_argument("--again", action="store_true", help="run finished experiments again too")
    parser.add_argument("--alone", help=argparse.SUPPRESS)  # one of them, in this process
    options = parser.parse_args()
    if options.alone:
        _one_thread()
        perform(EXPERIMENTS[options.alone], options.out)
        return 0
    for name in options.names:
        if name not in EXPERIMENTS:
            parser.error(f"unknown experiment '{name}': expected one of {', '.join(EXPERIMENTS)}")
    chosen = [EXPERIMENTS[name] for name in options.names or EXPERIMENTS]
    if options.list:
        for one in chosen:
            print(f"{one.name:<20} {'done' if one.done else '-':<6}{one.asks}")
        return 0
    if options.again:
        for one in chosen:
            one.file.unlink(missing_ok=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    failed = Book(chosen, options.out.absolute(), options.jobs).run()
    write(list(EXPERIMENTS.values()))
    print(f"{len(chosen) - len(failed)} of {len(chosen)} are done; the tables are in docs/experiments.md")
    return 1 if failed else 0


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped; run the same command to resume", file=sys.stderr)
        sys.exit(130)
