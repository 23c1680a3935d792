"""Finds a checkpoint of transformers and its revision, and loads its parts.

A checkpoint is a folder or a hub id. Before the run, the driver resolves a hub id to a commit. The commit is part of
the node's key, and every worker loads that commit. Weights are safetensors; code of a checkpoint is never run.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from engine.errors import ConfigError, StartError

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors")  # the `packages` of specialists that load checkpoints
EXTRA = "models"
Dtype = Literal["float32", "bfloat16", "float16"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SETTINGS = (".json", ".txt", ".model", ".jinja")  # files beside the weights that affect the answers
_NOT_READ = ("training.json", "made.json", "model.safetensors.index.json")
_OTHER_KIND = re.compile(r"Unrecognized configuration class <class '[\w.]*?(\w+)Config'>")
_MISSING = re.compile(r"Missing optional dependencies: ([\w, -]+)\.")
_SECONDS = 10.0  # the longest wait for the hub's answer to a request for the commit


@dataclass(frozen=True)
class Checkpoint:
    """A folder or a hub id. `revision`: branch, tag or commit of a hub id; '' for the default branch."""

    name: str
    revision: str = ""

    @property
    def is_folder(self) -> bool:
        return os.path.isdir(self.name)

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The files of a folder that affect the answers; their digests are part of the key. Empty for a hub id."""
        if not self.is_folder:
            if self.name.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(self.name):
                raise ConfigError(f"No checkpoint at '{self.name}': give a folder or a hub id such as owner/name.")
            return ()
        if self.revision:
            raise ConfigError(
                f"The checkpoint '{self.name}' is a folder, but has the revision '{self.revision}': only a hub id has "
                "revisions, so leave it out."
            )
        names = sorted(os.listdir(self.name))
        if not any(name.endswith(".safetensors") for name in names):
            raise ConfigError(f"'{self.name}' holds no safetensors: give the folder of a checkpoint of transformers.")
        wanted = (n for n in names if n.endswith((".safetensors", *_SETTINGS)) and n not in _NOT_READ)
        return tuple(os.path.join(self.name, name) for name in wanted)

    @cached_property
    def resolved(self) -> Mapping[str, str]:
        """{"revision": commit} for a hub id, {} for a folder.

        The commit comes from the hub, or from the local cache if the hub does not answer. Raises ConfigError if neither
        has the revision.
        """
        if self.is_folder or self.weights:
            return {}
        return {"revision": self.revision if _COMMIT.fullmatch(self.revision) else self._commit()}

    def _commit(self) -> str:
        from huggingface_hub import constants

        return _commit_of(
            self.name, self.revision or "main", cache=constants.HF_HUB_CACHE, offline=constants.HF_HUB_OFFLINE
        )

    # --- in the worker ---------------------------------------------------------------------------

    def load(self, auto_class: Any, **given: Any) -> Any:
        """Returns `auto_class.from_pretrained` for this revision. Raises StartError with a message of one sentence if
        that fails.
        """
        from transformers.utils import logging

        logging.disable_progress_bar()
        revision = {} if self.is_folder else {"revision": self.revision or "main"}
        try:
            return auto_class.from_pretrained(self.name, trust_remote_code=False, **revision, **given)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise StartError(f"'{self.name}' cannot be loaded as {auto_class.__name__}: {_why(error)}") from error

    def load_model(
        self, auto_class: Any, *, gpus: float, dtype: Dtype, cpus: float = 1.0, compiled: bool = False
    ) -> Any:
        """The network in eval mode. It is on the GPU if the worker was granted one, otherwise on the CPU with `cpus`
        threads.
        """
        import torch

        torch.set_num_threads(max(1, int(cpus)))
        model = self.load(auto_class, dtype=getattr(torch, dtype), use_safetensors=True)
        model = model.to(device_of(gpus)).eval()
        return torch.compile(model) if compiled else model


def _why(error: Exception) -> str:
    """What transformers found, and what to do. For an error that is not known here: its first line."""
    message = str(error).strip()
    other = "give a checkpoint that the specialist names in `engine components`"
    if found := _OTHER_KIND.search(message):
        return f"it holds {found[1]}, a model of another kind; {other}."
    if "Unrecognized processing class" in message:
        return f"it holds no processor for this; {other}."
    if found := _MISSING.search(message):
        return f"that needs {found[1]}, which is not installed here; install it, or {other}."
    return message.splitlines()[0] if message else type(error).__name__


@functools.cache
def _commit_of(name: str, wanted: str, *, cache: str, offline: bool) -> str:
    """The commit of a branch or tag. It is looked up only once in a process, so that a run uses one commit
    throughout.
    """
    from httpx2 import HTTPError  # the HTTP library of huggingface_hub; its errors are not OSErrors
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    why = "HF_HUB_OFFLINE is set"
    if not offline:
        try:
            found = HfApi().model_info(name, revision=wanted, timeout=_SECONDS).sha
            if found:
                return str(found)
        except HfHubHTTPError as error:
            if error.response.status_code in (401, 403, 404):
                why = f"the hub answers {error.response.status_code}"
            else:
                why = f"the hub cannot be reached ({error})"
        except (HTTPError, OSError) as error:
            why = f"the hub cannot be reached ({type(error).__name__})"
    cached = _cached(name, wanted, cache)
    if not cached:
        raise ConfigError(
            f"The checkpoint '{name}' has no known revision '{wanted}': {why}, and the cache of this machine "
            "does not hold it. Correct the name, download it first, or give a folder."
        )
    return cached


def _cached(name: str, wanted: str, cache: str) -> str:
    """The commit that the cache of this machine has for a branch or tag; '' if it has none."""
    path = os.path.join(cache, f"models--{name.replace('/', '--')}", "refs", wanted)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def device_of(gpus: float) -> str:
    """The device of a worker. Ray makes only the granted GPUs visible. Raises StartError if GPUs were granted but torch
    finds none.
    """
    import torch

    if not gpus:
        return "cpu"
    if not torch.cuda.is_available():
        raise StartError(
            f"it asks for {gpus:g} GPUs, but torch sees none here: set `gpus: 0`, or install torch for CUDA"
        )
    return "cuda"
