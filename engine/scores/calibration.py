"""Calibration: for each producer a measured curve that turns its scores into probabilities, in a small JSON file.

{"<producer>": {"x": [raw scores, ascending], "y": [share that was right, never falling]}}. The curve is linear between
the points and constant beyond them. Scores of a producer without a curve stay as they are. Files of `engine eval --fit`
also have an entry "fusion", which consensus reads: {"producers": [...], "coefficients": [...], "intercept", "floor"}
(engine.scores.fusion.FittedFusion).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError, DamageError, StorageError
from engine.keys import stable_hash
from engine.layout import CALIBRATION, FUSION
from engine.scores.fusion import CONTEXT, FittedFusion
from engine.storage.open_uri import read_uri

_FITTED = re.compile(rf"(?:^|/){CALIBRATION}/([0-9a-f]{{8}})\.json$")
Floats = npt.NDArray[np.float64]

# The weight of the raw score in the result. It keeps scores apart where a curve is flat, so that sorting by score gives
# the detector's own order.
_RAW_WEIGHT = 1e-9


class Calibration:
    def __init__(self, curves: Mapping[str, tuple[Floats, Floats]], fusion: FittedFusion | None = None) -> None:
        """Create a calibration.

        `curves`: {producer: (x, y)}. `fusion`: combines the scores of several producers into one.
        """
        self.fusion = fusion
        self.curves = {name: _checked(name, *curve) for name, curve in sorted(curves.items())}

    @classmethod
    def read(cls, path: str) -> Self:
        """Read a calibration from a file or URL.

        A file of `engine eval --fit` is checked against the digest in its name.
        """
        content = _loaded(path)
        fusion = content.pop(FUSION, None) if isinstance(content, dict) else None
        found = cls(_curves(path, content), None if fusion is None else _fusion(path, fusion))
        name = _FITTED.search(path)
        if name and not found.digest.startswith(name[1]):
            raise DamageError(
                f"'{path}' is damaged (the digest in its name does not match): fit it again with 'engine eval --fit'."
            )
        return found

    @property
    def producers(self) -> tuple[str, ...]:
        return tuple(self.curves)

    @property
    def digest(self) -> str:
        """A hash of the curves and the fusion, 64 hex digits. The layout of the file does not affect it."""
        return stable_hash(self.as_json())

    def as_json(self) -> dict[str, dict[str, Any]]:
        curves: dict[str, dict[str, Any]] = {n: {"x": x.tolist(), "y": y.tolist()} for n, (x, y) in self.curves.items()}
        return curves | ({FUSION: self.fusion.as_json()} if self.fusion else {})

    def apply(self, producers: Sequence[str] | npt.NDArray[Any], scores: Floats) -> Floats:
        """The calibrated scores. `producers`: the producer of each score. NaN stays NaN.

        Scores of one producer stay in the same order.
        """
        scores = np.array(scores, np.float64)
        names = np.asarray(producers, object)
        for producer, (x, y) in self.curves.items():
            rows = np.flatnonzero(names == producer)
            raw = scores[rows]
            scores[rows] = (1 - _RAW_WEIGHT) * np.interp(raw, x, y) + _RAW_WEIGHT * np.clip(raw, 0, 1)
        return scores


def _loaded(path: str) -> Any:
    try:
        return json.loads(read_uri(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"No calibration at '{path}': correct the path, or leave it out.") from error
    except (IsADirectoryError, StorageError) as error:
        raise ConfigError(f"The calibration '{path}' cannot be read: {error}") from error
    except ValueError as error:
        raise ConfigError(f"The calibration '{path}' is not JSON ({error}): use 'engine eval --fit'.") from error


def _curves(path: str, content: Any) -> dict[str, tuple[Floats, Floats]]:
    if not isinstance(content, dict) or not content:
        raise ConfigError(
            f'The calibration \'{path}\' names no producer; expected {{"<producer>": {{"x": [...], "y": [...]}}}}.'
        )
    curves = {}
    for name, curve in content.items():
        if not isinstance(curve, dict) or set(curve) != {"x", "y"}:
            raise ConfigError(f"The calibration '{path}' needs exactly the keys 'x' and 'y' for '{name}'.")
        try:
            curves[name] = (np.array(curve["x"], np.float64), np.array(curve["y"], np.float64))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The calibration '{path}' has a value for '{name}' that is not a number.") from error
    return curves


def _fusion(path: str, content: Any) -> FittedFusion:
    try:
        coefficients = np.array(content["coefficients"], np.float64)
        numbers = float(content["intercept"]), float(content["floor"])
        fusion = FittedFusion(tuple(content["producers"]), coefficients, *numbers)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"The fusion in the calibration '{path}' cannot be read: fit it again.") from error
    right = coefficients.shape == (2 * len(fusion.producers) + CONTEXT,)
    if not right or not np.isfinite([*coefficients, *numbers]).all():
        raise ConfigError(f"The fusion in the calibration '{path}' cannot be read: fit it again.")
    return fusion


def _checked(name: str, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ConfigError(
            f"The calibration of '{name}' has {x.size} x and {y.size} y: expected as many of both, and at least one."
        )
    if not (np.all(x >= 0) and np.all(x <= 1) and np.all(y >= 0) and np.all(y <= 1)):  # NaN fails it too
        raise ConfigError(f"The calibration of '{name}' has values outside of 0 to 1, the range of scores.")
    if np.any(np.diff(x) <= 0) or np.any(np.diff(y) < 0):
        raise ConfigError(f"The calibration of '{name}' is not sorted: x must increase, and y must not decrease.")
    return x, y
