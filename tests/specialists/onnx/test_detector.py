import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detectors import DETECTORS
from engine.errors import StartError
from engine.schema import Answer, Sample
from specialists.onnx.detector import OnnxDetector
from tests.dev_photos import detected, dev_photos
from tests.shared_data import shared
from tests.specialists.onnx.tiny import fastestdet

YOLOX = "weights/yolox_nano_coco80_416.onnx"


class Network:
    """Stands in for the session: gives the same boxes for every image."""

    def __init__(self, raw: np.ndarray) -> None:
        self.raw = raw

    def run(self, _outputs: None, _inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [self.raw]


def detector_of(*boxes: tuple[float, float, float, float, int, float], **options: float) -> OnnxDetector:
    """A YOLOX detector whose network finds boxes (x1, y1, x2, y2, class, score) on a 416 x 416 image."""
    raw = np.zeros((1, 3549, 85), np.float32)
    for cell, (x1, y1, x2, y2, label, score) in enumerate(boxes):
        centre = ((x1 + x2) / 16 - cell, (y1 + y2) / 16)  # cells of the first row, stride 8
        raw[0, cell, :5] = (*centre, np.log((x2 - x1) / 8), np.log((y2 - y1) / 8), 1.0)
        raw[0, cell, 5 + label] = score
    detector = OnnxDetector(weights="none.onnx", head="yolox", **options)  # type: ignore[arg-type]
    detector.session, detector.input_name, detector.names = Network(raw), "images", detector._names()
    return detector


def regions(detector: OnnxDetector, width: int = 416, height: int = 416) -> list[tuple[str, float, list[float]]]:
    sample = Sample("a", width, height, np.zeros((height, width, 3), np.uint8))
    return [
        (r.label, round(r.score or 0, 3), [round(v, 2) for v in (r.x1, r.y1, r.x2, r.y2)])
        for r in detector.annotate([sample])[0].regions
    ]


def test_boxes_come_best_first_with_their_names() -> None:
    detector = detector_of((10, 10, 50, 50, 0, 0.5), (100, 100, 200, 180, 15, 0.9))
    assert regions(detector) == [("cat", 0.9, [100, 100, 200, 180]), ("person", 0.5, [10, 10, 50, 50])]


def test_of_two_overlapping_boxes_of_one_class_the_better_stays() -> None:
    twice = ((100, 100, 200, 200, 15, 0.6), (102, 100, 202, 200, 15, 0.8), (102, 100, 202, 200, 16, 0.3))
    assert [(label, score) for label, score, _ in regions(detector_of(*twice))] == [("cat", 0.8), ("dog", 0.3)]


def test_a_box_at_the_floor_is_kept() -> None:
    detector = detector_of((10, 10, 50, 50, 0, 0.25), (100, 100, 200, 180, 15, 0.2), min_score=0.25)
    assert [label for label, *_ in regions(detector)] == ["person"]


def test_boxes_are_clipped_and_those_outside_left_out() -> None:
    detector = detector_of((-40, -20, 60, 50, 0, 0.5), (300, 250, 400, 300, 15, 0.9))
    assert regions(detector, 416, 208) == [("person", 0.5, [0, 0, 60, 50])]


def test_the_best_boxes_stay_when_there_are_too_many() -> None:
    grid = [(40.0 * n, 10, 40 * n + 30, 40, 0, 0.1 + n / 20) for n in range(10)]
    assert [score for _, score, _ in regions(detector_of(*grid, max_boxes=3))] == [0.55, 0.5, 0.45]


def test_suppressing_the_best_candidates_first_gives_the_same_answer() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (900, 2))
    size = rng.uniform(20, 60, (900, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    scores, classes = rng.random(900).astype(np.float32), rng.integers(0, 2, 900)
    few = OnnxDetector(weights="none.onnx", head="yolox", max_boxes=5)._suppress(boxes, scores, classes)
    many = OnnxDetector(weights="none.onnx", head="yolox", max_boxes=900)._suppress(boxes, scores, classes)
    assert few == many[:5]


def test_the_constructor_opens_nothing_and_load_names_the_missing_file() -> None:
    detector = OnnxDetector(weights="nowhere/yolox.onnx", head="yolox")
    assert detector.weights == ("nowhere/yolox.onnx",)
    with pytest.raises(StartError, match=r"No weights at 'nowhere/yolox.onnx'"):
        detector.load()


def test_weights_with_another_digest_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(StartError, match=f"have sha256 {found}, expected {'0' * 64}"):
        OnnxDetector(weights=str(file), head="yolox", sha256="0" * 64).load()


def test_a_file_that_is_no_model_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(b"no model")
    with pytest.raises(StartError, match="is not an ONNX network that onnxruntime can run"):
        OnnxDetector(weights=str(file), head="yolox").load()


def test_a_file_of_class_names_is_part_of_the_key(tmp_path: Path) -> None:
    names = tmp_path / "two.names"
    names.write_text("pear\nplum\n")
    detector = detector_of((10, 10, 50, 50, 1, 0.5), labels=str(names))  # type: ignore[arg-type]
    assert regions(detector)[0][0] == "plum"
    assert detector.weights == ("none.onnx", str(names))


def test_the_number_of_class_names_must_fit_the_model(tmp_path: Path) -> None:
    names = tmp_path / "some.names"
    names.write_text("\n".join(map(str, range(80))), encoding="utf-16")
    detector_of(labels=str(names))._check_names()  # type: ignore[arg-type]
    for number in (79, 81):
        names.write_text("\n".join(map(str, range(number))))
        with pytest.raises(StartError, match=rf"'none.onnx' has 80 classes, but there are {number} names: give"):
            detector_of(labels=str(names))._check_names()  # type: ignore[arg-type]


def test_weights_of_another_head_are_refused() -> None:
    with pytest.raises(StartError, match="has 1 outputs, but the head nanodet needs 6"):
        OnnxDetector(weights=str(shared(YOLOX)), head="nanodet").load()


def test_weights_of_another_size_are_refused() -> None:
    with pytest.raises(StartError, match="set `size: 416`"):
        OnnxDetector(weights=str(shared(YOLOX)), head="yolox", size=640).load()


def test_weights_are_read_through_fsspec_and_pinned() -> None:
    path = shared(YOLOX).resolve()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    OnnxDetector(weights=path.as_uri(), head="yolox", sha256=digest.upper()).load()


@pytest.mark.parametrize(("name", "ap50"), [("yolox_nano", 0.4405), ("nanodet_m", 0.4092), ("fastestdet", 0.2972)])
def test_the_average_precision_equals_the_published_one(name: str, ap50: float) -> None:
    found = [answer.regions for answer in detected(name)]
    assert dev_photos().average_precision(found)[0] == pytest.approx(ap50, abs=0.01)


def tiny(folder: Path, first_axis: int | str, *, last_step: str = "", **options: float) -> OnnxDetector:
    """A loaded detector with a small random network."""
    file = folder / "tiny.onnx"
    file.write_bytes(fastestdet(first_axis, last_step=last_step))
    detector = OnnxDetector(weights=str(file), head="fastestdet", **options)  # type: ignore[arg-type]
    detector.load()
    return detector


def photos(*shapes: tuple[int, int]) -> list[Sample]:
    random = np.random.default_rng(1)
    return [
        Sample(str(number), width, height, random.integers(0, 256, (height, width, 3), np.uint8))
        for number, (width, height) in enumerate(shapes)
    ]


def numbers(answer: Answer) -> list[tuple[float, ...]]:
    return [(r.x1, r.y1, r.x2, r.y2, r.score or 0.0) for r in answer.regions]


def test_a_batch_gives_the_same_as_its_images_one_by_one(tmp_path: Path) -> None:
    batch = photos((60, 40), (5, 3), (200, 2), (40, 60))
    in_a_batch, one_by_one = tiny(tmp_path, "n"), tiny(tmp_path, 1)
    assert in_a_batch.batched
    assert not one_by_one.batched
    answers = in_a_batch.annotate(batch)
    assert len(answers[0].regions) > 3
    for sample, answer in zip(batch, answers, strict=True):
        for alone in (*one_by_one.annotate([sample]), *in_a_batch.annotate([sample])):
            assert [region.label for region in answer.regions] == [region.label for region in alone.regions]
            assert np.allclose(numbers(answer), numbers(alone), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("last_step", ["reshape", "mix"])
def test_a_network_that_only_declares_a_dynamic_axis_runs_one_image_at_a_time(tmp_path: Path, last_step: str) -> None:
    detector = tiny(tmp_path, "n", last_step=last_step)
    assert not detector.batched
    assert len(detector.annotate(photos((60, 40), (40, 60)))) == 2


def test_a_batch_that_does_not_fit_is_a_memory_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = tiny(tmp_path, "n")

    class Full:
        def run(self, *_: object) -> None:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 9")

    monkeypatch.setattr(detector, "session", Full())
    with pytest.raises(MemoryError, match="2 images do not fit the memory"):
        detector.annotate(photos((60, 40), (40, 60)))


def test_a_network_for_more_than_one_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="takes exactly 4 images at once: export it for one"):
        tiny(tmp_path, 4)


def test_a_gpu_that_onnxruntime_cannot_use_is_one_sentence(tmp_path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime can use CUDA")
    with pytest.raises(StartError, match=r"it asks for 1 GPUs, but onnxruntime cannot use CUDA here \(it has "):
        tiny(tmp_path, 1, gpus=1.0)


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_the_real_networks_were_exported_for_one_image(name: str) -> None:
    head, file = DETECTORS[name]
    detector = OnnxDetector(weights=str(shared(f"weights/{file}")), head=head)  # type: ignore[arg-type]
    detector.load()
    assert not detector.batched
