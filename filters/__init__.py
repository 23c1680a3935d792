"""Filters: rules that judge images and annotations. CATALOG lists the rules that a recipe may use by name.

Each rule has its own file, which is imported when a recipe uses the rule. A rule deletes nothing. It gives verdicts
(`verdict.py`), and later stages leave out the rows that the verdicts drop. `judging/` holds the code that applies rules
and helpers for writing them.
"""

from __future__ import annotations

CATALOG: dict[str, str] = {
    "agreement": "filters.agreement:agreement",
    "box_sanity": "filters.box_sanity:box_sanity",
    "box_size": "filters.box_size:box_size",
    "image_quality": "filters.image_quality:image_quality",
    "min_complexity": "filters.min_complexity:min_complexity",
    "min_image_tag_score": "filters.min_image_tag_score:min_image_tag_score",
    "min_image_text_score": "filters.min_image_text_score:min_image_text_score",
    "min_phrase_score": "filters.min_phrase_score:min_phrase_score",
    "min_region_text_score": "filters.min_region_text_score:min_region_text_score",
    "min_score": "filters.min_score:min_score",
    "min_side": "filters.min_side:min_side",
    "near_duplicate": "filters.near_duplicate:near_duplicate",
    "nested_phrase": "filters.nested_phrase:nested_phrase",
    "nms": "filters.nms:nms",
    "phrase_blacklist": "filters.phrase_blacklist:phrase_blacklist",
    "semantic_duplicate": "filters.semantic_duplicate:semantic_duplicate",
    "text_language": "filters.text_language:text_language",
    "text_length": "filters.text_length:text_length",
    "text_repetition": "filters.text_repetition:text_repetition",
    "too_many_objects": "filters.too_many_objects:too_many_objects",
    "ungrounded_image": "filters.ungrounded_image:ungrounded_image",
    "ungrounded_phrase": "filters.ungrounded_phrase:ungrounded_phrase",
    "unsafe": "filters.unsafe:unsafe",
}
