"""What rounds of refinement do to labels, measured against the truth of the synthetic world.

    python -m benchmarks.refinement --out /tmp/refined [--seeds 0 1] [--rounds 3] [--control]

Runs pipelines/recipes/world-refine.yaml for each seed (goes on where it was stopped), then compares, over all training
images, the annotator, what the filters kept of it, and what each round made of that, with what was drawn: class-aware
F1 at IoU .5 and .75, precision, recall, and the accuracy of labels where boxes overlap. `--control`: the same steps
again on labels that nobody merged, then merged once.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.config import Recipe, load_recipe
from engine.dataset import Dataset
from engine.graph import IMAGES, Node
from engine.schema import as_row
from engine.shards import TableReader
from engine.storage import Storage
from model.evaluate.detections import Detection, Truth, TruthImage
from pipelines.audit_labels import dataset_of
from pipelines.kept import records
from pipelines.refine import Standing, standing
from pipelines.run import all_nodes, judging, run
from pipelines.truth import box_of
from refinement.measures import agreement, named
from specialists.synthetic import scene_at

RECIPE = Path(__file__).parents[1] / "pipelines" / "recipes" / "world-refine.yaml"
Boxes = Mapping[str, Sequence[Detection]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], help="other keys of the recipe, path=value")
    options = parser.parse_args()
    for seed in options.seeds:
        recipe = recipe_of(options.out / f"seed-{seed}", seed, [f"refine.rounds={options.rounds}", *options.set])
        started, cpu = time.monotonic(), time.process_time()
        notes = refined(recipe)
        told = f"seed {seed}: {time.monotonic() - started:.0f} s, {time.process_time() - cpu:.0f} CPU seconds, this run"
        print("\n".join([told, *notes]), flush=True)
        print(table(stages(recipe)), flush=True)
        if options.control:
            print(table({"control": control(recipe)}), flush=True)


def refined(recipe: Recipe) -> list[str]:
    """All stages but the release; what the rounds say."""
    for stage in ("ingest", "annotate", "filter"):
        run(recipe, stage=stage, runner="local")
    return run(recipe, stage="refine", runner="local").notes


def recipe_of(dataset: Path, seed: int, settings: Sequence[str] = ()) -> Recipe:
    """Another seed: another world, other errors, other first weights."""
    world = f"world://?images=3400&size=96&words=0&seed={seed}"
    own = [f"ingest.sources=['{world}']", f"annotate.noisy.seed={seed}", f"train.seed={seed}"]
    return load_recipe(str(RECIPE), [f"dataset={dataset}", *own, *settings])


def stages(recipe: Recipe) -> dict[str, dict[str, float]]:
    """Figures of each state the labels were in, first one first."""
    storage, nodes = Storage(recipe.dataset), all_nodes(recipe)
    _, judge = judging(storage, recipe, nodes)
    truth = truth_of(Dataset.open(recipe.dataset))
    answer = {"annotator": figures(truth, boxes_of(storage, nodes, judge, set(truth), "noisy"))}
    answer["filtered"] = figures(truth, boxes_of(storage, nodes, judge, set(truth)))
    for number in range(1, recipe.refine.rounds + 1):
        fewer = recipe.model_copy(update={"refine": recipe.refine.model_copy(update={"rounds": number})})
        now = standing(storage, fewer, nodes, judge)
        if len(now.accepted) < number:
            break
        answer[f"students of round {number}"] = figures(truth, students(storage, now, number, set(truth)))
        answer[f"round {number}"] = figures(truth, boxes_of(storage, now.nodes, now.judge, set(truth)))
    return answer


def control(recipe: Recipe) -> dict[str, float]:
    """As many steps as two rounds take, and one merge: what merging in between is worth is what is lost here."""
    steps = recipe.train.steps + recipe.refine.steps_later
    once = recipe.model_copy(
        update={
            "dataset": f"{recipe.dataset}-control",
            "train": recipe.train.model_copy(update={"steps": steps}),
            "refine": recipe.refine.model_copy(update={"rounds": 1}),
        }
    )
    refined(once)
    return stages(once)["round 1"]


def truth_of(dataset: Dataset) -> dict[str, TruthImage]:
    """What was drawn in the images that are for training."""
    answer = {}
    for path in dataset.files(IMAGES).values():
        for row in TableReader(dataset.storage, path).read().to_pylist():
            if row["split"] == "train":
                drawn = [as_row(region) for region in scene_at(row["sources"][0]["uri"]).truth.regions]
                objects = [Truth(one["label"], box_of(one)) for one in drawn if one["kind"] == "object"]
                answer[row["image_id"]] = TruthImage(row["width"], row["height"], objects)
    return answer


def boxes_of(storage: Storage, nodes: Sequence[Node], judge: Node, wanted: set[str], of: str = "") -> Boxes:
    """What is kept; or all that one node said."""
    dataset = dataset_of(storage, nodes, judge)
    if of:
        folder = next(node.folder for node in nodes if node.name == of)
        return _answers(dataset, folder, wanted)
    return _detections(records(dataset, wanted)[1], wanted)


def students(storage: Storage, now: Standing, number: int, wanted: set[str]) -> Boxes:
    dataset = dataset_of(storage, now.nodes, now.judge)
    folder = next(node.folder for node in now.nodes if node.name == f"round-{number}-propose")
    return _answers(dataset, folder, wanted)


def _answers(dataset: Dataset, folder: str, wanted: set[str]) -> Boxes:
    rows: dict[str, Any] = {}
    for path in dataset.files(folder).values():
        rows |= {row["image_id"]: row for row in TableReader(dataset.storage, path).read().to_pylist()}
    return _detections(rows, wanted)


def _detections(rows: Mapping[str, Any], wanted: set[str]) -> Boxes:
    return {
        image_id: [
            Detection(region["label"], box_of(region), region["score"] or 0.0)
            for region in rows.get(image_id, {}).get("regions", ())
        ]
        for image_id in wanted
    }


def figures(truth: Mapping[str, TruthImage], found: Boxes) -> dict[str, float]:
    objects = {name: image.objects for name, image in truth.items()}
    half, three = (agreement(objects, found, iou=iou) for iou in (0.5, 0.75))
    right, said, there = (int(column.sum()) for column in (half.right, half.found, half.labels))
    return {
        "boxes": said,
        "precision": right / max(said, 1),
        "recall": right / max(there, 1),
        "F1@.5": half.f1,
        "F1@.75": three.f1,
        "labels right": labels_right(truth, found),
    }


def labels_right(truth: Mapping[str, TruthImage], found: Boxes) -> float:
    """Of the objects on which some box lies, those that are called by their name."""
    told = named(truth, found)
    seen, right = int(told.seen.sum()), int(told.right.sum())
    return right / max(seen, 1)


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    names = list(next(iter(rows.values())))
    lines = [f"{'':<24}" + "".join(f"{name:>14}" for name in names)]
    for what, numbers in rows.items():
        cells = [f"{value:>14,}" if isinstance(value, int) else f"{value:>14.3f}" for value in numbers.values()]
        lines.append(f"{what:<24}" + "".join(cells))
    return "\n".join(lines) + "\n" + json.dumps({what: dict(numbers) for what, numbers in rows.items()})


if __name__ == "__main__":
    main()
