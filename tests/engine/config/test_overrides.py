"""--set changes existing keys; a typo adds nothing."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config.overrides import apply_setting
from engine.errors import ConfigError


def recipe() -> dict[str, Any]:
    return {
        "dataset": "x",
        "ingest": {"sources": [{"folder": "photos", "exclude": ["a"]}]},
        "annotate": {"ocr": {"use": "rapidocr"}, "objects": {"use": "consensus"}},
        "filter": ["min_side", {"min_score": {"floor": 0.3}}, {"nms": None}],
        "emit": None,
    }


def changed(setting: str) -> dict[str, Any]:
    data = recipe()
    apply_setting(data, setting)
    return data


RIGHT: list[tuple[str, str, Any]] = [
    ("annotate.ocr.min_score=.4", "annotate", {"ocr": {"use": "rapidocr", "min_score": 0.4}}),
    ("annotate.ssd.use=ssd_mobilenet", "annotate", {"ssd": {"use": "ssd_mobilenet"}}),
    ("annotate.ssd={use: ssd_mobilenet}", "annotate", {"ssd": {"use": "ssd_mobilenet"}}),
    ("annotate.objects.votes.ocr=2", "annotate", {"objects": {"use": "consensus", "votes": {"ocr": 2}}}),
    ("filter.min_score.floor=.5", "filter", ["min_side", {"min_score": {"floor": 0.5}}, {"nms": None}]),
    ("filter.1.floor=.5", "filter", ["min_side", {"min_score": {"floor": 0.5}}, {"nms": None}]),
    ("filter.1.min_score.floor=.5", "filter", ["min_side", {"min_score": {"floor": 0.5}}, {"nms": None}]),
    ("filter.min_score={floor: .5}", "filter", ["min_side", {"min_score": {"floor": 0.5}}, {"nms": None}]),
    ("filter.0.pixels=9", "filter", [{"min_side": {"pixels": 9}}, {"min_score": {"floor": 0.3}}, {"nms": None}]),
    ("filter.min_side.pixels=9", "filter", [{"min_side": {"pixels": 9}}, {"min_score": {"floor": 0.3}}, {"nms": None}]),
    ("filter.nms.within=.4", "filter", ["min_side", {"min_score": {"floor": 0.3}}, {"nms": {"within": 0.4}}]),
    ("filter.2=box_sanity", "filter", ["min_side", {"min_score": {"floor": 0.3}}, "box_sanity"]),
    ("filter=[]", "filter", []),
    ("ingest.sources.0.folder=b", "ingest", {"sources": [{"folder": "b", "exclude": ["a"]}]}),
    ("ingest.sources.folder=b", "ingest", {"sources": [{"folder": "b", "exclude": ["a"]}]}),
    ("ingest.audit.fraction=.1", "ingest", recipe()["ingest"] | {"audit": {"fraction": 0.1}}),
    ("emit.name='007'", "emit", {"name": "007"}),
    ("dataset=a=b", "dataset", "a=b"),
]


@pytest.mark.parametrize(("setting", "section", "value"), RIGHT, ids=[setting for setting, _, _ in RIGHT])
def test_a_setting_changes_one_key(setting: str, section: str, value: Any) -> None:
    before, after = recipe(), changed(setting)
    assert after[section] == (before["annotate"] | value if section == "annotate" else value)
    assert {key: after[key] for key in after if key != section} == {
        key: before[key] for key in before if key != section
    }


WRONG = [
    ("emit.name", "takes key.path=value"),
    ("=3", "takes key.path=value"),
    ("emit..name=3", "takes key.path=value"),
    ("emit.=3", "takes key.path=value"),
    ("emit.name=", "gives no value: write emit.name=\"''\" for an empty text"),
    ("annotate.oclr.min_score=.4", "Unknown node in --set .* 'oclr': did you mean 'ocr'?"),
    ("annotate.oclr={min_score: .4}", "Unknown node in --set .* 'oclr': did you mean 'ocr'?"),
    ("annotate.oclr=null", "Unknown node in --set .* 'oclr': did you mean 'ocr'?"),
    ("filter.min_skore.floor=1", "Unknown entry in --set .* 'min_skore': did you mean 'min_score'?"),
    ("filter.3.floor=1", "there is no entry 3; the list has positions 0 to 2"),
    ("filter.99999999999999.floor=1", "Unknown entry in --set"),
    ("ingest.sources.1.folder=b", "there is no entry 1; the list has positions 0 to 0"),
    ("dataset.x.y=1", "'dataset' is the text 'x', which has no keys inside"),
    ("annotate.ocr.use.x=1", "'annotate.ocr.use' is the text 'rapidocr', which has no keys inside"),
    ("filter.nms={within: 1, within: 2}", "has 'within' twice, both on line 1"),
    ("emit.name=[a: b: c", "is not YAML: line 1"),
]


@pytest.mark.parametrize(("setting", "message"), WRONG, ids=[setting for setting, _ in WRONG])
def test_a_wrong_setting_is_one_sentence(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        changed(setting)


def test_a_setting_of_a_rule_without_rules_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"Unknown entry in --set .* 'min_score': known: none"):
        apply_setting({"dataset": "x"}, "filter.min_score.floor=1")
