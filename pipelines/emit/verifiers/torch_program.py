"""Reads tars with webdataset in a DataLoader of torch with two workers, and counts the samples.

torch_loader.py runs this file in another process. It imports nothing of the engine.
"""

from __future__ import annotations

import json
import sys


def main(*tars: str) -> None:
    """Prints the answer as one line of json."""
    try:
        print(json.dumps(_count(list(tars))))
    except ImportError as error:
        print(json.dumps({"missing": error.name or str(error)}))
    except Exception as error:  # noqa: BLE001  # a foreign loader raises anything
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))


def _count(tars: list[str]) -> dict[str, int]:
    import torch
    import webdataset

    torch.set_num_threads(1)
    # A worker without a tar is no fault: a release may have a single shard.
    samples = webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).map(_key)
    keys = list(torch.utils.data.DataLoader(samples, batch_size=None, num_workers=2))
    return {"samples": len(keys), "distinct": len(set(keys))}


def _key(sample: dict[str, object]) -> object:
    return sample["__key__"]


if __name__ == "__main__":
    main(*sys.argv[1:])
