"""`engine eval`: a data set measured against the labels of its audit images, or against a COCO json."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.scores.calibration import Calibration
from engine.storage.commits import TableReader
from pipelines.cli.commands import app
from pipelines.evaluation.calibrate import calibrate
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.figures import Evaluation
from pipelines.evaluation.truth import find_truth
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.run import run
from specialists.synthetic.world import WorldOptions, scene
from tests.runs import draw_photos

CLEAN = {"use": "noisy_annotator", "miss": 0, "flip": 0, "jitter": 0, "false_positive": 0, "duplicate": 0, "auc": 0.99}
WORLD = "world://?images=40&size=96&seed=3"


def recipe(folder: Path, **annotate: Any) -> Recipe:
    return parse_recipe(
        {
            "dataset": str(folder / "set"),
            "ingest": {"sources": [WORLD], "shard_size": 15, "audit": {"fraction": 0.5}},
            "annotate": {"human": {"use": "human"}, **annotate, "objects": {"use": "consensus"}},
            "filter": [{"min_score": {"floor": 0.3}}],
        }
    )


def made(folder: Path, **annotate: Any) -> Dataset:
    wanted = recipe(folder, **annotate)
    for stage in ("ingest", "annotate", "filter"):
        run(wanted, runner="inline", stage=stage)
    return Dataset.open(wanted.dataset)


def figure(found: Evaluation, part: str, of: str, name: str) -> float:
    return next(f.value for f in found.figures if (f.part, f.of, f.name) == (part, of, name))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A careful and a careless detector, their consensus, captions and phrases."""
    return made(
        tmp_path_factory.mktemp("noisy"),
        careful=CLEAN | {"miss": 0.2, "jitter": 0.03},
        careless={"use": "noisy_annotator", "seed": 7},
        captions={"use": "composer"},
        parse={"use": "spacy_parse"},
        phrases={"use": "label_grounder"},
    )


def test_an_annotator_without_noise_is_perfect(tmp_path: Path) -> None:
    dataset = made(tmp_path, clean=CLEAN)
    found = evaluate(dataset, find_truth(dataset))
    assert found.images == 10
    assert {figure(found, "boxes", of, "AP") for of in ("clean", "objects")} == {1.0}


def test_labels_of_audit_images_are_used_by_the_evaluation_only(noisy: Dataset) -> None:
    """Human labels of the other images are kept annotations; in audit images there are only those of machines."""
    found = evaluate(noisy, find_truth(noisy, split="audit"))
    assert found.images == 20
    assert found.human == 0
    assert figure(found, "boxes", "careless", "AP50") < figure(found, "boxes", "careful", "AP50") < 1


def test_each_kind_of_truth_is_measured_for_each_node_and_for_kept_annotations(noisy: Dataset) -> None:
    found = evaluate(noisy, find_truth(noisy))
    owners = {part: {f.of for f in found.figures if f.part == part} for part in ("boxes", "captions", "grounding")}
    assert owners == {
        "boxes": {"careful", "careless", "objects", "kept"},
        "captions": {"captions", "kept"},
        "grounding": {"phrases", "kept"},
    }
    assert all(f.low <= f.value <= f.high for f in found.figures if f.part == "grounding")
    assert set(found.curves) == owners["boxes"]


def coco_json(path: Path, *, rename: str = "") -> Path:
    """Writes the truth of the drawn world as a COCO json."""
    options = WorldOptions.parse(WORLD)
    images, annotations = [], []
    labels = sorted({region.label for n in range(40) for region in scene(n, options).truth.regions if region.label})
    for number in range(40):
        images.append({"id": number, "file_name": f"{rename}{number:05d}.png", "width": 96, "height": 96})
        for region in scene(number, options).truth.regions:
            if region.kind == "object":
                box = [region.x1, region.y1, region.x2 - region.x1, region.y2 - region.y1]
                row = {"id": len(annotations) + 1, "image_id": number, "bbox": box, "area": box[2] * box[3]}
                annotations.append(row | {"category_id": labels.index(region.label), "iscrowd": 0})
    categories = [{"id": n, "name": name} for n, name in enumerate(labels)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def files_of_the_world(folder: Path) -> None:
    folder.mkdir()
    options = WorldOptions.parse(WORLD)
    for number in range(40):
        (folder / f"{number:05d}.png").write_bytes(scene(number, options).data)


def test_figures_on_a_coco_json_equal_those_of_pycocotools(tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    files_of_the_world(tmp_path / "photos")
    truth = coco_json(tmp_path / "truth.json")
    wanted = recipe(tmp_path).model_dump()
    source = {"coco": {"instances": str(truth), "images": str(tmp_path / "photos")}}
    wanted["ingest"] = {"sources": [source], "shard_size": 15}
    wanted["annotate"] = {"careless": {"use": "noisy_annotator", "seed": 7}, "objects": {"use": "consensus"}}
    for stage in ("ingest", "annotate", "filter"):
        run(parse_recipe(wanted), runner="inline", stage=stage)
    dataset = Dataset.open(str(tmp_path / "set"))
    found = evaluate(dataset, find_truth(dataset, str(truth)))

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        names = {category["name"]: category["id"] for category in coco.dataset["categories"]}
        results = []
        for path, row in _rows(dataset, "careless"):
            for region in row["regions"]:
                box = [region["x1"], region["y1"], region["x2"] - region["x1"], region["y2"] - region["y1"]]
                result = {"image_id": int(path), "category_id": names[region["label"]], "bbox": box}
                results.append(result | {"score": region["score"]})
        measure = COCOeval(coco, coco.loadRes(results), "bbox")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    by_hand = dict(zip(("AP", "AP50", "AP75"), measure.stats, strict=False)) | {"AR100": measure.stats[8]}
    assert {name: figure(found, "boxes", "careless", name) for name in by_hand} == pytest.approx(by_hand, abs=1e-12)
    assert 0 < by_hand["AP"] < 1


def _rows(dataset: Dataset, name: str) -> list[tuple[str, dict[str, Any]]]:
    stems = {}
    for path in dataset.files("images").values():
        for row in TableReader(dataset.storage, path).read().to_pylist():
            stems[row["image_id"]] = Path(row["uri"]).stem
    node = dataset.node(name)
    assert node is not None
    tables = [TableReader(dataset.storage, path).read().to_pylist() for path in dataset.files(node.folder).values()]
    return [(stems[row["image_id"]], row) for table in tables for row in table]


def test_a_json_of_other_images_is_refused(noisy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names none of the images"):
        find_truth(noisy, str(coco_json(tmp_path / "other.json", rename="other-")))


def test_without_an_audit_split_the_error_names_what_to_set(tmp_path: Path) -> None:
    wanted = recipe(tmp_path, clean=CLEAN).model_dump()
    wanted["ingest"]["audit"] = {}
    run(parse_recipe(wanted), runner="inline", stage="ingest")
    with pytest.raises(ConfigError, match=r"set ingest\.audit in the recipe"):
        find_truth(Dataset.open(str(tmp_path / "set")))


def test_a_calibration_is_fitted_on_one_half_and_helps_on_the_other(tmp_path: Path) -> None:
    url = WORLD.replace("images=40", "images=200")
    careless = {"use": "noisy_annotator", "seed": 7, "false_positive": 2.0}
    wanted = recipe(tmp_path, careless=careless).model_dump()
    wanted["ingest"] |= {"sources": [url], "audit": {"fraction": 0.9}, "shard_size": 100}
    for stage in ("ingest", "annotate"):
        run(parse_recipe(wanted), runner="inline", stage=stage)
    dataset = Dataset.open(str(tmp_path / "set"))
    fitted = calibrate(dataset, find_truth(dataset, split="audit-fit"))
    assert Calibration.read(fitted.path).producers == ("careless",)
    before = evaluate(dataset, find_truth(dataset))
    assert calibrate(dataset, find_truth(dataset, split="audit-fit")).path == fitted.path

    wanted["annotate"]["objects"]["calibration"] = fitted.path
    run(parse_recipe(wanted), runner="inline", stage="annotate")
    after = evaluate(Dataset.open(dataset.url), find_truth(dataset))
    assert figure(after, "boxes", "objects", "ECE") < figure(before, "boxes", "objects", "ECE") / 2
    assert figure(after, "boxes", "careless", "ECE") == figure(before, "boxes", "careless", "ECE")


def test_the_table_has_a_row_for_each_node_and_the_json_has_no_nan(noisy: Dataset) -> None:
    found = evaluate(noisy, find_truth(noisy))
    lines = str(found).splitlines()
    assert lines[0].startswith("measured against people's labels of 10 audit-test images")
    assert [line.split()[0] for line in lines if line.startswith("  ")][:4] == [
        "careful",
        "careless",
        "objects",
        "kept",
    ]
    assert json.loads(found.as_json(), parse_constant=pytest.fail)["images"] == 10


def test_the_command_measures_fits_and_refuses_an_unknown_split(noisy: Dataset) -> None:
    command = ["eval", "-d", noisy.url]
    table = CliRunner().invoke(app, command)
    assert table.exit_code == 0
    assert "careless" in table.stdout
    fitted = CliRunner().invoke(app, [*command, "--fit", "--format", "json"])
    assert Path(json.loads(fitted.stdout)["path"]).is_file()
    wrong = CliRunner().invoke(app, [*command, "--split", "audit-tset"])
    assert (wrong.exit_code, wrong.stderr) == (2, "engine: Unknown split 'audit-tset': did you mean 'audit-test'?\n")


def test_images_of_sources_without_labels_are_not_measured(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 12, size=96)
    wanted = recipe(tmp_path, clean=CLEAN, busy={"use": "fake_detector"})
    wanted.ingest.sources.append({"folder": str(tmp_path / "photos")})
    for stage in ("ingest", "annotate"):
        run(wanted, runner="inline", stage=stage)
    dataset = Dataset.open(wanted.dataset)
    audit = query(dataset, "SELECT count(*) AS n FROM images WHERE split = 'audit-test'").to_pylist()[0]["n"]
    truth = find_truth(dataset)
    others = audit - len(truth.objects)
    assert others > 0
    assert (
        truth.description
        == f"people's labels of {audit - others} audit-test images ({others} more are from sources without labels)"
    )
    found = evaluate(dataset, truth)
    assert found.images == audit - others
    assert figure(found, "boxes", "clean", "AP") == 1.0


def test_without_labels_measuring_and_fitting_are_refused(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 12, size=96)
    wanted = recipe(tmp_path, busy={"use": "fake_detector"})
    wanted.ingest.sources[:] = [{"folder": str(tmp_path / "photos")}]
    for stage in ("ingest", "annotate"):
        run(wanted, runner="inline", stage=stage)
    dataset = Dataset.open(wanted.dataset)
    with pytest.raises(ConfigError, match=r"^Nobody labelled the \d+ audit-fit images of '[^\n]*: add a source"):
        find_truth(dataset, split="audit-fit")
    assert not (tmp_path / "set" / "calibration").exists()


def _cameras(folder: Path) -> tuple[Dataset, dict[str, Any]]:
    """Labelled frames of two cameras with the same file names, and their COCO json."""
    images, annotations = [], []
    for number, name in enumerate(("cam1/0001.png", "cam2/0001.png", "cam1/0002.png", "cam2/0002.png")):
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), (number * 50, 0, 0)).save(path)
        images.append({"id": number, "file_name": name, "width": 60, "height": 40})
        box = [number * 5, 5, 20, 20]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": 400})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "i.json").write_text(json.dumps(content))
    source = {"coco": {"instances": str(folder / "i.json"), "images": str(folder / "photos")}}
    made = {"dataset": str(folder / "set"), "ingest": {"sources": [source]}, "annotate": {"human": {"use": "human"}}}
    for stage in ("ingest", "annotate", "filter"):
        run(parse_recipe(made), runner="inline", stage=stage)
    return Dataset.open(str(folder / "set")), content


def test_images_are_matched_by_the_longest_common_end_of_their_names(tmp_path: Path) -> None:
    dataset, content = _cameras(tmp_path)
    found = evaluate(dataset, find_truth(dataset, str(tmp_path / "i.json")))
    assert found.images == 4
    assert figure(found, "boxes", "kept", "AP") == 1.0

    for image, name in zip(content["images"], ("cam1/0001.png", "0001.png", "cam9/0002.png", "x.png"), strict=True):
        image["file_name"] = name
    (tmp_path / "other.json").write_text(json.dumps(content))
    truth = find_truth(dataset, str(tmp_path / "other.json"))
    assert truth.description == (
        f"'{tmp_path}/other.json' on 1 image; 1 of its images are not in the data set; "
        "1 match several images and are left out, such as '0001.png'; "
        "1 match an image only by their base name ('cam9/0002.png' and 'cam1/0002.png')"
    )


def test_notes_name_the_labels_left_out_and_why_nothing_is_compared(tmp_path: Path) -> None:
    dataset, content = _cameras(tmp_path)
    for annotation in content["annotations"]:
        annotation["bbox"] = None
    (tmp_path / "other.json").write_text(json.dumps(content))
    text = str(evaluate(dataset, find_truth(dataset, str(tmp_path / "other.json"))))
    assert "left out as a box that is not four numbers: annotation 0 (bbox None)" in text
    assert "There is nothing to compare: the truth has no box, caption, word or description in these 4 images." in text


def test_labels_that_no_node_predicted_are_noted(noisy: Dataset) -> None:
    truth = find_truth(noisy)
    for image in truth.objects.values():
        image.objects[:] = [replace(one, label=f"a_{one.label}") for one in image.objects]  # type: ignore[index]
    assert "of the truth; their boxes count as missed: 'a_" in str(evaluate(noisy, truth))
