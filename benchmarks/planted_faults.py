"""A data set with three faults, to find from its report alone: a swapped class, a rule too strict, an empty source.

The photos are those of coco/dev, the labels those of people and of three detectors. The seed chooses the class that the
human labels give the name of another one, the rule, and the source, whose photos are not in the folder it names.
Nothing that is printed tells which; FOLDER/answers.json does, and must not be read before the search.

    python -m benchmarks.planted_faults --data FOLDER_WITH_coco --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.reading.sql import named_queries
from pipelines import load_recipe, open_dataset, query, report, run

BOXES = 7  # a class is swapped if it has this many boxes that a detector can see
SHARE = 0.02  # of the image's area: smaller boxes are not counted
SOURCES = ("more-photos", "second-camera", "archive", "photos-2019")
DETECTORS = {"yolox": "yolox_nano_coco80_416.onnx", "nanodet": "nanodet_m_coco80_416.onnx"}
STRICT: tuple[dict[str, Any], ...] = (
    {"min_side": {"pixels": 480}},
    {"image_quality": {"at_least": {"contrast": 0.22}}},
    {"min_score": {"floor": 0.98}},
    {"box_size": {"min_share": 0.05}},
    {"nms": {"across": 0.05}},
)
RULES: tuple[dict[str, Any] | str, ...] = (
    {"min_side": {"pixels": 64}},
    "image_quality",
    "box_sanity",
    {"box_size": {"min_side": 4}},
    {"min_score": {"floor": 0.3}},
    "nms",
)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong. `swapped`: the class whose boxes have the label `named`. `rule`: its entry in the recipe."""

    swapped: str
    named: str
    rule: dict[str, Any]
    source: str


def choose(seed: int, instances: dict[str, Any]) -> Faults:
    """The faults of a seed. The swapped class has BOXES boxes or more; the other name is also a class of the photos."""
    draw = random.Random(seed)
    names = {category["id"]: category["name"] for category in instances["categories"]}
    areas = {image["id"]: image["width"] * image["height"] for image in instances["images"]}
    large = Counter(
        names[box["category_id"]] for box in instances["annotations"] if box["area"] >= SHARE * areas[box["image_id"]]
    )
    swapped = draw.choice(sorted(name for name, number in large.items() if number >= BOXES and name != "person"))
    named = draw.choice(sorted(name for name in large if name not in (swapped, "person")))
    return Faults(swapped, named, draw.choice(STRICT), draw.choice(SOURCES))


def prepare(folder: Path, data: Path, seed: int) -> Path:
    """Writes the labels, the empty source and the recipe under `folder`. Returns the recipe."""
    instances = json.loads((data / "coco" / "dev" / "instances.json").read_text(encoding="utf-8"))
    faults = choose(seed, instances)
    ids = {category["name"]: category["id"] for category in instances["categories"]}
    for box in instances["annotations"]:
        if box["category_id"] == ids[faults.swapped]:
            box["category_id"] = ids[faults.named]
    (folder / "labels.json").write_text(json.dumps(instances), encoding="utf-8")
    (folder / faults.source).mkdir()
    listed = [{**image, "file_name": f"{faults.source}-{n}.jpg"} for n, image in enumerate(instances["images"][:12])]
    empty = {**instances, "images": listed, "annotations": []}
    (folder / f"{faults.source}.json").write_text(json.dumps(empty), encoding="utf-8")
    (folder / "answers.json").write_text(json.dumps(asdict(faults), indent=1), encoding="utf-8")
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(_recipe(folder, data, faults), sort_keys=False), encoding="utf-8")
    return recipe


def _recipe(folder: Path, data: Path, faults: Faults) -> dict[str, Any]:
    photos = {"instances": str(folder / "labels.json"), "images": str(data / "coco" / "dev" / "images")}
    captions = str(data / "coco" / "dev" / "captions.json")
    weights = {name: str(data / "weights" / file) for name, file in DETECTORS.items()}
    detectors: dict[str, Any] = {
        name: {"use": "onnx_detector", "head": name, "weights": file, "min_score": 0.1}
        for name, file in weights.items()
    }
    strict = next(iter(faults.rule))
    return {
        "dataset": str(folder / "data"),
        "ingest": {
            "sources": [
                {"coco": {**photos, "captions": captions}},
                {"coco": {"instances": f"{folder / faults.source}.json", "images": str(folder / faults.source)}},
            ],
            "shard_size": 30,
        },
        "annotate": {
            "quality": {"use": "image_quality"},
            "human": {"use": "human"},
            **detectors,
            "ssd": {"use": "ssd_mobilenet", "min_score": 0.1},
            "objects": {"use": "consensus"},
            "parse": {"use": "spacy_parse"},
            "phrases": {"use": "label_grounder"},
        },
        "filter": [faults.rule if _name(rule) == strict else rule for rule in RULES],
        "emit": {"name": "v1", "licence": "see COCO"},
    }


def _name(rule: dict[str, Any] | str) -> str:
    return rule if isinstance(rule, str) else next(iter(rule))


def check(folder: Path) -> list[str]:
    """For each fault, whether a finding of the report names it. Reads the answers."""
    faults = Faults(**json.loads((folder / "answers.json").read_text(encoding="utf-8")))
    data = open_dataset(load_recipe(folder / "recipe.yaml"))
    names = [name for name in named_queries() if name.startswith("findings_")]
    found = [row["finding"] for name in names for row in query(data, named=name).to_pylist()]
    # nothing but the rule min_score drops all regions of the consensus
    rule = "'objects' is kept" if "min_score" in faults.rule else f"Rule {next(iter(faults.rule))}"
    parts = {
        "swapped class": (f"'{faults.named}'", f"'{faults.swapped}'"),
        "rule too strict": (rule,),
        "empty source": (faults.source, "gave no image"),
    }
    return [
        f"{fault}: {'found' if any(all(word in text for word in words) for text in found) else 'NOT FOUND'}"
        for fault, words in parts.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default=os.environ.get("FLD_SHARED_DATA", "../shared/data"), help="with coco, weights"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", default="", help="a new folder for the data set; default: a temporary one")
    parser.add_argument("--check", action="store_true", help="also print whether the findings name each fault")
    options = parser.parse_args()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="planted-faults-")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    recipe = load_recipe(prepare(folder, Path(options.data).absolute(), options.seed))
    run(recipe, runner="inline")
    print(report(open_dataset(recipe)))
    if options.check:
        print("\n".join(check(folder)))


if __name__ == "__main__":
    main()
