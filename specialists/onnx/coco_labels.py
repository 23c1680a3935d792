"""The names of the COCO classes, in both numberings that are in use.

Models of the TensorFlow zoo use COCO's category ids, which run from 1 to 90 with gaps. Most other models number the 80
annotated classes from 0. Names from the wrong numbering look plausible but are wrong.
"""

from __future__ import annotations

COCO_80: tuple[str, ...] = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard"),
    *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase"),
    *("scissors", "teddy bear", "hair drier", "toothbrush"),
)

# Category ids between 1 and 90 that no COCO annotation uses.
_UNUSED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

COCO_90: dict[int, str] = dict(zip((i for i in range(1, 91) if i not in _UNUSED), COCO_80, strict=True))
