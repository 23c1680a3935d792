"""RF-DETR's image processor without torchvision. The original needs torchvision, which does not run beside torch for
the CPU.

This module imports transformers at the top, so import it only in `load`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate
from transformers import DeformableDetrImageProcessorPil
from transformers.image_transforms import get_size_with_aspect_ratio


class RfDetrPixels(DeformableDetrImageProcessorPil):  # type: ignore[misc]  # mypy does not read transformers
    """Does the same steps as RfDetrImageProcessor. They differ from those of Deformable DETR in two ways. Images are
    scaled without smoothing, and there are as many boxes as the model has queries, not 100.
    """

    def resize(self, image: npt.NDArray[Any], size: Any, *_: Any, **__: Any) -> npt.NDArray[np.float32]:
        """Scales an image bilinearly, as the released checkpoints require. `image`: channels first."""
        if size.height and size.width:
            shape = (size.height, size.width)
        else:
            shape = get_size_with_aspect_ratio(image.shape[-2:], size.shortest_edge, size.longest_edge)
        pixels = torch.from_numpy(np.ascontiguousarray(image, np.float32))
        scaled = interpolate(pixels[None], size=shape, mode="bilinear", align_corners=False, antialias=False)
        return np.asarray(scaled[0].numpy())

    def post_process_object_detection(self, outputs: Any, threshold: float = 0.5, target_sizes: Any = None) -> Any:
        return super().post_process_object_detection(outputs, threshold, target_sizes, top_k=outputs.logits.shape[1])
