"""Rules that judge annotations and images; they delete nothing. One file a rule, imported when it is used."""

from __future__ import annotations

CATALOG: dict[str, str] = {
    "box_sanity": "filters.box_sanity:box_sanity",
    "box_size": "filters.box_size:box_size",
    "min_complexity": "filters.min_complexity:min_complexity",
    "min_score": "filters.min_score:min_score",
    "min_side": "filters.min_side:min_side",
    "nms": "filters.nms:nms",
    "phrase_blacklist": "filters.phrase_blacklist:phrase_blacklist",
    "text_length": "filters.text_length:text_length",
    "too_many_objects": "filters.too_many_objects:too_many_objects",
    "ungrounded_phrase": "filters.ungrounded_phrase:ungrounded_phrase",
}
