"""Returns the pixels of a sample, for specialists that list "pixels" in `needs`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError
from engine.schema import Sample

Pixels = npt.NDArray[np.uint8]


def pixels_of(sample: Sample) -> Pixels:
    """The pixels, height x width x RGB. Raises ConfigError if the sample was read without pixels."""
    if sample.pixels is None:
        raise ConfigError(
            f"Image '{sample.image_id}' was read without pixels: list 'pixels' in the specialist's `needs`."
        )
    return sample.pixels
